/** Every parser of src/rtp under broken input: `bun test/fuzz/rtp.ts [inputs each] [seed]`. */
import { main } from "./fuzz.ts";
import { rtpTargets } from "./targets.ts";

<<<<<<< HEAD
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
    const input = nextInput(target.valid, random, target.words);
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

/** Returns the exit status: 1 when anything was broken. */
export function main(
  targets: readonly Target[],
  [inputs = `${INPUTS}`, seed = "1", only = ""]: readonly string[],
): number {
  let failures = 0;
  for (const target of targets) {
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

if (import.meta.main) process.exit(main(rtpTargets(), process.argv.slice(2)));
=======
if (import.meta.main) main(rtpTargets());
>>>>>>> e728024e69f8562c37b0b2076911210a3d58fdb0
