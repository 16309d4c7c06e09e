import { expect, test } from "bun:test";
import { Backoff } from "./backoff.ts";
import { assert, Fault, faultOf, problemOf } from "./fault.ts";
import { Secret } from "./secret.ts";
import { Tally } from "./tally.ts";
import { ticksBetween } from "./units.ts";

test("backoff doubles to its cap, jittered, and starts over after a success", () => {
  const limits = { firstMs: 100, maxMs: 1_000 };
  const low = new Backoff(limits, () => 0);
  expect([low.next(), low.next(), low.next(), low.next(), low.next()]).toEqual([
    50, 100, 200, 400, 500,
  ]);
  const high = new Backoff(limits, () => 1);
  for (let i = 0; i < 1_100; i++) expect(high.next()).toBeLessThanOrEqual(1_000);
  expect(high.attempt).toBe(1_100);
  high.reset();
  expect(high.next()).toBe(100);
});

test("a thousand faults make one line a second", () => {
  const tally = new Tally();
  for (let i = 0; i < 1_000; i++) tally.add("lost");
  expect(tally.take(5)?.get("lost")).toBe(1_000);
  tally.add("lost");
  expect(tally.take(500)).toBeNull();
  expect(tally.take(1_005)?.get("lost")).toBe(1);
});

test("a secret prints nowhere", () => {
  const secret = new Secret("hunter2");
  const texts = [`${secret}`, JSON.stringify({ secret }), Bun.inspect({ secret }), String(secret)];
  for (const text of texts) expect(text).not.toContain("hunter2");
  expect(secret.reveal()).toBe("hunter2");
});

test("problem details", () => {
  expect(problemOf(new Fault("track_unsupported", "MPEG-4"))).toEqual({
    type: "urn:onepull:fault:track_unsupported",
    status: 415,
    title: "Codec cannot be forwarded",
    detail: "MPEG-4",
  });
  expect(faultOf(new TypeError("x is undefined")).code).toBe("internal");
  expect(() => assert(false, "one is two")).toThrow("broken invariant: one is two");
});

test("timestamps compare across the wrap", () => {
  expect(ticksBetween(5, 0xffff_fffb)).toBe(10);
  expect(ticksBetween(0xffff_fffb, 5)).toBe(-10);
});
