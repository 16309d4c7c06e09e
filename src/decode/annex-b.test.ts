import { expect, test } from "bun:test";
import { isWithoutPicture } from "./annex-b.ts";

const nal = (type: number, ...rest: number[]) => [0, 0, 0, 1, 0x60 | type, ...rest];

test.each([
  { name: "nothing at all", bytes: [], without: false },
  { name: "no start code", bytes: [7, 8, 9, 10, 11], without: false },
  { name: "a start code and no more", bytes: [0, 0, 1], without: false },
  { name: "parameter sets", bytes: [...nal(7, 1, 2), ...nal(8, 3)], without: true },
  { name: "a delimiter alone", bytes: nal(9, 0xf0), without: true },
  { name: "a slice", bytes: nal(1, 9, 9), without: false },
  {
    name: "a keyframe behind its parameter sets",
    bytes: [...nal(7), ...nal(8), ...nal(5)],
    without: false,
  },
  { name: "a start code of three bytes", bytes: [0, 0, 1, 0x65], without: false },
  { name: "an unknown type", bytes: nal(30), without: false },
])("$name", ({ bytes, without }) => {
  expect(isWithoutPicture(Uint8Array.from(bytes))).toBe(without);
});
