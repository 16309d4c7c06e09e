import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../src/core/fault.ts";
import { nextInput, Xorshift } from "./mutate.ts";
import { fuzz, VECTORS } from "./rtp.ts";
import { rtpTargets, type Target } from "./targets.ts";

/** A few seconds for all parsers; `bun test/fuzz/rtp.ts 1000000` takes the long way. */
const INPUTS = 20_000;
const targets = rtpTargets();

test.each(targets.map((target) => [target.name, target] as const))("%s", (_name, target) => {
  expect(fuzz(target, INPUTS, 1).failure).toBeNull();
});

test("inputs that once broke a parser", () => {
  for (const file of existsSync(VECTORS) ? readdirSync(VECTORS) : []) {
    const target = targets.find(({ name }) => file.startsWith(`${name.replaceAll(" ", "-")}.`));
    if (target === undefined) continue;
    const input = new Uint8Array(readFileSync(join(VECTORS, file)));
    try {
      target.run(input);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }
});

test("a parser that breaks is found, and the input that broke it", () => {
  const fragile: Target = {
    name: "fragile",
    valid: [Uint8Array.of(1, 2, 3, 4)],
    run(input) {
      if (input[0] === 0xff) throw new RangeError("no");
    },
  };
  const { failure } = fuzz(fragile, INPUTS, 7);
  expect(failure?.input[0]).toBe(0xff);
});

test("the same seed gives the same inputs", () => {
  const inputs = (seed: number): string[] => {
    const random = new Xorshift(seed);
    return Array.from({ length: 50 }, () => nextInput([new Uint8Array(40)], random).toHex());
  };
  expect(inputs(3)).toEqual(inputs(3));
  expect(inputs(3)).not.toEqual(inputs(4));
});
