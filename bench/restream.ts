/**
 * What an RTSP reader costs: CPU time per packet of a process that pulls one synthetic camera of
 * 1080p25 and 4 Mbps and publishes it again; readers in a process of their own.
 *
 * @module
 */
import { join } from "node:path";
import { readArguments, wholeNumber } from "../src/cli/arguments.ts";
import { openCameras } from "../test/harness/cameras.ts";
import { until } from "../test/harness/hub.ts";
import { numbers, round } from "./figures.ts";
import type { HubReport } from "./light/rtsp-hub.ts";
import type { ReadersReport } from "./light/rtsp-readers.ts";

const CONNECT_MAX_MS = 30_000;
/** The groups of pictures that joiners are sent at once are over by then. */
const SETTLE_MS = 2_000;

/** A child that answers a line with a line. */
class Worker implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;

  constructor(script: string, argv: readonly string[]) {
    this.#child = Bun.spawn([process.execPath, join(import.meta.dir, "light", script), ...argv], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = linesOf(this.#child.stdout);
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("a process of the bench ended early");
    return value;
  }

  async ask(): Promise<string> {
    this.#child.stdin.write("\n");
    this.#child.stdin.flush();
    return this.line();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const lines = (text + decoder.decode(chunk, { stream: true })).split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}

export async function restream(argv: string[]): Promise<unknown> {
  const options = readArguments(argv, {
    readers: { type: "string", default: "1,10,50" },
    seconds: { type: "string", default: "10" },
    rounds: { type: "string", default: "2" },
  });
  const seconds = wholeNumber("seconds", options.seconds, 1, 600);
  const rounds = wholeNumber("rounds", options.rounds, 1, 20);
  await using cameras = await openCameras(1);
  await using hub = new Worker("rtsp-hub.ts", [Object.values(cameras.sources)[0] ?? ""]);
  const port = Number((await hub.line()).split(" ")[1]);
  await Bun.sleep(SETTLE_MS);
  const idle = await idleCost(hub, seconds);
  const rows: unknown[] = [];
  for (const transport of ["tcp", "udp"] as const) {
    for (const count of numbers(options.readers)) {
      for (let i = 0; i < rounds; i++) {
        rows.push(await measured(hub, { port, transport, count, seconds }));
      }
    }
  }
  return { idle_cpu_percent_of_core: round(idle / 10, 2), rows };
}

/** CPU milliseconds per second of the pull alone. */
async function idleCost(hub: Worker, seconds: number): Promise<number> {
  const before = await hubReport(hub);
  await Bun.sleep(seconds * 1_000);
  return ((await hubReport(hub)).cpuMs - before.cpuMs) / seconds;
}

interface Round {
  readonly port: number;
  readonly transport: "tcp" | "udp";
  readonly count: number;
  readonly seconds: number;
}

async function measured(hub: Worker, round_: Round): Promise<unknown> {
  const { port, transport, count, seconds } = round_;
  const url = `rtsp://127.0.0.1:${port}/bench`;
  await using readers = new Worker("rtsp-readers.ts", [url, transport, String(count)]);
  const playing = async (): Promise<boolean> => (await hubReport(hub)).readers === count;
  await until(`${count} readers`, playing, CONNECT_MAX_MS);
  await Bun.sleep(SETTLE_MS);
  const [before, started] = [await hubReport(hub), performance.now()];
  await Bun.sleep(seconds * 1_000);
  const after = await hubReport(hub);
  const elapsed = (performance.now() - started) / 1_000;
  const seen = JSON.parse(await readers.ask()) as ReadersReport;
  const packets = after.packets - before.packets;
  const usedMs = after.cpuMs - before.cpuMs;
  return {
    transport,
    readers: count,
    packets_per_second: Math.round(packets / elapsed),
    cpu_us_per_packet: round((usedMs * 1_000) / packets, 2),
    cpu_percent_of_core: round(usedMs / elapsed / 10, 1),
    dropped_units: after.droppedUnits - before.droppedUnits,
    readers_side: { gaps: seen.gaps },
  };
}

async function hubReport(hub: Worker): Promise<HubReport> {
  return JSON.parse(await hub.ask()) as HubReport;
}
