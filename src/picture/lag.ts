/**
 * Keeps decoding from falling behind: a picture of the past is worth nothing on the frame bus, so
 * work is left out before a queue can grow. How far behind is how long ago the unit was complete.
 *
 * @module
 */
import type { Millis } from "../core/units.ts";
import type { Unit } from "../stream/sinks.ts";

/** Five pictures at 25 fps. */
const SKIP_CONVERSION_MS: Millis = 200;
/** Decoding alone does not catch up either: units are left out up to the next keyframe. */
const DROP_MS: Millis = 1_000;
/**
 * A group of pictures replayed at once holds up the live units behind it. Decoding is faster than
 * the camera and catches up, so for this long nothing is left out: that would waste the replay.
 */
const CATCH_UP_MS: Millis = 5_000;

/** What to do with a unit: decode and convert its picture, decode it only, or leave it out. */
export type Pace = "convert" | "decode" | "drop";

type State =
  | { readonly at: "current" }
  /** Live units wait behind a replay that came at `since`. */
  | { readonly at: "catching up"; readonly since: Millis }
  | { readonly at: "late" }
  /** Waiting for a keyframe. */
  | { readonly at: "dropping" };

/** What is given up first. */
export interface LagPace {
  /** Beyond this, conversions are left out until decoding has caught up. */
  readonly skipMs: Millis;
  /** But one is made after so long without any, however late. */
  readonly freezeMs: Millis;
}

/** The pace of workers, who would rather have nothing than the past. */
const FRESH_ONLY: LagPace = {
  skipMs: SKIP_CONVERSION_MS,
  freezeMs: Number.POSITIVE_INFINITY,
};

export class LagControl {
  readonly #pace: LagPace;
  #state: State = { at: "current" };
  #convertedAt: Millis = Number.NEGATIVE_INFINITY;

  constructor(pace: LagPace = FRESH_ONLY) {
    this.#pace = pace;
  }

  /** True while work is left out. */
  get behind(): boolean {
    return this.#state.at === "late" || this.#state.at === "dropping";
  }

  /** Decides on the next unit. `now` is read just before it would be decoded. */
  next(unit: Pick<Unit, "keyframe" | "replayed" | "completed">, now: Millis): Pace {
    if (unit.replayed) {
      this.#state = { at: "catching up", since: now };
      return "decode";
    }
    const behindMs = now - unit.completed;
    switch (this.#state.at) {
      case "catching up":
        if (behindMs > this.#pace.skipMs && now <= this.#state.since + CATCH_UP_MS) return "decode";
        break;
      case "dropping":
        if (!unit.keyframe) return "drop";
        break;
      case "current":
      case "late":
        break;
      default:
        this.#state satisfies never;
    }
    return this.#judge(behindMs, now);
  }

  #judge(behindMs: Millis, now: Millis): Pace {
    if (behindMs > DROP_MS) {
      this.#state = { at: "dropping" };
      return "drop";
    }
    const { skipMs, freezeMs } = this.#pace;
    const late = behindMs > skipMs;
    this.#state = { at: late ? "late" : "current" };
    if (late && now - this.#convertedAt <= freezeMs) return "decode";
    this.#convertedAt = now;
    return "convert";
  }
}
