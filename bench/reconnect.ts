/**
 * How soon cameras are live again: all of them lose power at once, come back after a while, and
 * nobody stampedes. The cameras run in a process of their own that is killed and started again; the
 * pulls run here.
 *
 * @module
 */
import { connect } from "node:net";
import { readArguments, wholeNumber } from "../src/cli/arguments.ts";
import { type CameraProcess, startCameras } from "../src/cli/camera-process.ts";
import { Secret } from "../src/core/secret.ts";
import type { Millis } from "../src/core/units.ts";
import { Pull } from "../src/ingest/ingest.ts";
import { monotonicMs } from "../src/native/clock.ts";
import { Stream } from "../src/stream/stream.ts";
import { until } from "../test/harness/hub.ts";
import { percentiles, round } from "./figures.ts";

/** How often attempts are counted, and connections looked at. */
const SAMPLE_MS = 10;
const PROBE_MS = 5;
const LIVE_MAX_MS = 60_000;

export async function reconnect(argv: string[]): Promise<unknown> {
  const options = readArguments(argv, {
    cameras: { type: "string", default: "100" },
    away: { type: "string", default: "5" },
    rounds: { type: "string", default: "3" },
    bitrate: { type: "string", default: "4M" },
    // Cameras send a keyframe to whoever joins; the synthetic ones send what their clip has next.
    gop: { type: "string", default: "0.2" },
  });
  const count = wholeNumber("cameras", options.cameras, 1, 1_000);
  const awayMs = wholeNumber("away", options.away, 1, 600) * 1_000;
  const rounds = wholeNumber("rounds", options.rounds, 1, 100);
  const results: unknown[] = [];
  for (let round = 0; round < rounds; round++) {
    results.push(await once(count, awayMs, ["--bitrate", options.bitrate, "--gop", options.gop]));
  }
  return { unit: "ms from when the cameras' port is open", cameras: count, rounds: results };
}

async function once(count: number, awayMs: number, options: string[]): Promise<unknown> {
  await using stack = new AsyncDisposableStack();
  const own = [...options, "--start-keyframe"];
  const before = await startCameras(count, own);
  const port = Number(new URL(before.cameras[0]?.url ?? "").port);
  const pulls = before.cameras.map(({ url }) => stack.use(new Watched(url)));
  const attempts = stack.use(new AttemptRate(pulls));
  const started = monotonicMs();
  for (const { pull } of pulls) pull.start();
  await allLive(pulls);
  const start = percentiles(pulls.map(({ liveAt }) => round(liveAt - started, 1)));
  const startPeak = attempts.take();

  await before[Symbol.asyncDispose]();
  await until("all noticed", () => pulls.every(({ pull }) => pull.state.at !== "live"), 10_000);
  await Bun.sleep(awayMs);
  const awayPeak = attempts.take();
  const [returnedAt, after] = await comeBack(port, count, own);
  stack.use(after);
  await allLive(pulls);
  return {
    start_to_live_ms: start,
    return_to_playing_ms: percentiles(
      pulls.map(({ playingAt }) => round(playingAt - returnedAt, 1)),
    ),
    return_to_live_ms: percentiles(pulls.map(({ liveAt }) => round(liveAt - returnedAt, 1))),
    connection_attempts_per_second_peak: {
      start: startPeak,
      away: awayPeak,
      return: attempts.take(),
    },
  };
}

/** Starts the cameras again. Resolves with when their port was open. */
async function comeBack(
  port: number,
  count: number,
  options: string[],
): Promise<[returnedAt: Millis, cameras: CameraProcess]> {
  const starting = startCameras(count, [...options, "--port", String(port)]);
  while (!(await isOpen(port))) await Bun.sleep(PROBE_MS);
  const returnedAt = monotonicMs();
  return [returnedAt, await starting];
}

function isOpen(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ host: "127.0.0.1", port });
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}

async function allLive(pulls: readonly Watched[]): Promise<void> {
  const live = () => pulls.every(({ pull }) => pull.state.at === "live");
  await until("all cameras are live", live, LIVE_MAX_MS);
}

/** A pull, and when what happened to it last. */
class Watched implements AsyncDisposable {
  readonly pull: Pull;
  liveAt: Millis = 0;
  /** When the camera agreed to send, as far as samples show. */
  playingAt: Millis = 0;
  #connects = 0;

  constructor(url: string) {
    this.pull = new Pull({
      camera: url,
      source: new Secret(url),
      stream: new Stream(),
      onState: ({ at }) => {
        if (at === "live") this.liveAt = monotonicMs();
      },
      random: Math.random,
    });
  }

  sample(now: Millis): void {
    const { connects } = this.pull.counters;
    if (connects > this.#connects) this.playingAt = now;
    this.#connects = connects;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pull.close();
  }
}

/** Connection attempts of all pulls, and the most in any second. */
class AttemptRate implements Disposable {
  readonly #pulls: readonly Watched[];
  readonly #timer: Timer;
  /** Totals, one per SAMPLE_MS. */
  #totals: number[] = [];

  constructor(pulls: readonly Watched[]) {
    this.#pulls = pulls;
    this.#totals.push(this.#total());
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  #sample(): void {
    this.#totals.push(this.#total());
    const now = monotonicMs();
    for (const pull of this.#pulls) pull.sample(now);
  }

  /** The peak since the last call. */
  take(): number {
    const totals = [...this.#totals, this.#total()];
    this.#totals = [this.#total()];
    const samples = 1_000 / SAMPLE_MS;
    return Math.max(
      ...totals.map((total, i) => total - (totals[Math.max(0, i - samples)] ?? total)),
    );
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #total(): number {
    return this.#pulls.reduce((sum, { pull }) => sum + pull.counters.attempts, 0);
  }
}
