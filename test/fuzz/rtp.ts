/**
 * Puts broken inputs into every parser of src/rtp: `bun test/fuzz/rtp.ts [INPUTS] [SEED] [NAME]`.
 * An input that throws anything but a Fault is saved under test/vectors/fuzz, where the tests play
 * it again.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../src/core/fault.ts";
import { nextInput, Xorshift } from "./mutate.ts";
import { rtpTargets, type Target } from "./targets.ts";

export const VECTORS = join(import.meta.dir, "../vectors/fuzz");
const INPUTS = 20_000;

/** What became of one parser's inputs. */
export interface Outcome {
  readonly passed: number;
  /** How many were answered by a Fault. */
  readonly faults: number;
  /** The first input that broke the parser, and how. */
  readonly failure: { readonly input: Uint8Array; readonly error: unknown } | null;
}

export function fuzz(target: Target, inputs: number, seed: number): Outcome {
  const random = new Xorshift(seed);
  let faults = 0;
  for (let passed = 0; passed < inputs; passed++) {
    const input = nextInput(target.valid, random);
    const kept = input.slice();
    try {
      target.run(input);
    } catch (error) {
      if (!(error instanceof Fault)) return { passed, faults, failure: { input: kept, error } };
      faults++;
    }
  }
  return { passed: inputs, faults, failure: null };
}

function save(target: Target, input: Uint8Array): string {
  mkdirSync(VECTORS, { recursive: true });
  const name = `${target.name.replaceAll(" ", "-")}.${Bun.hash(input).toString(16)}.bin`;
  writeFileSync(join(VECTORS, name), input);
  return name;
}

function main([inputs = `${INPUTS}`, seed = "1", only = ""]: readonly string[]): number {
  let failures = 0;
  for (const target of rtpTargets()) {
    if (!target.name.includes(only)) continue;
    const started = performance.now();
    const { passed, faults, failure } = fuzz(target, Number(inputs), Number(seed));
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const megabytes = Math.round(process.memoryUsage().rss / 2 ** 20);
    console.log(
      `${target.name}: ${passed} passed, ${faults} faults, ${seconds} s, ${megabytes} MB`,
    );
    if (failure === null) continue;
    failures++;
    console.log(`${target.name}: ${save(target, failure.input)}`, failure.error);
  }
  return failures === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(main(process.argv.slice(2)));
