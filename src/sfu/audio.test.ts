// Sound beside the picture: two tracks under one session's keys.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { readU32 } from "../rtp/header.ts";
import { eachRtcp, RTCP_BYE, RTCP_SR, readSenderReport, type SenderReport } from "../rtp/rtcp.ts";
import { Bench, closeBenches, type Opened, until } from "./fixtures/bench.ts";
import { drawSources } from "./plan.ts";

setDefaultTimeout(20_000);
afterEach(closeBenches);

/** A viewer of picture and sound, when both have been running for a while. */
async function joined(options: Parameters<Bench["join"]>[0] = {}) {
  const bench = await Bench.open();
  bench.frames(3);
  bench.sound(10);
  const viewer = await bench.join({ audio: true, ...options });
  await until(() => bench.viewer()?.state === "live");
  const of = (ssrc: number) => (bench.packets[0] ?? []).filter((packet) => packet.ssrc === ssrc);
  const { ssrc = 0, audioSsrc = 0 } = viewer.answer ?? {};
  return { bench, viewer, ssrc, audioSsrc, sight: () => of(ssrc), heard: () => of(audioSsrc) };
}

const contiguous = (packets: readonly Opened[]) =>
  packets.every(({ index }, i) => i === 0 || index === packets[i - 1]!.index + 1);

function reports(bench: Bench): SenderReport[] {
  const found: SenderReport[] = [];
  for (const control of bench.controls) {
    eachRtcp(control, 0, control.length, (type, _count, start, end) => {
      const report = type === RTCP_SR ? readSenderReport(control, start, end) : null;
      if (report) found.push(report);
    });
  }
  return found;
}

describe("sound", () => {
  test("the picture begins with what is there, sound with what comes", async () => {
    const { bench, viewer, sight, heard } = await joined();
    const before = bench.audio?.ring.head ?? 0;
    expect(heard()).toEqual([]);
    bench.sound(5);
    bench.frames(2);
    await until(() => sight().length === bench.track.ring.head && heard().length === 5);
    expect(viewer.counters.notAuthentic).toBe(0);
    expect(contiguous(sight())).toBe(true);
    expect(contiguous(heard())).toBe(true);
    for (const [i, packet] of heard().entries()) {
      expect(packet).toMatchObject({ payloadType: 111, timestamp: (before + i) * 960 });
      // RFC 3551 section 4.1: set where a talkspurt begins, and this one never ended.
      expect(packet.marker).toBe(false);
      expect(packet.extension).toHaveLength(0);
      expect(new Set(packet.payload)).toEqual(new Set([before + i]));
    }
    expect(bench.viewer()?.tracks).toMatchObject([
      { codec: "h264", packets: bench.track.ring.head },
      { codec: "opus", packets: 5, bytes: 200 },
    ]);
  });

  test("a camera without a picture", async () => {
    const bench = await Bench.open();
    bench.sound(3);
    const answer = bench.sfu.answer(bench.sfu.read(await offerOf(bench)), {
      camera: "door",
      video: null,
      audio: bench.audio,
      latency: "default",
    });
    const directions = answer.sdp.match(/^(m=\w+|a=(sendonly|inactive)$)/gm);
    expect(directions).toEqual(["m=video", "a=inactive", "m=audio", "a=sendonly"]);
  });

  test("reports of both, by one clock", async () => {
    const { bench, ssrc, audioSsrc } = await joined();
    bench.sound(1);
    await until(() => reports(bench).some((report) => report.ssrc === audioSsrc));
    const latest = (which: number) => reports(bench).findLast((report) => report.ssrc === which);
    expect(latest(audioSsrc)?.wallClock).toBeCloseTo(bench.now, 0);
    expect(latest(audioSsrc)?.packets).toBe(1);
    // The picture's clock is the camera's now, the sound's is not: that would be out of step.
    bench.track.clock.reported(bench.track.newestTimestamp, bench.now + 500);
    bench.frames(1);
    expect([bench.track.clock.source, bench.audio?.clock.source]).toEqual(["rtcp", "arrival"]);
    const count = reports(bench).length;
    bench.now += 1_000;
    await until(() => reports(bench).length >= count + 2);
    expect(latest(ssrc)?.wallClock).toBeCloseTo(bench.now, 0);
    expect(latest(audioSsrc)?.wallClock).toBeCloseTo(bench.now, 0);
  });

  test("what the viewer reports is kept track by track", async () => {
    const { bench, viewer, ssrc, audioSsrc } = await joined();
    bench.sound(1);
    const word = (value: number) => [value >>> 24, value >>> 16, value >>> 8, value];
    const block = (about: number, fraction: number, jitter: number) =>
      [word(about), [fraction, 0, 0, 7], word(0), word(jitter), word(0), word(0)].flat();
    const body = [...word(1), ...block(ssrc, 64, 900), ...block(audioSsrc, 128, 480)];
    viewer.control(Uint8Array.from([0x82, 201, 0, body.length / 4, ...body]));
    await until(() => bench.viewer()?.lostFraction !== null);
    expect(bench.viewer()).toMatchObject({
      lostFraction: 0.25,
      tracks: [
        { lostFraction: 0.25, lost: 7, jitterMs: 10 },
        { lostFraction: 0.5, lost: 7, jitterMs: 10 },
      ],
    });
  });

  test("lost packets of either come again, of others never", async () => {
    const { bench, viewer, ssrc, audioSsrc, sight, heard } = await joined();
    bench.sound(3);
    await until(() => heard().length === 3);
    const [first] = heard();
    viewer.nack([first!.sequence], audioSsrc);
    await until(() => heard().length === 4);
    // Sound has no payload type for retransmissions: the very same packet, under the same nonce.
    expect(heard()[3]).toEqual(first!);
    viewer.nack([sight()[0]!.sequence], ssrc + 2 === audioSsrc ? ssrc + 3 : 1);
    viewer.nack([sight()[0]!.sequence], ssrc);
    await until(() => bench.packets[0]?.at(-1)?.payloadType === 97);
    expect(bench.viewer()).toMatchObject({ nacks: 2, retransmitted: 2 });
  });

  test("one goodbye names both", async () => {
    const { bench, ssrc, audioSsrc } = await joined();
    bench.sfu.end(bench.session);
    await until(() => bench.controls.some((control) => control[1] === RTCP_BYE));
    const bye = bench.controls.find((control) => control[1] === RTCP_BYE) ?? new Uint8Array(12);
    expect([readU32(bye, 4), readU32(bye, 8)]).toEqual([ssrc, audioSsrc]);
  });

  test("numbers of a session differ, whatever chance says", () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffffffff }), (random) => {
        const { video, audio } = drawSources(random);
        const all = [video.ssrc, video.rtxSsrc, audio.ssrc, audio.rtxSsrc];
        expect(new Set(all).size).toBe(4);
        for (const ssrc of all) expect(ssrc).toBeWithin(0, 2 ** 32);
      }),
    );
  });
});

describe("whoever arranged a session hears once that it ended", () => {
  test.each([
    ["deleted", (bench: Bench) => void bench.sfu.end(bench.session)],
    ["its camera removed", (bench: Bench) => bench.sfu.endCamera("lobby")],
    ["the picture's track ended", (bench: Bench) => bench.track.end()],
    ["the sound's track ended", (bench: Bench) => bench.audio?.end()],
    ["shut down", (bench: Bench) => void bench.sfu.close()],
    ["the viewer left", (bench: Bench) => bench.viewers[0]?.leave()],
  ])("%s", async (_name, end) => {
    const { bench } = await joined();
    expect(bench.ended).toBe(0);
    end(bench);
    await until(() => bench.sfu.stats().viewers.length === 0);
    expect(bench.ended).toBe(1);
    await bench.sfu.close();
    bench.track.end();
    expect(bench.ended).toBe(1);
    expect(bench.sfu.stats().bugs).toBe(0);
  });

  test("one that never connected, too", async () => {
    const bench = await Bench.open();
    bench.offer(await offerOf(bench));
    expect(bench.ended).toBe(0);
    bench.now += 15_001;
    await until(() => bench.ended === 1);
  });

  test("one that was refused does not begin, so it does not end", async () => {
    const bench = await Bench.open();
    const offer = (await offerOf(bench)).replaceAll("H264", "VP9");
    expect(() => bench.offer(offer)).toThrow("video/VP9");
    expect(bench.ended).toBe(0);
  });

  test("what goes wrong there is noted, and harms nobody", async () => {
    const { bench } = await joined();
    const other = await bench.join();
    await until(() => bench.viewer(1)?.state === "live");
    const offer = bench.sfu.read(await offerOf(bench));
    const { track: video, audio } = bench;
    const ended = () => {
      throw new Error("invented");
    };
    const request = { camera: "door", video, audio, latency: "default", ended } as const;
    bench.sfu.answer(offer, request);
    bench.sfu.endCamera("door");
    expect(bench.sfu.stats()).toMatchObject({ bugs: 1 });
    bench.frames(1);
    await until(() => other.counters.packets === bench.track.ring.head);
  });
});

/** What a light viewer would offer; it goes no further. */
async function offerOf(bench: Bench): Promise<string> {
  let offer = "";
  const stop = (sdp: string): string => {
    offer = sdp;
    throw new Error("enough");
  };
  const { LightViewer } = await import("../../bench/light/viewer.ts");
  await LightViewer.connect(stop, { audio: true }).catch(() => {});
  expect(bench.sfu.port).toBeGreaterThan(0);
  return offer;
}
