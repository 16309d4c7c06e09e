import type { Millis } from "./units.ts";

/** One line a second per cause keeps a log readable at a thousand faults a second. */
const REPORT_INTERVAL_MS = 1_000;

/** Counts repeated faults; yields one report per second however many arrive. */
export class Tally {
  readonly #counts = new Map<string, number>();
  #due: Millis = Number.NEGATIVE_INFINITY;

  add(cause: string, count = 1): void {
    this.#counts.set(cause, (this.#counts.get(cause) ?? 0) + count);
  }

  /** The counts since the last report, or `null` while none is due. */
  take(now: Millis): ReadonlyMap<string, number> | null {
    if (now < this.#due || this.#counts.size === 0) return null;
    this.#due = now + REPORT_INTERVAL_MS;
    const taken = new Map(this.#counts);
    this.#counts.clear();
    return taken;
  }
}
