const BYTES_FIRST = 4 << 10;

/** A buffer that is filled from the start again and again, and grows up to a bound. */
export class Scratch {
  /** Replaced when it grows. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Bytes in use. */
  length = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Makes room for `more` bytes behind `length`. False when the bound forbids it. */
  reserve(more: number): boolean {
    const wanted = this.length + more;
    if (wanted <= this.bytes.length) return true;
    if (wanted > this.#bytesMax) return false;
    const doubled = Math.max(wanted, this.bytes.length * 2, BYTES_FIRST);
    const grown = new Uint8Array(Math.min(this.#bytesMax, doubled));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    return true;
  }

  /** Adds [start, end) of `b`. False when it does not fit. */
  add(b: Uint8Array, start: number, end: number): boolean {
    if (!this.reserve(end - start)) return false;
    this.bytes.set(b.subarray(start, end), this.length);
    this.length += end - start;
    return true;
  }
}
