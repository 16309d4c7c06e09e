/**
 * What it costs to show an H.265 camera of 1080p25 and 4 Mbps in browsers that do not take it: one
 * process as the hub runs it, fed in real time.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArguments, wholeNumber } from "../src/cli/arguments.ts";
import type { RtpTicks } from "../src/core/units.ts";
import type { ViewerCodec } from "../src/native/av-encoders.ts";
import { monotonicMs } from "../src/native/clock.ts";
import type { Unit } from "../src/stream/sinks.ts";
import { Log } from "../src/telemetry/log.ts";
import { LoopedTrack } from "../src/transcode/fixtures/source.ts";
import {
  Renditions,
  type RenditionsStats,
  type RenditionTrack,
} from "../src/transcode/renditions.ts";
import { encodeClip } from "../test/harness/numbered-clip.ts";
import { type Percentiles, percentiles, round } from "./figures.ts";

const CLIP_FRAMES = 100;
const GOP_FRAMES = 50;
const BITRATE = 4_000_000;
/** Loading, just-in-time compilers and the encoder's rate control settle within this. */
const SETTLE_MS = 3_000;
const STATS_INTERVAL_MS = 1_000;

interface Case {
  readonly name: string;
  readonly codecs: readonly ViewerCodec[];
  readonly vp8Width: number;
}

const CASES: readonly Case[] = [
  { name: "h264 1920x1080", codecs: ["h264"], vp8Width: 1280 },
  { name: "vp8 1280x720", codecs: ["vp8"], vp8Width: 1280 },
  { name: "vp8 1920x1080", codecs: ["vp8"], vp8Width: 1920 },
  { name: "h264 1920x1080 and vp8 1280x720", codecs: ["h264", "vp8"], vp8Width: 1280 },
];

export async function transcode(argv: string[]): Promise<unknown> {
  const options = readArguments(argv, {
    seconds: { type: "string", default: "10" },
    software: { type: "boolean", default: false },
  });
  const seconds = wholeNumber("seconds", options.seconds, 1, 600);
  const size = { width: 1920, height: 1080, gopFrames: GOP_FRAMES, bitrate: BITRATE };
  const clip = await encodeClip("h265", CLIP_FRAMES, size);
  const results: Record<string, unknown> = {};
  for (const one of CASES) results[one.name] = await measure(clip, one, seconds, !options.software);
  return { source: "H.265 1920x1080 25 fps 4 Mbps", seconds, ...results };
}

/** Notes how long after its picture was sent each unit came back. */
class Stopwatch implements RenditionTrack {
  readonly latencies: number[] = [];
  readonly #sent: ReadonlyMap<RtpTicks, number>;
  constructor(sent: ReadonlyMap<RtpTicks, number>) {
    this.#sent = sent;
  }
  receiveUnit(_b: Uint8Array, _start: number, _end: number, unit: { timestamp: RtpTicks }): void {
    this.latencies.push(monotonicMs() - (this.#sent.get(unit.timestamp) ?? Number.NaN));
  }
  flush(): void {}
  end(): void {}
}

async function measure(
  clip: readonly Unit[],
  { codecs, vp8Width }: Case,
  seconds: number,
  hardware: boolean,
): Promise<unknown> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "onepull-bench-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const video = stack.use(new LoopedTrack("h265", clip));
  const renditions = stack.use(
    new Renditions({
      camera: "bench",
      source: { video, audio: null },
      openTrack: () => new Stopwatch(video.sent),
      settings: {
        entry: join(import.meta.dir, "..", "src", "children", "transcode.ts"),
        folder,
        hardware,
        widthMax: { h264: 1920, vp8: vp8Width },
        childLog: { level: "warn", format: "text" },
      },
      log: new Log({ level: "warn", format: "text" }, { process: "bench" }),
    }),
  );
  const asked = performance.now();
  const leases = codecs.map((codec) => renditions.acquire(codec));
  while (leases.some(({ track }) => track.latencies.length === 0)) await Bun.sleep(5);
  const first = performance.now() - asked;
  await Bun.sleep(SETTLE_MS);
  for (const { track } of leases) track.latencies.length = 0;
  const samples = await watch(renditions, seconds);
  const added = codecs.map((codec, i) => [codec, percentiles(leases[i]?.track.latencies ?? [])]);
  return { first_unit_ms: round(first, 0), ...summary(samples, Object.fromEntries(added)) };
}

async function watch(
  renditions: Renditions<Stopwatch>,
  seconds: number,
): Promise<RenditionsStats[]> {
  const samples: RenditionsStats[] = [];
  for (let i = 0; i < seconds; i++) {
    await Bun.sleep(STATS_INTERVAL_MS);
    const stats = renditions.stats();
    if (stats) samples.push(stats);
  }
  return samples;
}

function summary(samples: readonly RenditionsStats[], added: Record<string, Percentiles>): object {
  const mean = (values: readonly number[]): number =>
    round(values.reduce((sum, value) => sum + value, 0) / values.length, 2);
  const last = samples.at(-1);
  return {
    cpu_percent_of_a_core: round(mean(samples.map(({ cpuShare }) => cpuShare)) * 100, 1),
    rss_mb: round((last?.rssBytes ?? 0) / 2 ** 20, 0),
    decode_ms: mean(samples.map(({ decoder }) => decoder?.decodeMs.mean ?? Number.NaN)),
    encoders: (last?.renditions ?? []).map(({ codec, encoder, width, height }, i) => ({
      codec,
      encoder,
      size: `${width}x${height}`,
      scale_and_encode_ms: mean(samples.map((one) => one.renditions[i]?.encodeMs.mean ?? 0)),
      pictures_per_second: mean(samples.map((one) => one.renditions[i]?.unitsPerSecond ?? 0)),
    })),
    dropped: last?.decoder?.dropped ?? {},
    added_latency_ms: added,
  };
}
