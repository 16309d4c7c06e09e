/**
 * What a camera costs: CPU time and memory of the whole media process, from /proc, with so many
 * synthetic cameras of 1080p25 and 4 Mbps over TCP; without viewers, and with one light viewer
 * each. Recording is no part of it.
 *
 * The cameras share the machine with the hub: what they cost is told beside it.
 *
 * @module
 */
import { loadavg } from "node:os";
import { join } from "node:path";
import type { CameraReport } from "../src/api/report.ts";
import { readArguments, wholeNumber } from "../src/cli/arguments.ts";
import { openCameras, type TestCameras } from "../test/harness/cameras.ts";
import { type HubProcess, pidOf, startHub, until } from "../test/harness/hub.ts";
import { numbers, round } from "./figures.ts";
import type { LightReport } from "./light-viewer.ts";
import { cpuMs, residentBytes, waitedMs } from "./process.ts";

const VIEWER = join(import.meta.dir, "light-viewer.ts");
const LIVE_MAX_MS = 60_000;
const CONNECT_MAX_MS = 60_000;
/** Just-in-time compilers and rings settle: at least so long, and so many groups of pictures. */
const SETTLE_MS = 12_000;
const SETTLE_GROUPS = 3;
const MEGABYTE = 1 << 20;

interface Plan {
  readonly settleMs: number;
  readonly seconds: number;
  readonly rounds: number;
}

export async function density(argv: string[]): Promise<unknown> {
  const options = readArguments(argv, {
    cameras: { type: "string", default: "1,10,50,100,200" },
    watched: { type: "string", default: "10,50" },
    gop: { type: "string", default: "2" },
    seconds: { type: "string", default: "10" },
    rounds: { type: "string", default: "3" },
  });
  const gopSeconds = wholeNumber("gop", options.gop, 1, 10);
  const plan = {
    settleMs: Math.max(SETTLE_MS, SETTLE_GROUPS * gopSeconds * 1_000),
    seconds: wholeNumber("seconds", options.seconds, 1, 600),
    rounds: wholeNumber("rounds", options.rounds, 1, 20),
  };
  const steps = numbers(options.cameras);
  const crowds = options.watched === "none" ? [] : numbers(options.watched);
  const all = await openCameras(Math.max(...steps, ...crowds), ["--gop", String(gopSeconds)]);
  await using stack = new AsyncDisposableStack();
  stack.use(all);
  const emptyBytes = await emptyHub();
  const rows: unknown[] = [];
  for (const count of steps) rows.push(await step(all, { count, viewers: 0, emptyBytes }, plan));
  for (const count of crowds) {
    rows.push(await step(all, { count, viewers: count, emptyBytes }, plan));
  }
  return { gop_seconds: gopSeconds, empty_rss_mb: round(emptyBytes / MEGABYTE, 1), rows };
}

/** Resident memory of a media process without cameras. */
async function emptyHub(): Promise<number> {
  await using hub = await startHub({});
  await Bun.sleep(2_000);
  return residentBytes(await pidOf(hub, "media"));
}

interface Step {
  readonly count: number;
  /** One each, or none. */
  readonly viewers: number;
  readonly emptyBytes: number;
}

async function step(all: TestCameras, { count, viewers, emptyBytes }: Step, plan: Plan) {
  const chosen = all.cameras.slice(0, count);
  const sources = Object.fromEntries(chosen.map(({ name, url }) => [name, url]));
  await using hub = await startHub(sources);
  const live = async () => (await cameras(hub)).every(({ state }) => state === "live");
  await until(`${count} cameras are live`, live, LIVE_MAX_MS);
  const watching = viewers > 0 ? await watched(hub, Object.keys(sources), plan) : null;
  await Bun.sleep(plan.settleMs);
  const before = await counted(hub, all);
  const rounds: Round[] = [];
  for (let i = 0; i < plan.rounds; i++) rounds.push(await measured(hub, all, plan.seconds));
  const after = await counted(hub, all);
  const media = await pidOf(hub, "media");
  const cpu = rounds.map(({ mediaPercent }) => mediaPercent / count);
  return {
    cameras: count,
    viewers,
    cpu_percent_of_core_per_camera: spread(cpu, 3),
    rss_mb_per_camera: round((residentBytes(media) - emptyBytes) / MEGABYTE / count, 2),
    ring_mb_per_camera: round(after.ringBytes / MEGABYTE / count, 2),
    lost_packets: after.lost - before.lost,
    damaged_frames: after.damaged - before.damaged,
    reconnects: after.connects - before.connects,
    frames_not_taken: after.notTaken - before.notTaken,
    megabits_per_second: round((after.bits - before.bits) / 1e6 / (plan.seconds * plan.rounds), 1),
    event_loop_lag_ms_p99: spread(
      rounds.map(({ lagMsP99 }) => lagMsP99),
      1,
    ),
    waited_for_processor_percent: spread(
      rounds.map(({ waitedPercent }) => waitedPercent),
      1,
    ),
    synthetic_cameras_percent_of_core: spread(
      rounds.map(({ camerasPercent }) => camerasPercent),
      1,
    ),
    load_average: spread(
      rounds.map(({ load }) => load),
      1,
    ),
    ...(watching && { viewers_side: summaryOf(await watching.report) }),
  };
}

interface Round {
  readonly mediaPercent: number;
  readonly camerasPercent: number;
  readonly lagMsP99: number;
  /** What others on the machine cost the media process: its timers are as late as it waits. */
  readonly waitedPercent: number;
  readonly load: number;
}

async function measured(hub: HubProcess, all: TestCameras, seconds: number): Promise<Round> {
  const media = await pidOf(hub, "media");
  const [started, own, theirs] = [performance.now(), cpuMs(media), cpuMs(all.pid)];
  const waited = waitedMs(media);
  await Bun.sleep(seconds * 1_000);
  const elapsedMs = performance.now() - started;
  return {
    mediaPercent: ((cpuMs(media) - own) / elapsedMs) * 100,
    camerasPercent: ((cpuMs(all.pid) - theirs) / elapsedMs) * 100,
    lagMsP99: (await metric(hub, 'onepull_event_loop_lag_p99_seconds{process="media"}')) * 1_000,
    waitedPercent: ((waitedMs(media) - waited) / elapsedMs) * 100,
    load: loadavg()[0] ?? Number.NaN,
  };
}

/** Sums over all cameras. */
async function counted(hub: HubProcess, all: TestCameras) {
  const reports = await cameras(hub);
  const sum = (of: (counters: CameraReport["counters"]) => number): number =>
    reports.reduce((total, { counters }) => total + of(counters), 0);
  const stats = (await (await fetch(`${all.control}/cameras`)).json()) as {
    readonly cameras: readonly { readonly dropped_frames: number }[];
  };
  const rings = await metrics(hub, "onepull_camera_ring_bytes");
  return {
    lost: sum(({ lost_packets }) => lost_packets),
    damaged: sum(({ damaged_frames }) => damaged_frames),
    connects: sum(({ connects }) => connects),
    bits: sum(({ bytes }) => bytes) * 8,
    notTaken: stats.cameras.reduce((total, { dropped_frames }) => total + dropped_frames, 0),
    ringBytes: rings.reduce((total, bytes) => total + bytes, 0),
  };
}

/** One light viewer for each camera, in a process of its own, for the whole of the step. */
async function watched(
  hub: HubProcess,
  names: readonly string[],
  { settleMs, seconds, rounds }: Plan,
): Promise<{ readonly report: Promise<LightReport> }> {
  const urls = names.flatMap((name) => ["--url", `${hub.http}/whep/${name}`]);
  const watchedSeconds = settleMs / 1_000 + seconds * rounds;
  const counts = ["--viewers", String(names.length), "--seconds", String(watchedSeconds)];
  const child = Bun.spawn([process.execPath, VIEWER, ...urls, ...counts, "--profiles", "7"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const report = new Response(child.stdout).json() as Promise<LightReport>;
  const connected = async (): Promise<boolean> => {
    const viewers = await metrics(hub, "onepull_camera_viewers");
    return viewers.reduce((total, count) => total + count, 0) >= names.length;
  };
  await until(`${names.length} viewers`, connected, CONNECT_MAX_MS);
  return { report };
}

function summaryOf({ packetsPerSecond, gaps, failed, notAuthentic, cores }: LightReport) {
  return { packets_per_second: packetsPerSecond, gaps, failed, not_authentic: notAuthentic, cores };
}

async function cameras(hub: HubProcess): Promise<readonly CameraReport[]> {
  const response = await fetch(`${hub.http}/api/v1/cameras`);
  return ((await response.json()) as { readonly cameras: readonly CameraReport[] }).cameras;
}

/** The values of all series of this name. */
async function metrics(hub: HubProcess, name: string): Promise<number[]> {
  const text = await (await fetch(`${hub.http}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`));
  return lines.map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
}

async function metric(hub: HubProcess, series: string): Promise<number> {
  const text = await (await fetch(`${hub.http}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1));
}

interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

function spread(values: readonly number[], digits: number): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (i: number): number => round(sorted[i] ?? Number.NaN, digits);
  return { min: at(0), median: at(sorted.length >> 1), max: at(sorted.length - 1) };
}
