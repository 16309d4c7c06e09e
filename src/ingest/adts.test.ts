import { expect, test } from "bun:test";
import fc from "fast-check";
import { adtsConfig, adtsFrames, isAdts } from "./adts.ts";

/** 44,100 Hz, mono, without checksum; `payload` behind it. */
function frame(payload: readonly number[], checksum = false): number[] {
  const header = checksum ? 9 : 7;
  const length = header + payload.length;
  const head = [0xff, checksum ? 0xf0 : 0xf1, 0x50, 0x40 | (length >> 11), (length >> 3) & 0xff];
  return [...head, ((length & 7) << 5) | 0x1f, 0xfc, ...(checksum ? [0, 0] : []), ...payload];
}

test("frames one behind another, with and without checksum", () => {
  const b = Uint8Array.from([...frame([1, 2, 3]), ...frame([4], true), ...frame([])]);
  expect(adtsFrames(b).map(({ start, end }) => [...b.subarray(start, end)])).toEqual([
    [1, 2, 3],
    [4],
    [],
  ]);
});

test("what is cut off is left out", () => {
  const b = Uint8Array.from([...frame([1, 2, 3]), ...frame([4, 5]).slice(0, -1)]);
  expect(adtsFrames(b)).toEqual([{ start: 7, end: 10 }]);
});

test("the header says what the AudioSpecificConfig would", () => {
  expect(adtsConfig(Uint8Array.from(frame([1])))).toEqual(new Uint8Array([0x12, 0x08]));
});

test("raw AAC is not taken for ADTS", () => {
  expect(isAdts(Uint8Array.fromHex("de02004c617663"))).toBe(false);
  expect(adtsConfig(Uint8Array.fromHex("de02004c617663"))).toBeNull();
});

test("any bytes: frames inside of them, or none", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => {
      const b = Uint8Array.from([0xff, 0xf1, ...junk]);
      for (const { start, end } of adtsFrames(b)) {
        expect(start).toBeLessThanOrEqual(end);
        expect(end).toBeLessThanOrEqual(b.length);
      }
      adtsConfig(b);
    }),
  );
});
