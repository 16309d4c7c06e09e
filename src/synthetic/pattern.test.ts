import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { VideoDecoder } from "../native/av-decode.ts";
import { type EncodedUnit, encodeVideo } from "../native/encode.ts";
import { FRAME_NUMBERS, FRAME_READER_SOURCE, Pattern, readFrameNumber } from "./pattern.ts";

const SIZE = { width: 640, height: 360 };

function drawn(pattern: Pattern, frame: number): Uint8Array {
  const i420 = new Uint8Array(pattern.bytes);
  pattern.draw(frame, i420);
  return i420;
}

/** The luma plane in another size, every pixel `channels` times, rows padded by `padding` bytes. */
function scaled(
  luma: Uint8Array,
  from: { width: number; height: number },
  to: { width: number; height: number; channels: number; padding: number },
): { pixels: Uint8Array; stride: number } {
  const stride = to.width * to.channels + to.padding;
  const pixels = new Uint8Array(stride * to.height).fill(77);
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < to.width; x++) {
      const row = Math.floor(((y + 0.5) * from.height) / to.height);
      const column = Math.floor(((x + 0.5) * from.width) / to.width);
      const value = luma[row * from.width + column]!;
      pixels.fill(value, y * stride + x * to.channels, y * stride + (x + 1) * to.channels);
    }
  }
  return { pixels, stride };
}

/** Decodes every unit, scales its picture to BGR24 and reads it. */
function frameNumbersOf(units: readonly EncodedUnit[], { width, height }: typeof SIZE) {
  using decoder = new VideoDecoder("h264", null);
  const memory = new Uint8Array(width * height * 3 + 64);
  return units.map((unit, i) => {
    expect(decoder.send(unit.bytes, i)).toBe(true);
    expect(decoder.receive()).toMatchObject({ sequence: i, keyframe: unit.keyframe });
    expect(decoder.scale(memory, width, height)).toBe(true);
    return readFrameNumber(memory, width, height, width * 3, 3);
  });
}

describe("Pattern", () => {
  test("fills every sample, within the limited range", () => {
    const pattern = new Pattern({ width: 322, height: 182 }, 25, 50);
    const [first, second] = [0, 255].map((before) => {
      const i420 = new Uint8Array(pattern.bytes).fill(before);
      pattern.draw(3, i420);
      return i420;
    });
    expect(first).toEqual(second!);
    const luma = first!.subarray(0, 322 * 182);
    expect(luma.every((value) => value >= 16 && value <= 235)).toBe(true);
  });

  test("is the same every time, and another in every frame", () => {
    const pattern = new Pattern(SIZE, 25, 250);
    expect(drawn(new Pattern(SIZE, 25, 250), 7)).toEqual(drawn(pattern, 7));
    expect(drawn(pattern, 8)).not.toEqual(drawn(pattern, 7));
  });
});

describe("readFrameNumber", () => {
  const pattern = new Pattern(SIZE, 25, 250);

  test("reads every kind of picture, at any scale", () => {
    const sizes = [
      { width: 640, height: 360 },
      { width: 1280, height: 720 },
      { width: 320, height: 180 },
      { width: 160, height: 90 },
      { width: 333, height: 333 },
    ];
    for (const size of sizes) {
      for (const channels of [1, 3, 4]) {
        const luma = drawn(pattern, 12_345);
        const { pixels, stride } = scaled(luma, SIZE, { ...size, channels, padding: 13 });
        expect(readFrameNumber(pixels, size.width, size.height, stride, channels)).toBe(12_345);
      }
    }
  });

  test("reads every number there is, and starts again after the last", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3 * FRAME_NUMBERS }), (frame) => {
        const read = readFrameNumber(drawn(pattern, frame), SIZE.width, SIZE.height, SIZE.width, 1);
        expect(read).toBe(frame % FRAME_NUMBERS);
      }),
      { examples: [[0], [FRAME_NUMBERS - 1], [FRAME_NUMBERS]] },
    );
  });

  test("reads nothing from grey, black, white or random pictures", () => {
    for (const value of [0, 16, 128, 255]) {
      const flat = new Uint8Array(SIZE.width * SIZE.height).fill(value);
      expect(readFrameNumber(flat, SIZE.width, SIZE.height, SIZE.width, 1)).toBeNull();
    }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4000, maxLength: 4000 }), (junk) => {
        expect(readFrameNumber(junk, 80, 50, 80, 1)).toBeNull();
      }),
    );
    expect(readFrameNumber(new Uint8Array(0), 640, 360, 640, 1)).toBeNull();
  });

  test("does not read one number from a mixture of two", () => {
    const mixture = drawn(pattern, 1000);
    const other = drawn(pattern, 1023);
    for (let i = 0; i < mixture.length; i++) mixture[i] = 0.6 * mixture[i]! + 0.4 * other[i]!;
    expect(readFrameNumber(mixture, SIZE.width, SIZE.height, SIZE.width, 1)).toBeNull();
  });

  test("does not read a number when a cell is turned over", () => {
    const { width, height } = SIZE;
    const cell = (width * 30) / 32 / 24;
    for (let index = 0; index < 24; index++) {
      const luma = drawn(pattern, 31_000);
      const from = Math.round(width / 32 + index * cell);
      for (let row = Math.floor(height * 0.86); row < height * 0.96; row++) {
        const line = luma.subarray(row * width, (row + 1) * width);
        for (let x = from; x < from + cell; x++) line[x] = 251 - line[x]!;
      }
      expect(readFrameNumber(luma, width, height, width, 1)).toBeNull();
    }
  });

  test("is the same function as text, without anything around it", () => {
    const read: typeof readFrameNumber = new Function(`return ${FRAME_READER_SOURCE}`)();
    for (const frame of [0, 1, 4711, FRAME_NUMBERS - 1]) {
      expect(read(drawn(pattern, frame), SIZE.width, SIZE.height, SIZE.width, 1)).toBe(frame);
    }
    expect(read(new Uint8Array(640 * 360), 640, 360, 640, 1)).toBeNull();
  });

  test("survives 1080p at 2 Mbps, scaled down to 640x360", async () => {
    const size = { width: 1920, height: 1080 };
    const rates = { fps: 25, bitrate: 2_000_000, gopFrames: 25 };
    const video = {
      codec: "h264",
      ...size,
      ...rates,
      profile: "baseline",
      parameterSets: "in band",
    } as const;
    const source = new Pattern(size, 25, 50);
    const paint = (frame: number, i420: Uint8Array) => source.draw(frame, i420);
    const { signal } = new AbortController();
    const { units } = await encodeVideo({ ...video, frames: 50 }, { paint }, signal);
    expect(frameNumbersOf(units, SIZE)).toEqual(Array.from({ length: 50 }, (_, frame) => frame));
  });
});
