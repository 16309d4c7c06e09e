/** Inputs for parsers: valid ones with a few things wrong, and junk. The same seed, the same inputs. */

/** Marsaglia's xorshift of 32 bits: numbers that look random, from a seed that is not 0. */
export class Xorshift {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** An integer from 0 up to but without `limit`. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
}

/** One input in so many is junk from beginning to end. */
const JUNK_EVERY = 10;
const JUNK_BYTES_MAX = 200;
const CHANGES_MAX = 6;
/** A part that is moved or repeated. */
const PART_BYTES_MAX = 64;
/** Values that fields of lengths, counts and types break at. */
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];

/** The next input, made of one of `valid` as a rule. */
export function nextInput(valid: readonly Uint8Array[], random: Xorshift): Uint8Array {
  if (valid.length === 0 || random.below(JUNK_EVERY) === 0) {
    return Uint8Array.from({ length: random.below(JUNK_BYTES_MAX) }, () => random.below(256));
  }
  let bytes: Uint8Array = (valid[random.below(valid.length)] ?? new Uint8Array(0)).slice();
  for (let left = 1 + random.below(CHANGES_MAX); left > 0 && bytes.length > 0; left--) {
    bytes = changed(bytes, random);
  }
  return bytes;
}

function changed(bytes: Uint8Array, random: Xorshift): Uint8Array {
  // What headers say stands in front, and decides most.
  const reach = random.below(2) === 0 ? Math.min(bytes.length, 24) : bytes.length;
  const at = random.below(reach);
  const end = Math.min(bytes.length, at + 1 + random.below(PART_BYTES_MAX));
  switch (random.below(6)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[at] = EDGES[random.below(EDGES.length)] ?? 0;
      return bytes;
    case 2:
      bytes[at] = random.below(256);
      return bytes;
    case 3:
      return bytes.slice(0, at);
    case 4:
      return joined(bytes.subarray(0, at), bytes.subarray(end));
    default:
      return joined(bytes.subarray(0, end), bytes.subarray(at));
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
