import { expect, test } from "bun:test";
import fc from "fast-check";
import { nalUnits } from "./annexb.ts";

test("finds NAL units behind start codes of three and four bytes", () => {
  const stream = Uint8Array.of(0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 1, 1, 0, 0, 1, 0x65, 0, 1, 9);
  expect(nalUnits(stream).map((nal) => [...nal])).toEqual([
    [0x67, 1],
    [0x68, 1, 1],
    [0x65, 0, 1, 9],
  ]);
});

test("gives back whatever NAL units a stream was made of", () => {
  // Emulation prevention keeps two zeros in a row out of NAL units; none ends in a zero.
  const nal = fc
    .array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 20 })
    .map((bytes) => bytes.map((byte, i) => (byte === 0 && bytes[i - 1] === 0 ? 3 : byte)))
    .map((bytes) => [...bytes.map((byte, i) => (i % 2 === 1 && byte === 0 ? 3 : byte)), 0x80]);
  fc.assert(
    fc.property(fc.array(nal), (nals) => {
      const stream = Uint8Array.from(nals.flatMap((bytes) => [0, 0, 0, 1, ...bytes]));
      expect(nalUnits(stream).map((found) => [...found])).toEqual(nals);
    }),
  );
});
