import { describe, expect, test } from "bun:test";
import { readSps } from "../rtp/sps.ts";
import { type EncodedUnit, type EncodeOptions, encodeVideo, type H264Profile } from "./encode.ts";

const SMALL: EncodeOptions = {
  codec: "h264",
  width: 320,
  height: 180,
  fps: 25,
  bitrate: 400_000,
  gopFrames: 10,
  frames: 30,
  profile: "baseline",
  parameterSets: "in band",
};
const signal = new AbortController().signal;

/** Something no predictor can foresee, so that the encoder spends what it may. */
function paint(frame: number, i420: Uint8Array): void {
  let s = frame + 1;
  for (let i = 0; i < i420.length; i++) {
    s = (Math.imul(s, 1_103_515_245) + 12_345) >>> 0;
    i420[i] = 96 + (s >>> 26);
  }
}

/** The NAL units of an access unit. */
function nals({ bytes }: { bytes: Uint8Array }): Uint8Array[] {
  const starts: number[] = [];
  for (let i = 0; i + 2 < bytes.length; i++) {
    if (bytes[i] === 0 && bytes[i + 1] === 0 && bytes[i + 2] === 1) starts.push(i + 3);
  }
  return starts.map((start, i) => bytes.subarray(start, (starts[i + 1] ?? bytes.length + 3) - 3));
}

function types(unit: EncodedUnit): number[] {
  return nals(unit).map((nal) => nal[0]! & 0x1f);
}

describe("encodeVideo", () => {
  test("makes one unit per picture and a keyframe every group", async () => {
    let done = 0;
    const { units } = await encodeVideo(SMALL, { paint, progress: (n) => (done = n) }, signal);
    expect(units.map((unit) => unit.keyframe)).toEqual(
      Array.from({ length: 30 }, (_, i) => i % 10 === 0),
    );
    expect(done).toBe(30);
  });

  test("repeats parameter sets in front of each keyframe, or keeps them apart", async () => {
    const inBand = await encodeVideo(SMALL, { paint }, signal);
    for (const unit of inBand.units) {
      expect(types(unit).includes(7) && types(unit).includes(8)).toBe(unit.keyframe);
    }
    const apart = await encodeVideo({ ...SMALL, parameterSets: "out of band" }, { paint }, signal);
    for (const unit of apart.units) expect(types(unit)).not.toContain(7);
    for (const { parameterSets } of [inBand, apart]) {
      expect(nals({ bytes: parameterSets }).some((nal) => readSps(nal)?.width === 320)).toBe(true);
    }
  });

  const PROFILES: [H264Profile, number][] = [
    ["baseline", 66],
    ["main", 77],
    ["high", 100],
  ];
  test.each(PROFILES)("writes profile %s", async (profile, number) => {
    const { parameterSets } = await encodeVideo(
      { ...SMALL, profile, frames: 3 },
      { paint },
      signal,
    );
    const sps = nals({ bytes: parameterSets }).find((nal) => (nal[0]! & 0x1f) === 7);
    expect(readSps(sps ?? new Uint8Array(0))).toMatchObject({
      profile: number,
      width: 320,
      height: 180,
    });
  });

  test("holds the bitrate", async () => {
    const { units } = await encodeVideo({ ...SMALL, frames: 100 }, { paint }, signal);
    const bytes = units.reduce((sum, unit) => sum + unit.bytes.length, 0);
    const bitrate = (bytes * 8) / (units.length / SMALL.fps);
    expect(bitrate).toBeGreaterThan(SMALL.bitrate * 0.8);
    expect(bitrate).toBeLessThan(SMALL.bitrate * 1.2);
  });

  test("stops when it is told to", async () => {
    const aborter = new AbortController();
    const progress = (n: number) => n === 2 && aborter.abort();
    const encoding = encodeVideo(SMALL, { paint, progress }, aborter.signal);
    await expect(encoding).rejects.toThrow("abort");
  });

  test("says what to do when the encoder refuses", async () => {
    const encoding = encodeVideo({ ...SMALL, width: 0 }, { paint }, signal);
    await expect(encoding).rejects.toMatchObject({ code: "native_unavailable" });
  });
});
