/**
 * Many light viewers in one process, dealt out over one or more WHEP addresses. Prints JSON.
 *
 *   bun bench/light-viewer.ts --url http://127.0.0.1:8080/whep/cam1 --viewers 20 --seconds 10
 *
 * Options: --url again for more addresses, --token TOKEN, --profiles 7,1 (7: GCM, 1: SHA1_80), --verify-every 500, --markers FILE
 * (JSON lines of viewer, RTP timestamp and CLOCK_MONOTONIC arrival in ms of each picture's end).
 *
 * @module
 */
import { parseArgs } from "node:util";
import { AEAD_AES_128_GCM, AES128_CM_HMAC_SHA1_80, type SrtpProfile } from "../src/rtc/srtp.ts";
import { type LightCounters, LightViewer, type LightViewerOptions } from "./light/viewer.ts";

/** Handshakes are milliseconds of one thread on both sides. */
const CONNECTING_AT_ONCE = 8;

/** What a run of many viewers came to. */
export interface LightReport extends LightCounters {
  readonly viewers: number;
  readonly failed: number;
  readonly seconds: number;
  readonly packetsPerSecond: number;
  readonly megabitsPerSecond: number;
  readonly connectMs: { readonly p50: number; readonly p95: number };
  /** From the offer. */
  readonly firstPacketMs: { readonly p50: number; readonly p95: number };
  /** CPU time of this process over the measured time, in cores. */
  readonly cores: number;
}

/** Posts offers to a WHEP address. */
export function whep(url: string, token?: string): (offer: string) => Promise<string> {
  return async (offer) => {
    const headers = new Headers({ "content-type": "application/sdp" });
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    const response = await fetch(url, { method: "POST", headers, body: offer });
    const text = await response.text();
    if (response.status !== 201) throw new Error(`${url}: ${response.status} ${text}`);
    return text;
  };
}

/** Connects `count` viewers, a few at a time. Failures are counted by what is missing. */
async function connectViewers(
  count: number,
  exchange: (viewer: number) => (offer: string) => Promise<string> | string,
  options: (viewer: number) => LightViewerOptions,
): Promise<LightViewer[]> {
  const viewers: LightViewer[] = [];
  for (let at = 0; at < count; at += CONNECTING_AT_ONCE) {
    const some = Array.from({ length: Math.min(CONNECTING_AT_ONCE, count - at) }, (_, i) =>
      LightViewer.connect(exchange(at + i), options(at + i)),
    );
    for (const outcome of await Promise.allSettled(some)) {
      if (outcome.status === "fulfilled") viewers.push(outcome.value);
      else console.error(String(outcome.reason));
    }
  }
  return viewers;
}

/** Counts for `seconds`. */
async function measure(
  viewers: readonly LightViewer[],
  wanted: number,
  seconds: number,
): Promise<LightReport> {
  const before = sum(viewers);
  const cpu = process.cpuUsage();
  const started = performance.now();
  await Bun.sleep(seconds * 1_000);
  const elapsed = (performance.now() - started) / 1_000;
  const used = process.cpuUsage(cpu);
  const after = sum(viewers);
  return {
    viewers: viewers.length,
    failed: wanted - viewers.length,
    seconds: round(elapsed),
    packetsPerSecond: Math.round((after.packets - before.packets) / elapsed),
    megabitsPerSecond: round(((after.bytes - before.bytes) * 8) / elapsed / 1e6),
    connectMs: percentiles(viewers.map(({ connectMs }) => connectMs)),
    firstPacketMs: percentiles(viewers.map(({ firstPacketMs }) => firstPacketMs)),
    cores: round((used.user + used.system) / 1e6 / elapsed),
    packets: after.packets - before.packets,
    bytes: after.bytes - before.bytes,
    gaps: after.gaps - before.gaps,
    verified: after.verified - before.verified,
    notAuthentic: after.notAuthentic - before.notAuthentic,
  };
}

function sum(viewers: readonly LightViewer[]): LightCounters {
  const total = { packets: 0, bytes: 0, gaps: 0, verified: 0, notAuthentic: 0 };
  for (const { counters } of viewers) {
    total.packets += counters.packets;
    total.bytes += counters.bytes;
    total.gaps += counters.gaps;
    total.verified += counters.verified;
    total.notAuthentic += counters.notAuthentic;
  }
  return total;
}

function percentiles(values: readonly number[]): { p50: number; p95: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => round(sorted[Math.floor(sorted.length * share)] ?? 0);
  return { p50: at(0.5), p95: at(0.95) };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function profilesOf(text: string): SrtpProfile[] {
  const known: readonly SrtpProfile[] = [AEAD_AES_128_GCM, AES128_CM_HMAC_SHA1_80];
  return known.filter((profile) => text.split(",").includes(String(profile)));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      url: { type: "string", multiple: true },
      token: { type: "string" },
      viewers: { type: "string", default: "1" },
      seconds: { type: "string", default: "10" },
      profiles: { type: "string", default: "7,1" },
      "verify-every": { type: "string", default: "500" },
      markers: { type: "string" },
    },
  });
  const { url: urls = [] } = values;
  if (urls.length === 0) throw new Error("--url is missing: the WHEP address of a camera");
  const count = Number(values.viewers);
  const lines: string[] = [];
  const exchange = (viewer: number) => whep(urls[viewer % urls.length] ?? "", values.token);
  const viewers = await connectViewers(count, exchange, (viewer) => ({
    profiles: profilesOf(values.profiles),
    verifyEvery: Number(values["verify-every"]),
    ...(values.markers === undefined
      ? {}
      : {
          onMarker: (timestamp: number, arrived: number) =>
            lines.push(JSON.stringify({ viewer, timestamp, arrived })),
        }),
  }));
  const report = await measure(viewers, count, Number(values.seconds));
  for (const viewer of viewers) viewer.leave();
  if (values.markers !== undefined) await Bun.write(values.markers, `${lines.join("\n")}\n`);
  console.log(JSON.stringify(report, null, 2));
}

if (import.meta.main) await main();
