/** Bounds of the wait between two attempts, in milliseconds. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Waits that double up to a cap, each drawn from the upper half of its range: a thousand cameras
 * behind one switch do not come back in the same millisecond, and none waits longer than the cap.
 */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: () => number;
  #attempt = 0;

  /** @param random uniform in [0, 1) */
  constructor(limits: BackoffLimits, random: () => number) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Failed attempts since the last `reset`. */
  get attempt(): number {
    return this.#attempt;
  }

  /** How long to wait before the next attempt, in milliseconds. */
  next(): number {
    const { firstMs, maxMs } = this.#limits;
    const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt++;
    return ceiling * (0.5 + 0.5 * this.#random());
  }

  /** The attempt succeeded: the next failure waits `firstMs` again. */
  reset(): void {
    this.#attempt = 0;
  }
}
