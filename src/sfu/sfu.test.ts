import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Traffic } from "../../bench/light/traffic.ts";
import { LightViewer } from "../../bench/light/viewer.ts";
import { openLibcrypto } from "../native/crypto.ts";
import { libc } from "../native/libc.ts";
import { eachRtcp, RTCP_SR, readSenderReport } from "../rtp/rtcp.ts";
import { videoFormat } from "../rtp/track-format.ts";
import { Track } from "../stream/track.ts";
import { Bench, closeBenches, type Opened, until, WAYS } from "./fixtures/bench.ts";

setDefaultTimeout(20_000);
afterEach(closeBenches);

const contiguous = (packets: readonly Opened[]) =>
  packets.every(({ index }, i) => i === 0 || index === packets[i - 1]!.index + 1);

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
    const expected = bench.track.ring.head - bench.track.keyframe;
    await until(() => viewer.counters.packets >= expected);
    expect(viewer.counters).toMatchObject({ packets: expected, gaps: 0, notAuthentic: 0 });
    const [packets = []] = bench.packets;
    expect(contiguous(packets)).toBe(true);
    expect(packets[0]?.timestamp).toBe(bench.track.ring.timestamp(bench.track.keyframe));
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
    expect(bench.track.ring.head - sent).toBe(1);
  });

  test("a joiner before the first keyframe starts with it", async () => {
    const bench = await Bench.open();
    const viewer = await bench.join();
    expect(bench.viewer()).toMatchObject({ state: "waiting", firstMediaMs: null });
    bench.frames(2);
    await until(() => viewer.counters.packets === bench.track.ring.head);
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
    expect(second?.wallClock).toBeCloseTo(bench.track.clock.at(second?.timestamp ?? 0), 2);
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
    const other = new Track(videoFormat("h264"));
    const traffic = new Traffic(other, { frameBytes: 5_000 });
    bench.frames(1);
    traffic.frame(bench.now, bench.now);
    const viewer = await bench.join();
    const request = { camera: "door", video: other, audio: null, latency: "default" } as const;
    const second = await LightViewer.connect(
      (sdp) => bench.sfu.answer(bench.sfu.read(sdp), request).sdp,
    );
    bench.viewers.push(second);
    bench.frames(3);
    traffic.frame(bench.now, bench.now);
    await until(() => viewer.counters.packets === bench.track.ring.head);
    await until(() => second.counters.packets === other.ring.head);
    bench.sfu.endCamera("door");
    expect(bench.sfu.stats().viewers.map(({ camera }) => camera)).toEqual(["lobby"]);
  });
});
