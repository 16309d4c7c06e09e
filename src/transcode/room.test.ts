import { expect, test } from "bun:test";
import { hasRoom, SOUND_ALONE_MAX, type Use } from "./room.ts";

const many = (use: Use, count: number): Use[] => Array.from({ length: count }, () => use);

test("pictures up to the limit, however much sound is transcoded and whatever lingers", () => {
  const others = [...many("pictures", 3), ...many("sound", 10), ...many("nothing", 5)];
  expect(hasRoom("pictures", others, 4)).toBe(true);
  expect(hasRoom("pictures", [...others, "pictures"], 4)).toBe(false);
});

test("sound of a few streams, however many pictures are transcoded", () => {
  const others = [...many("pictures", 4), ...many("sound", SOUND_ALONE_MAX - 1)];
  expect(hasRoom("sound", others, 4)).toBe(true);
  expect(hasRoom("sound", [...others, "sound"], 4)).toBe(false);
});

test("nothing at all where transcoding is turned off", () => {
  expect([hasRoom("pictures", [], 0), hasRoom("sound", [], 0)]).toEqual([false, false]);
});
