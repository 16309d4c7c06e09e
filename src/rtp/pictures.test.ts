import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isLeading, isWithoutPicture } from "./pictures.ts";
import type { VideoCodec } from "./track-format.ts";

const START = [0, 0, 0, 1];
/** A NAL unit of H.265 of this type, header of two bytes. */
const nal265 = (type: number) => [...START, type << 1, 1, 0x80];

describe("units without a picture", () => {
  const cases: [name: string, codec: VideoCodec, bytes: number[], without: boolean][] = [
    ["H.264 delimiter", "h264", [...START, 9, 0xf0], true],
    ["H.264 slice", "h264", [...START, 0x41, 0x9a], false],
    ["H.265 delimiter", "h265", nal265(35), true],
    ["H.265 parameter sets and message", "h265", [32, 33, 34, 39].flatMap(nal265), true],
    ["H.265 keyframe", "h265", [32, 33, 34, 19].flatMap(nal265), false],
    ["H.265 slice", "h265", nal265(1), false],
    ["H.265 unknown type only: damage", "h265", nal265(45), false],
    ["nothing: damage", "h265", [], false],
    ["JPEG", "mjpeg", [0xff, 0xd8], false],
    ["VP8", "vp8", [0x10], false],
  ];
  test.each(cases)("%s", (_, codec, bytes, without) => {
    expect(isWithoutPicture(codec, Uint8Array.from(bytes))).toBe(without);
  });
});

describe("leading pictures", () => {
  const cases: [name: string, codec: VideoCodec, bytes: number[], leading: boolean][] = [
    ["RASL_N", "h265", nal265(8), true],
    ["RASL_R behind a delimiter", "h265", [35, 9].flatMap(nal265), true],
    ["RADL decodes", "h265", nal265(6), false],
    ["CRA", "h265", nal265(21), false],
    ["H.264 has none", "h264", nal265(8), false],
  ];
  test.each(cases)("%s", (_, codec, bytes, leading) => {
    expect(isLeading(codec, Uint8Array.from(bytes))).toBe(leading);
  });

  test("random bytes are looked at without harm", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60, max: 3 }), (bytes) => {
        expect(typeof isLeading("h265", bytes)).toBe("boolean");
        expect(typeof isWithoutPicture("h265", bytes)).toBe("boolean");
      }),
    );
  });
});
