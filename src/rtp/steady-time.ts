/**
 * A clock that follows a better one without ever running backwards: what is wrong is made up for
 * by running a little slower or faster for a while.
 *
 * @module
 */
import type { UnixMs } from "../core/units.ts";

/** An error that is larger than this is no error, but another clock: it is taken over at once. */
const STEP_MS = 10_000;
/** How long a correction takes. Shorter follows the jitter, longer lags behind a drifting crystal. */
const CORRECTION_MS = 4_000;
/** Between half and one and a half times the speed: the order of two pictures never changes. */
const CORRECTION_MAX = 0.5;
/** Between two corrections, so that pictures that are sent ahead of earlier ones keep their order. */
const KNOT_INTERVAL_MS = 200;

export class SteadyTime {
  /** How often the time was set anew instead of corrected. */
  steps = 0;
  /** False until the first `steer`. */
  begun = false;
  // From `media` on the time is `at`, and runs at 1 + `slope` for CORRECTION_MS; then at 1.
  #media = 0;
  #at: UnixMs = 0;
  #slope = 0;
  // The same of the piece before, for pictures that come out of order.
  #mediaBefore = Number.NEGATIVE_INFINITY;
  #atBefore: UnixMs = 0;
  #slopeBefore = 0;

  /** The time at `media`, in ms of media time. Grows with it. */
  at(media: number): UnixMs {
    if (media >= this.#media || this.#mediaBefore === Number.NEGATIVE_INFINITY) {
      return along(media - this.#media, this.#at, this.#slope);
    }
    return along(media - this.#mediaBefore, this.#atBefore, this.#slopeBefore);
  }

  /** At `media`, the furthest so far, the better clock reads `time`. */
  steer(media: number, time: UnixMs): void {
    const at = this.at(media);
    if (!this.begun || Math.abs(time - at) >= STEP_MS) {
      if (this.begun) this.steps++;
      this.begun = true;
      this.#mediaBefore = Number.NEGATIVE_INFINITY;
      this.#begin(media, time, 0);
      return;
    }
    const passed = media - this.#media;
    if (passed < KNOT_INTERVAL_MS) return;
    this.#mediaBefore = this.#media;
    this.#atBefore = this.#at;
    this.#slopeBefore = this.#slope;
    // With a picture every ten seconds the next chance to correct is as far away as the last one.
    const slope = (time - at) / Math.max(CORRECTION_MS, passed);
    this.#begin(media, at, Math.max(-CORRECTION_MAX, Math.min(CORRECTION_MAX, slope)));
  }

  #begin(media: number, at: UnixMs, slope: number): void {
    this.#media = media;
    this.#at = at;
    this.#slope = slope;
  }
}

function along(passed: number, from: UnixMs, slope: number): UnixMs {
  return from + passed + slope * Math.max(0, Math.min(passed, CORRECTION_MS));
}
