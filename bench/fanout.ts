/**
 * What a viewer costs: CPU time of the whole media process, from /proc, per SRTP packet that light
 * viewers received. One synthetic camera of 1080p25 and 4 Mbps; viewers in a process of their own.
 *
 * @module
 */
import { join } from "node:path";
import { readArguments, wholeNumber } from "../src/cli/arguments.ts";
import { Fault } from "../src/core/fault.ts";
import { openCameras } from "../test/harness/cameras.ts";
import { type HubProcess, pidOf, startHub, until, untilState } from "../test/harness/hub.ts";
import { numbers, round } from "./figures.ts";
import type { LightReport } from "./light-viewer.ts";
import { cpuMs } from "./process.ts";

const CAMERA = "demo-1";
const VIEWER = join(import.meta.dir, "light-viewer.ts");
const SUITES: Readonly<Record<string, string>> = { gcm: "7", sha1: "1" };
const CONNECT_MAX_MS = 60_000;

export async function fanout(argv: string[]): Promise<unknown> {
  const options = readArguments(argv, {
    viewers: { type: "string", default: "1,20,100" },
    seconds: { type: "string", default: "10" },
    suite: { type: "string", default: "gcm" },
    rounds: { type: "string", default: "2" },
  });
  const profiles = SUITES[options.suite];
  if (!profiles) throw new Fault("request_invalid", "--suite takes gcm or sha1.");
  const seconds = wholeNumber("seconds", options.seconds, 1, 600);
  const rounds = wholeNumber("rounds", options.rounds, 1, 20);
  await using stack = new AsyncDisposableStack();
  const cameras = stack.use(await openCameras(1));
  const hub = stack.use(await startHub(cameras.sources));
  await untilState(hub, CAMERA, "live", 10_000);
  const idle = await idleCost(hub, seconds);
  const rows: unknown[] = [];
  for (const count of numbers(options.viewers)) {
    for (let i = 0; i < rounds; i++) rows.push(await measured(hub, { count, seconds, profiles }));
  }
  return { suite: options.suite, idle_cpu_percent_of_core: idle, rows };
}

/** The media process with one camera and no viewer. */
async function idleCost(hub: HubProcess, seconds: number): Promise<number> {
  const pid = await pidOf(hub, "media");
  const before = cpuMs(pid);
  await Bun.sleep(seconds * 1_000);
  return round((cpuMs(pid) - before) / seconds / 10, 2);
}

interface Round {
  readonly count: number;
  readonly seconds: number;
  readonly profiles: string;
}

async function measured(hub: HubProcess, { count, seconds, profiles }: Round): Promise<unknown> {
  const pid = await pidOf(hub, "media");
  const child = Bun.spawn(
    [
      process.execPath,
      VIEWER,
      ...["--url", `${hub.http}/whep/${CAMERA}`, "--viewers", String(count)],
      // Longer than is measured here: the edges of the run are not counted.
      ...["--seconds", String(seconds + 4), "--profiles", profiles],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const report = new Response(child.stdout).json() as Promise<LightReport>;
  const connected = async (): Promise<boolean> => (await sentTo(hub)).viewers >= count;
  await until(`${count} viewers`, connected, CONNECT_MAX_MS);
  await Bun.sleep(2_000);
  const [cpu, sent, started] = [cpuMs(pid), await sentTo(hub), performance.now()];
  await Bun.sleep(seconds * 1_000);
  const usedMs = cpuMs(pid) - cpu;
  const now = await sentTo(hub);
  const elapsed = (performance.now() - started) / 1_000;
  const packets = now.packets - sent.packets;
  const { gaps, verified, notAuthentic, cores, failed } = await report;
  await until("the viewers are gone", async () => (await sentTo(hub)).viewers === 0, 60_000);
  return {
    viewers: count,
    packets_per_second: Math.round(packets / elapsed),
    cpu_us_per_packet: round((usedMs * 1_000) / packets, 2),
    cpu_percent_of_core: round(usedMs / elapsed / 10, 1),
    packets_per_system_call: round(packets / (now.systemCalls - sent.systemCalls), 1),
    dropped_by_system: now.dropped - sent.dropped,
    viewers_side: { gaps, verified, not_authentic: notAuthentic, failed, cores },
  };
}

/** What the media process counts, as /metrics shows it. */
async function sentTo(hub: HubProcess): Promise<{
  readonly viewers: number;
  readonly packets: number;
  readonly systemCalls: number;
  readonly dropped: number;
}> {
  const text = await (await fetch(`${hub.http}/metrics`)).text();
  const value = (name: string): number =>
    Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1] ?? 0);
  return {
    viewers: value("onepull_camera_viewers"),
    packets: value("onepull_webrtc_packets_total"),
    systemCalls: value("onepull_webrtc_system_calls_total"),
    dropped: value("onepull_webrtc_dropped_packets_total"),
  };
}
