import { expect, test } from "bun:test";
import fc from "fast-check";
import { isWithoutPicture, nalUnits } from "./annex-b.ts";

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

const nalOf = (type: number, ...rest: number[]) => [0, 0, 0, 1, 0x60 | type, ...rest];

test.each([
  { name: "nothing at all", bytes: [], without: false },
  { name: "no start code", bytes: [7, 8, 9, 10, 11], without: false },
  { name: "a start code and no more", bytes: [0, 0, 1], without: false },
  { name: "parameter sets", bytes: [...nalOf(7, 1, 2), ...nalOf(8, 3)], without: true },
  { name: "a delimiter alone", bytes: nalOf(9, 0xf0), without: true },
  { name: "a slice", bytes: nalOf(1, 9, 9), without: false },
  {
    name: "a keyframe behind its parameter sets",
    bytes: [...nalOf(7), ...nalOf(8), ...nalOf(5)],
    without: false,
  },
  { name: "a start code of three bytes", bytes: [0, 0, 1, 0x65], without: false },
  { name: "an unknown type", bytes: nalOf(30), without: false },
])("$name", ({ bytes, without }) => {
  expect(isWithoutPicture(Uint8Array.from(bytes))).toBe(without);
});
