/** When the units of a source that is faster than time are due. */
import type { Millis } from "../core/units.ts";

/** Later than this, the source has paused: time starts anew instead of hurrying after it. */
const LATE_MS_MAX: Millis = 500;
/** Further ahead than this, the source's clock has jumped. */
const EARLY_MS_MAX: Millis = 10_000;
/** Timers fire late by about this much; less is not waited for. */
const GRAIN_MS: Millis = 2;

export class Pacer {
  readonly #now: () => Millis;
  /** When second 0 of the source was, `null` before the first unit. */
  #origin: Millis | null = null;

  constructor(now: () => Millis) {
    this.#now = now;
  }

  /** How long to wait before a unit is handed on that is due at this second of the source. */
  waitMs(seconds: number): Millis {
    const now = this.#now();
    const due = (this.#origin ?? now - seconds * 1_000) + seconds * 1_000;
    const early = due - now;
    if (this.#origin === null || early < -LATE_MS_MAX || early > EARLY_MS_MAX) {
      this.#origin = now - seconds * 1_000;
      return 0;
    }
    return early < GRAIN_MS ? 0 : early;
  }
}
