import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Traffic } from "../../bench/light/traffic.ts";
import { LightViewer, type LightViewerOptions } from "../../bench/light/viewer.ts";
import { Fault } from "../core/fault.ts";
import { openLibcrypto } from "../native/crypto.ts";
import { libc } from "../native/libc.ts";
import { CHROMIUM_OFFER } from "../rtc/offer-fixture.ts";
import type { Latency } from "../rtc/playout-delay.ts";
import { eachRtcp, RTCP_BYE, RTCP_SR, readSenderReport } from "../rtp/rtcp.ts";
import { Stream } from "../stream/stream.ts";
import { Log } from "../telemetry/log.ts";
import { nodeProtection } from "./protect.ts";
import { Sfu, type SfuOptions } from "./sfu.ts";
import type { ViewerStats } from "./stats.ts";

type Opened = Parameters<NonNullable<LightViewerOptions["onPacket"]>>[0];

setDefaultTimeout(20_000);

/** A hub with one camera, its time and its viewers; all of it ends with the test. */
class Bench {
  readonly stream = new Stream();
  readonly traffic: Traffic;
  readonly lines: string[] = [];
  readonly viewers: LightViewer[] = [];
  readonly packets: Opened[][] = [];
  readonly controls: Uint8Array[] = [];
  /** Milliseconds on every clock of this hub. */
  now = 1_000;
  session = "";
  readonly sfu: Sfu;

  private constructor(sfu: Sfu, lines: string[], frameBytes: number) {
    this.traffic = new Traffic(this.stream, { framesPerGroup: 10, frameBytes });
    this.sfu = sfu;
    this.lines = lines;
  }

  static async open(options: Partial<SfuOptions> = {}, frameBytes = 18_500): Promise<Bench> {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    const log = new Log({ level: "debug", format: "text", write }, {});
    let bench: Bench | null = null;
    const now = () => bench?.now ?? 0;
    const addresses = ["127.0.0.1"];
    const sfu = await Sfu.open({ addresses, port: 0, log, now, wall: now, ...options });
    bench = new Bench(sfu, lines, frameBytes);
    benches.push(bench);
    return bench;
  }

  /** Feeds pictures of 40 ms each. */
  frames(count: number): void {
    for (let i = 0; i < count; i++) {
      this.now += 40;
      this.traffic.frame(this.now, this.now);
    }
  }

  offer(sdp: string, latency: Latency = "default"): string {
    const answer = this.sfu.offer({ camera: "lobby", stream: this.stream, sdp, latency });
    this.session = answer.session;
    return answer.sdp;
  }

  async join(options: LightViewerOptions = {}, latency: Latency = "default"): Promise<LightViewer> {
    const packets: Opened[] = [];
    const viewer = await LightViewer.connect((sdp) => this.offer(sdp, latency), {
      verifyEvery: 1,
      onPacket: (packet) => packets.push(packet),
      onControl: (packet) => this.controls.push(packet),
      ...options,
    });
    this.viewers.push(viewer);
    this.packets.push(packets);
    return viewer;
  }

  /** Statistics of the viewer that joined at this place. */
  viewer(place = 0): ViewerStats | undefined {
    return this.sfu.stats().viewers[place];
  }

  async close(): Promise<void> {
    await this.sfu.close();
    for (const viewer of this.viewers) viewer.close();
  }
}

const benches: Bench[] = [];
afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.close();
});

const DEADLINE_MS = 8_000;

/** Resolves as soon as the condition holds; throws after 8 s. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${condition}`);
    await Bun.sleep(2);
  }
}

const contiguous = (packets: readonly Opened[]) =>
  packets.every(({ index }, i) => i === 0 || index === packets[i - 1]!.index + 1);

const WAYS = [
  ["native", {}],
  ["fallback", { batches: false, protection: nodeProtection }],
] as const;
const cases = WAYS.flatMap(([name, options]) =>
  [7 as const, 1 as const].map((profile) => [name, profile, options] as const),
);

test.skipIf(libc === null || openLibcrypto() === null)("the fast path is taken here", async () => {
  const bench = await Bench.open();
  expect(bench.sfu.stats()).toMatchObject({ crypto: "ffi", send: "gso" });
  expect(bench.lines.join()).not.toContain("WARN");
});

test("without the fast path it says so, once", async () => {
  const bench = await Bench.open(WAYS[1][1]);
  expect(bench.sfu.stats()).toMatchObject({ crypto: "node", send: "bun" });
  expect(bench.lines.filter((line) => line.includes("WARN"))).toHaveLength(1);
});

describe.each(cases)("%s, profile %d", (_name, profile, options) => {
  test("burst on join, then live; all packets authentic and in order", async () => {
    const bench = await Bench.open(options);
    bench.frames(14);
    const viewer = await bench.join({ profiles: [profile] });
    await until(() => bench.viewer()?.state === "live");
    bench.frames(6);
    // From the keyframe of the second group: pictures 10 to 19.
    const expected = bench.stream.ring.head - bench.stream.keyframe;
    await until(() => viewer.counters.packets >= expected);
    expect(viewer.counters).toMatchObject({ packets: expected, gaps: 0, notAuthentic: 0 });
    const [packets = []] = bench.packets;
    expect(contiguous(packets)).toBe(true);
    expect(packets[0]?.timestamp).toBe(bench.stream.ring.timestamp(bench.stream.keyframe));
    expect(bench.sfu.stats()).toMatchObject({ packets: expected, dropped: 0, handshakes: 1 });
  });

  test("sequence numbers wrap, the rollover counter goes on", async () => {
    const random = (length: number) =>
      length === 4
        ? Uint8Array.of(0x77, 0x77, 0x7f, 0xff)
        : crypto.getRandomValues(new Uint8Array(length));
    const bench = await Bench.open({ ...options, random }, 200_000);
    bench.frames(1);
    const viewer = await bench.join({ profiles: [profile] });
    await until(() => bench.viewer()?.state === "live");
    for (let frame = 0; frame < 220; frame++) {
      bench.frames(1);
      const sent = bench.viewer()?.packets ?? 0;
      await until(() => viewer.counters.packets === sent);
    }
    await until(() => (bench.packets[0]?.at(-1)?.index ?? 0) > 65_536);
    expect(bench.packets[0]?.[0]?.index).toBe(0x7fff);
    expect(viewer.counters).toMatchObject({ gaps: 0, notAuthentic: 0 });
  });

  test("a lost packet is asked for and comes again", async () => {
    const bench = await Bench.open(options);
    bench.frames(1);
    const lost: number[] = [];
    const viewer = await bench.join({
      profiles: [profile],
      lose: (datagram) => {
        const sequence = (datagram[2]! << 8) | datagram[3]!;
        const loses = lost.length === 0 && (datagram[1]! & 0x7f) === 96 && sequence % 5 === 0;
        if (loses) lost.push(sequence);
        return loses;
      },
    });
    await until(() => lost.length === 1 && bench.viewer()?.state === "live");
    viewer.nack(lost);
    await until(() => bench.packets[0]?.at(-1)?.payloadType === 97);
    const again = bench.packets[0]?.at(-1);
    expect(again?.ssrc).toBe(viewer.answer?.rtxSsrc ?? -1);
    expect(((again?.payload[0] ?? 0) << 8) | (again?.payload[1] ?? 0)).toBe(lost[0] ?? -1);
    expect(bench.viewer()).toMatchObject({ nacks: 1, retransmitted: 1 });
    expect(bench.sfu.stats()).toMatchObject({ nacks: 1, retransmitted: 1 });
  });
});

describe("media", () => {
  test("a viewer without RTX gets the same datagram again", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const seen = new Map<number, number>();
    const viewer = await bench.join({
      retransmission: false,
      onPacket: ({ index }) => seen.set(index, (seen.get(index) ?? 0) + 1),
    });
    await until(() => seen.size > 20);
    const [first = 0] = seen.keys();
    viewer.nack([first & 0xffff]);
    await until(() => seen.get(first) === 2);
    expect(viewer.counters.notAuthentic).toBe(0);
  });

  test("what the camera lost is a gap in sequence numbers", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => bench.viewer()?.state === "live");
    bench.traffic.lose(4);
    bench.frames(2);
    const sent = bench.viewer()?.packets ?? 0;
    await until(() => viewer.counters.packets === sent);
    expect(viewer.counters.gaps).toBe(1);
    expect(bench.stream.ring.head - sent).toBe(1);
  });

  test("a joiner before the first keyframe starts with it", async () => {
    const bench = await Bench.open();
    const viewer = await bench.join();
    expect(bench.viewer()).toMatchObject({ state: "waiting", firstMediaMs: null });
    bench.frames(2);
    await until(() => viewer.counters.packets === bench.stream.ring.head);
    expect(bench.viewer()).toMatchObject({ state: "live" });
    expect(bench.viewer()?.firstMediaMs).toBeGreaterThan(0);
  });

  test.each([
    ["default", ""],
    ["lowest", "bede000152000000"],
    ["smooth", "bede000152014064"],
  ] as const)("latency %s", async (latency, extension) => {
    const bench = await Bench.open();
    bench.frames(1);
    await bench.join({}, latency);
    await until(() => (bench.packets[0]?.length ?? 0) > 10);
    for (const packet of bench.packets[0] ?? []) expect(packet.extension.toHex()).toBe(extension);
  });

  test("sender reports: at once, then every second, with the camera's clock", async () => {
    const bench = await Bench.open();
    bench.frames(3);
    const viewer = await bench.join();
    const reports = () => {
      const found: NonNullable<ReturnType<typeof readSenderReport>>[] = [];
      for (const control of bench.controls) {
        eachRtcp(control, 0, control.length, (type, _count, start, end) => {
          const report = type === RTCP_SR ? readSenderReport(control, start, end) : null;
          if (report) found.push(report);
        });
      }
      return found;
    };
    await until(() => reports().length === 1);
    bench.frames(30);
    await until(() => reports().length === 2);
    const [first, second] = reports();
    expect(first?.ssrc).toBe(viewer.answer?.ssrc ?? -1);
    expect(second?.wallClock).toBeCloseTo(bench.stream.clock.at(second?.timestamp ?? 0), 2);
    expect(second?.packets).toBe(bench.viewer()?.packets ?? -1);
    const ticks = (second?.timestamp ?? 0) - (first?.timestamp ?? 0);
    expect(ticks / 90).toBeCloseTo((second?.wallClock ?? 0) - (first?.wallClock ?? 0), 0);
  });

  test("a round trip is measured by the report it answers", async () => {
    const bench = await Bench.open();
    bench.frames(2);
    const viewer = await bench.join();
    await until(() => bench.controls.length > 0);
    const report = new Uint8Array(32);
    report.set([0x81, 201, 0, 7]);
    new DataView(report.buffer).setUint32(8, viewer.answer?.ssrc ?? 0);
    report[12] = 64;
    report.set(bench.controls[0]!.subarray(10, 14), 24);
    // 16384 units of 1/65536 s between our report and the viewer's.
    report[30] = 0x40;
    bench.now += 500;
    viewer.control(report);
    await until(() => bench.viewer()?.roundTripMs !== null);
    expect(bench.viewer()).toMatchObject({ roundTripMs: 250, lostFraction: 0.25 });
  });

  test("viewers of two cameras get their own", async () => {
    const bench = await Bench.open();
    const other = new Stream();
    const traffic = new Traffic(other, { frameBytes: 5_000 });
    bench.frames(1);
    traffic.frame(bench.now, bench.now);
    const viewer = await bench.join();
    const second = await LightViewer.connect(
      (sdp) => bench.sfu.offer({ camera: "door", stream: other, sdp, latency: "default" }).sdp,
    );
    bench.viewers.push(second);
    bench.frames(3);
    traffic.frame(bench.now, bench.now);
    await until(() => viewer.counters.packets === bench.stream.ring.head);
    await until(() => second.counters.packets === other.ring.head);
    bench.sfu.endCamera("door");
    expect(bench.sfu.stats().viewers.map(({ camera }) => camera)).toEqual(["lobby"]);
  });
});

describe("addresses", () => {
  test("every announced address has the same port and a candidate", async () => {
    const bench = await Bench.open({ addresses: ["127.0.0.1", "127.0.0.2", "::1"] });
    const answer = bench.offer(CHROMIUM_OFFER);
    const candidates = answer.match(/^a=candidate.*$/gm) ?? [];
    expect(candidates.map((line) => line.split(" ")[4])).toEqual(["127.0.0.1", "127.0.0.2", "::1"]);
    expect(new Set(candidates.map((line) => Number(line.split(" ")[5])))).toEqual(
      new Set([bench.sfu.port]),
    );
  });

  test("IPv6", async () => {
    const bench = await Bench.open({ addresses: ["::1"] });
    bench.frames(2);
    const viewer = await bench.join();
    await until(() => viewer.counters.packets === bench.stream.ring.head);
    expect(viewer.counters.notAuthentic).toBe(0);
  });

  test("a viewer that changes its address goes on", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => bench.viewer()?.state === "live");
    await viewer.move();
    await until(() => {
      bench.frames(1);
      return viewer.counters.packets > 500;
    });
    expect(viewer.counters.notAuthentic).toBe(0);
    viewer.nack([(bench.packets[0]?.at(-1)?.sequence ?? 0) & 0xffff]);
    await until(() => bench.viewer()?.nacks === 1);
  });
});

describe("the end", () => {
  test("DELETE: once, with a goodbye, and nothing comes any more", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => viewer.counters.packets > 20);
    expect(bench.sfu.end(bench.session)).toBe(true);
    expect(bench.sfu.end(bench.session)).toBe(false);
    await until(() => bench.controls.some((control) => control[1] === RTCP_BYE));
    expect(bench.sfu.stats().viewers).toEqual([]);
    const before = bench.sfu.stats().packets;
    bench.frames(3);
    expect(bench.sfu.stats().packets).toBe(before);
  });

  test("BYE from the viewer, and what comes behind it in the same packet", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => viewer.counters.packets > 20);
    const ssrc = viewer.answer?.ssrc ?? 0;
    const word = [ssrc >>> 24, (ssrc >>> 16) & 255, (ssrc >>> 8) & 255, ssrc & 255];
    const bye = [0x81, 203, 0, 1, 0, 0, 0, 0];
    const { sequence } = bench.packets[0]![0]!;
    const nack = [0x81, 205, 0, 3, 0, 0, 0, 0, ...word, sequence >> 8, sequence & 255, 0, 0];
    viewer.control(Uint8Array.from([...bye, ...nack]));
    await until(() => bench.sfu.stats().viewers.length === 0);
    expect(bench.sfu.stats().bugs).toBe(0);
    expect(bench.lines.at(-1)).toContain("viewer left");
  });

  test("30 s without a check", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    await bench.join();
    await until(() => bench.controls.length === 1);
    bench.now += 29_000;
    // A report that is due tells that the hub looked at the time.
    await until(() => bench.controls.length === 2);
    expect(bench.sfu.stats().viewers).toHaveLength(1);
    bench.now += 2_000;
    await until(() => bench.sfu.stats().viewers.length === 0);
    expect(bench.lines.at(-1)).toContain("consent expired");
  });

  test("15 s without any check", async () => {
    const bench = await Bench.open();
    bench.offer(CHROMIUM_OFFER);
    bench.now += 15_001;
    await until(() => bench.sfu.stats().viewers.length === 0);
    expect(bench.lines.at(-1)).toContain("no connectivity check came");
  });

  test("another certificate than the offered one", async () => {
    const bench = await Bench.open();
    const strange = (sdp: string) => sdp.replace(/(sha-256 )..:../, "$100:00");
    const joining = LightViewer.connect((sdp) => bench.offer(strange(sdp)));
    await until(() => bench.sfu.stats().handshakeFailures === 1);
    expect(bench.sfu.stats().viewers).toEqual([]);
    expect(bench.lines.join()).toContain("not the one in the offer");
    await bench.close();
    // The refused viewer gives up by itself, after its own deadline.
    joining.then((viewer) => viewer.close()).catch(() => {});
  });

  test("closing twice", async () => {
    const bench = await Bench.open();
    await bench.join();
    await bench.sfu.close();
    await bench.sfu.close();
    expect(bench.sfu.stats().viewers).toEqual([]);
  });
});

describe("faults stay where they are", () => {
  test.each(WAYS)("%s: a viewer that is gone disturbs nobody", async (_name, options) => {
    const bench = await Bench.open(options);
    bench.frames(1);
    const gone = await bench.join();
    const staying = await bench.join();
    await until(() => bench.viewer(1)?.state === "live" && bench.viewer(0)?.state === "live");
    gone.close();
    for (let i = 0; i < 40; i++) {
      bench.frames(1);
      await Bun.sleep(1);
    }
    await until(() => staying.counters.packets === bench.stream.ring.head);
    expect(staying.counters).toMatchObject({ gaps: 0, notAuthentic: 0 });
    expect(bench.sfu.stats()).toMatchObject({ bugs: 0, dropped: 0 });
  });

  test("a broken assumption ends one viewer only", async () => {
    let made = 0;
    let protectedByFirst = 0;
    const bench = await Bench.open({
      protection: {
        kind: "node",
        protector: (keys) => {
          const right = nodeProtection.protector(keys);
          const wrong = made++ === 0;
          return {
            protect: (out, at, packet) => {
              // Past the first picture: while the stream is handing packets around.
              if (wrong && ++protectedByFirst > 100) throw new Error("invented");
              return right.protect(out, at, packet);
            },
            free: () => right.free(),
          };
        },
      },
    });
    bench.frames(1);
    await bench.join();
    const staying = await bench.join();
    bench.frames(9);
    await until(() => staying.counters.packets === bench.stream.ring.head);
    expect(bench.sfu.stats()).toMatchObject({ bugs: 1 });
    expect(bench.sfu.stats().viewers).toHaveLength(1);
    expect(bench.lines.join()).toContain("invented");
  });

  test("junk on the media port", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => bench.viewer()?.state === "live");
    for (let first = 0; first < 256; first++) {
      viewer.inject(Uint8Array.from({ length: 40 }, (_, i) => (i === 0 ? first : i * first)));
      viewer.inject(Uint8Array.of(first));
      viewer.inject(Uint8Array.of(first, 200, 0, 1));
    }
    bench.frames(3);
    await until(() => viewer.counters.packets === bench.stream.ring.head);
    expect(bench.sfu.stats()).toMatchObject({ bugs: 0 });
    expect(bench.sfu.stats().viewers).toHaveLength(1);
  });
});

describe("limits", () => {
  test("64 viewers may be connecting", async () => {
    const bench = await Bench.open();
    for (let i = 0; i < 64; i++) bench.offer(CHROMIUM_OFFER);
    const fault = (() => {
      try {
        return bench.offer(CHROMIUM_OFFER);
      } catch (error) {
        return error;
      }
    })();
    expect(fault).toBeInstanceOf(Fault);
    expect(fault).toMatchObject({ code: "limit_reached" });
    bench.now += 16_000;
    await until(() => bench.sfu.stats().viewers.length === 0);
    bench.offer(CHROMIUM_OFFER);
  });

  test("a refused offer leaves nothing behind", async () => {
    const bench = await Bench.open();
    expect(() => bench.offer("v=0")).toThrow("offer");
    expect(bench.sfu.stats().viewers).toEqual([]);
  });
});
