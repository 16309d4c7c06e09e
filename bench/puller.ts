/**
 * What the `ffmpeg` puller costs beside the native one: both pull the same synthetic camera at the
 * same time, and each picture's arrival in the stream is compared; then several cameras are pulled
 * by one of them, and processes are looked at.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { readArguments, wholeNumber } from "../src/cli/arguments.ts";
import { Secret } from "../src/core/secret.ts";
import { avPuller } from "../src/ingest/av-session.ts";
import { Pull, type PullerName } from "../src/ingest/ingest.ts";
import { monotonicMs } from "../src/native/clock.ts";
import { Stream } from "../src/stream/stream.ts";
import { openCameras } from "../test/harness/cameras.ts";
import { until } from "../test/harness/hub.ts";
import { percentiles, round } from "./figures.ts";

const LIVE_MAX_MS = 20_000;
/** Jiffies per second of /proc/<pid>/stat; 100 on every Linux of today. */
const TICKS_PER_SECOND = 100;
/** Both pullers end their units the same; the beginning may differ by parameter sets. */
const TAIL_BYTES = 64;
const FRAME_MS = 40;

export async function puller(argv: string[]): Promise<unknown> {
  const options = readArguments(argv, {
    seconds: { type: "string", default: "20" },
    cameras: { type: "string", default: "4" },
  });
  const seconds = wholeNumber("seconds", options.seconds, 5, 600);
  const count = wholeNumber("cameras", options.cameras, 1, 50);
  await using cameras = await openCameras(count);
  const sources = cameras.cameras.map(({ url }) => url);
  const latency = await addedLatency(sources[0] ?? "", seconds);
  const native = await cost("native", sources, seconds);
  const ffmpeg = await cost("ffmpeg", sources, seconds);
  return { latency, cost: { native, ffmpeg } };
}

/** When each picture was in the stream, by what it ends with. */
type Arrivals = Map<bigint | number, number[]>;

async function addedLatency(source: string, seconds: number): Promise<unknown> {
  const arrivals = { native: new Map(), ffmpeg: new Map() } satisfies Record<PullerName, Arrivals>;
  await using stack = new AsyncDisposableStack();
  for (const name of ["native", "ffmpeg"] as const) {
    const { live } = begin(stack, name, source, arrivals[name]);
    await until(`${name} is live`, live, LIVE_MAX_MS);
  }
  for (const map of Object.values(arrivals)) map.clear();
  await Bun.sleep(seconds * 1_000);
  const added = differences(arrivals.native, arrivals.ffmpeg);
  const inMs = percentiles(added);
  return { added_ms: inMs, added_pictures_p50: round(inMs.p50 / FRAME_MS, 2) };
}

/** The clip comes round each ten seconds, so that arrivals of one picture are far apart. */
function differences(native: Arrivals, ffmpeg: Arrivals): number[] {
  const added: number[] = [];
  for (const [picture, times] of ffmpeg) {
    for (const time of times) {
      const before = native.get(picture)?.findLast((other) => other <= time);
      if (before !== undefined && time - before < 2_000) added.push(time - before);
    }
  }
  return added;
}

function begin(
  stack: AsyncDisposableStack,
  name: PullerName,
  source: string,
  arrivals: Arrivals | null,
) {
  const stream = new Stream();
  if (arrivals) stream.onChange = () => watch(stream, arrivals);
  const pull = stack.use(
    new Pull({
      camera: "bench",
      source: new Secret(source),
      stream,
      onState: () => {},
      random: Math.random,
      puller: name,
      ffmpeg: avPuller({ transport: "tcp", tls: { verify: true, fingerprint: null } }),
    }),
  );
  pull.start();
  return { stream, live: async () => pull.state.at === "live" };
}

function watch(stream: Stream, arrivals: Arrivals): void {
  const unit = ({ bytes, length }: { bytes: Uint8Array; length: number }): void => {
    const picture = Bun.hash(bytes.subarray(Math.max(0, length - TAIL_BYTES), length));
    const times = arrivals.get(picture) ?? [];
    times.push(monotonicMs());
    arrivals.set(picture, times);
  };
  stream.video?.attachUnits({ unit, ended: () => {} }, monotonicMs());
}

/** Of this process, which takes in all of them, and of the processes that it started for them. */
async function cost(
  name: PullerName,
  sources: readonly string[],
  seconds: number,
): Promise<unknown> {
  await using stack = new AsyncDisposableStack();
  const others = new Set(children(process.pid));
  const started = sources.map((source) => begin(stack, name, source, null));
  for (const { live } of started) await until(`${name} is live`, live, LIVE_MAX_MS);
  await Bun.sleep(2_000);
  const pullers = children(process.pid).filter((pid) => !others.has(pid));
  const pids = [process.pid, ...pullers];
  const before = pids.map(cpuMs);
  await Bun.sleep(seconds * 1_000);
  const used = pids.map((pid, i) => cpuMs(pid) - (before[i] ?? 0));
  const percent = (ms: number): number => round(ms / seconds / 10 / sources.length, 2);
  const [own = 0, ...theirs] = used;
  return {
    cameras: sources.length,
    media_cpu_percent_of_core_per_camera: percent(own),
    puller_cpu_percent_of_core_per_camera: percent(theirs.reduce((sum, ms) => sum + ms, 0)),
    puller_rss_mb_each: pullers.map((pid) => kilobytes(pid, "Rss")),
    puller_pss_mb_each: pullers.map((pid) => kilobytes(pid, "Pss")),
    pictures: started.reduce((sum, { stream }) => sum + (stream.video?.counters.units ?? 0), 0),
  };
}

function children(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

/** User and system time of all threads, in milliseconds. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND;
}

function kilobytes(pid: number, what: "Rss" | "Pss"): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Math.round(Number(new RegExp(`^${what}: +(\\d+) kB`, "m").exec(text)?.[1] ?? 0) / 1_024);
}
