/** Seeded junk for parsers: the same seed gives the same inputs, on every machine. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../src/core/fault.ts";

/** Where inputs that broke something are kept; each is run again by every test run. */
const VECTORS = join(import.meta.dir, "../vectors/fuzz");
/** Nobody's parser takes this long over one input, on a machine that does other things as well. */
const INPUT_MS_MAX = 1_000;
/** Bytes of an input of nothing but junk. */
const JUNK_BYTES_MAX = 256;
const MUTATIONS_MAX = 8;

/** Uniform in [0, 1) (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What one parser is fed with, and how. */
export interface Target {
  readonly name: string;
  /** What it takes; inputs are these, mutated, mixed, or junk. */
  readonly seeds: readonly Uint8Array[];
  /** Pieces of its language, put in at random. */
  readonly words?: readonly string[];
  /** May throw a Fault and nothing else. `random` is the input's own. */
  readonly run: (input: Uint8Array, random: () => number) => void;
}

/** What became of a target's inputs. */
export interface Outcome {
  readonly name: string;
  readonly inputs: number;
  readonly faults: number;
  /** Files of inputs that broke something. */
  readonly broken: readonly string[];
  readonly slowestMs: number;
}

/** Runs a target over `count` inputs. What breaks it is written to test/vectors/fuzz. */
export function fuzz(target: Target, count: number, seed: number): Outcome {
  const random = seeded(seed);
  const broken: string[] = [];
  let faults = 0;
  let slowestMs = 0;
  for (let i = 0; i < count; i++) {
    const input = inputOf(target, random);
    const began = performance.now();
    const verdict = run(target, input);
    const tookMs = performance.now() - began;
    slowestMs = Math.max(slowestMs, tookMs);
    if (verdict === "fault") faults++;
    if (verdict !== "broken" && tookMs < INPUT_MS_MAX) continue;
    if (broken.length < 10) broken.push(keep(target.name, input));
  }
  return { name: target.name, inputs: count, faults, broken, slowestMs: Math.round(slowestMs) };
}

/** Runs the kept inputs of a target. Returns the names of those that break it still. */
export function rerun(target: Target): string[] {
  if (!existsSync(VECTORS)) return [];
  const own = readdirSync(VECTORS).filter((file) => file.startsWith(`${fileName(target.name)}-`));
  return own.filter((file) => run(target, readFileSync(join(VECTORS, file))) === "broken");
}

function run(target: Target, input: Uint8Array): "taken" | "fault" | "broken" {
  try {
    // The parser's own chance depends on the input alone: a kept input breaks it again.
    target.run(input.slice(), seeded(Bun.hash.crc32(input)));
    return "taken";
  } catch (error) {
    if (error instanceof Fault && error.code !== "internal") return "fault";
    console.error(target.name, error);
    return "broken";
  }
}

function fileName(target: string): string {
  return target.replaceAll(" ", "-");
}

function keep(name: string, input: Uint8Array): string {
  mkdirSync(VECTORS, { recursive: true });
  const file = join(VECTORS, `${fileName(name)}-${Bun.hash.crc32(input).toString(16)}.bin`);
  writeFileSync(file, input);
  return file;
}

function inputOf({ seeds, words = [] }: Target, random: () => number): Uint8Array {
  if (random() < 0.1 || seeds.length === 0) return junk(random, JUNK_BYTES_MAX);
  let input = pick(seeds, random);
  const mutations = 1 + below(MUTATIONS_MAX, random);
  for (let i = 0; i < mutations; i++) input = mutate(input, seeds, words, random);
  return input;
}

function mutate(
  b: Uint8Array,
  seeds: readonly Uint8Array[],
  words: readonly string[],
  random: () => number,
): Uint8Array {
  const at = below(b.length + 1, random);
  const end = Math.min(b.length, at + below(32, random));
  switch (below(7, random)) {
    case 0: {
      const changed = b.slice();
      if (at < b.length) changed[at] = below(256, random);
      return changed;
    }
    case 1:
      return spliced(b, at, end, new Uint8Array(0));
    case 2:
      return spliced(b, at, at, junk(random, 16));
    case 3:
      return spliced(b, end, end, b.subarray(at, end));
    case 4:
      return b.slice(0, at);
    case 5: {
      const other = pick(seeds, random);
      return spliced(b, at, b.length, other.subarray(below(other.length + 1, random)));
    }
    default: {
      const word = words.length > 0 ? pick(words, random) : String(2 ** below(40, random));
      return spliced(b, at, end, new TextEncoder().encode(word));
    }
  }
}

function spliced(b: Uint8Array, from: number, to: number, put: Uint8Array): Uint8Array {
  const result = new Uint8Array(from + put.length + b.length - to);
  result.set(b.subarray(0, from));
  result.set(put, from);
  result.set(b.subarray(to), from + put.length);
  return result;
}

function junk(random: () => number, bytesMax: number): Uint8Array {
  return Uint8Array.from({ length: below(bytesMax, random) }, () => below(256, random));
}

/** A whole number below `limit`. */
export function below(limit: number, random: () => number): number {
  return Math.floor(random() * limit);
}

function pick<T>(from: readonly T[], random: () => number): T {
  const picked = from[below(from.length, random)];
  if (picked === undefined) throw new Error("nothing to pick from");
  return picked;
}

/** `bun test/fuzz/NAME.ts [inputs each] [seed]`: exits with 1 when anything but a Fault was thrown. */
export function main(targets: readonly Target[]): void {
  const [, , count = "20000", seed = "1"] = process.argv;
  let broken = 0;
  for (const target of targets) {
    const outcome = fuzz(target, Number(count), Number(seed));
    broken += outcome.broken.length;
    console.log(JSON.stringify(outcome));
  }
  process.exit(broken > 0 ? 1 : 0);
}
