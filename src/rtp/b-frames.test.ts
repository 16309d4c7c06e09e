import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type EncodeOptions, encodeVideo } from "../native/encode.ts";
import { nalUnits } from "./annex-b.ts";
import { BFrames } from "./b-frames.ts";
import { readH265Sps } from "./h265-sps.ts";
import { readSps } from "./sps.ts";
import type { VideoCodec } from "./track-format.ts";

/** What an encoder writes, with and without B-frames. */
async function encoded(codec: VideoCodec, over: Partial<EncodeOptions>): Promise<Uint8Array[]> {
  const size = { width: 160, height: 96, fps: 25, frames: 24, bitrate: 200_000, gopFrames: 12 };
  const options = { ...size, codec, profile: "main", parameterSets: "in band", ...over } as const;
  const paint = (frame: number, i420: Uint8Array): void => {
    for (let i = 0; i < i420.length; i++) i420[i] = 16 + ((i * 7 + frame * 5) % 200);
  };
  const { units } = await encodeVideo(options, { paint }, new AbortController().signal);
  return units.map(({ bytes }) => bytes);
}

function found(codec: VideoCodec, units: readonly Uint8Array[]): boolean {
  const frames = new BFrames(codec);
  for (const unit of units) frames.unit(unit);
  return frames.found;
}

let plain: Uint8Array[] = [];
let withB: Uint8Array[] = [];
beforeAll(async () => {
  plain = await encoded("h264", {});
  withB = await encoded("h264", { bFrames: 2 });
});

describe("B-frames", () => {
  test("seen where an encoder makes them, and only there", async () => {
    expect(found("h264", plain)).toBe(false);
    expect(found("h264", withB)).toBe(true);
    expect(found("h264", await encoded("h264", { profile: "baseline" }))).toBe(false);
    expect(found("h265", await encoded("h265", {}))).toBe(false);
    expect(found("h265", await encoded("h265", { bFrames: 2 }))).toBe(true);
    expect(found("mjpeg", [new Uint8Array([0xff, 0xd8])])).toBe(false);
  });

  test("allowed but not made is not found; slices count also without a parameter set", () => {
    const sets = withB.slice(0, 1);
    const [, ...predicted] = plain;
    expect(found("h264", [...sets, ...predicted])).toBe(false);
    expect(found("h264", withB.slice(1))).toBe(true);
  });

  test("a stream that changes to another way of coding is looked at anew", () => {
    const frames = new BFrames("h264");
    for (const unit of withB) frames.unit(unit);
    for (const unit of plain) frames.unit(unit);
    expect(frames.found).toBe(false);
  });

  test("parameter sets say how many pictures are held back", async () => {
    const h264 = (units: readonly Uint8Array[]) =>
      units
        .flatMap(nalUnits)
        .map(readSps)
        .find((info) => info !== null)?.reorderPictures;
    expect([h264(plain), h264(withB)]).toEqual([0, 2]);
    const h265 = async (bFrames: number) =>
      (await encoded("h265", { bFrames })).flatMap(nalUnits).map(readH265Sps).find(Boolean);
    expect((await h265(0))?.reorderPictures).toBe(0);
    expect((await h265(2))?.reorderPictures).toBeGreaterThan(0);
  });

  test("any bytes: an answer", () => {
    const junk = fc.uint8Array({ maxLength: 80, max: 8 });
    fc.assert(
      fc.property(junk, fc.constantFrom<VideoCodec>("h264", "h265"), (bytes, codec) => {
        expect(typeof found(codec, [bytes])).toBe("boolean");
      }),
    );
  });
});
