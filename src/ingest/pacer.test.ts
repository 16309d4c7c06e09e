import { expect, test } from "bun:test";
import { Pacer } from "./pacer.ts";

function rig() {
  let now = 1_000_000;
  return {
    pacer: new Pacer(() => now),
    at: (ms: number) => {
      now = 1_000_000 + ms;
    },
  };
}

test("units wait for their time, counted from the first", () => {
  const { pacer, at } = rig();
  expect(pacer.waitMs(77)).toBe(0);
  expect(pacer.waitMs(77.04)).toBeCloseTo(40);
  at(40);
  expect(pacer.waitMs(77.04)).toBe(0);
  expect(pacer.waitMs(77.08)).toBeCloseTo(40);
});

test("a little late is made up for, a pause is not hurried after", () => {
  const { pacer, at } = rig();
  pacer.waitMs(0);
  at(140);
  expect(pacer.waitMs(0.04)).toBe(0);
  expect(pacer.waitMs(0.2)).toBeCloseTo(60);
  at(5_000);
  expect(pacer.waitMs(0.24)).toBe(0);
  expect(pacer.waitMs(0.28)).toBeCloseTo(40);
});

test("a jump of the source's clock is not waited for", () => {
  const { pacer } = rig();
  pacer.waitMs(0);
  expect(pacer.waitMs(90_000)).toBe(0);
  expect(pacer.waitMs(90_000.04)).toBeCloseTo(40);
});
