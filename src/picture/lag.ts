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

export class LagControl {
  readonly #skipMs: Millis;
  #state: State = { at: "current" };

  /** @param skipMs beyond this, conversions are left out until decoding has caught up */
  constructor(skipMs: Millis = SKIP_CONVERSION_MS) {
    this.#skipMs = skipMs;
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
        if (behindMs > this.#skipMs && now <= this.#state.since + CATCH_UP_MS) return "decode";
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
    return this.#judge(behindMs);
  }

  #judge(behindMs: Millis): Pace {
    if (behindMs > DROP_MS) {
      this.#state = { at: "dropping" };
      return "drop";
    }
    const late = behindMs > this.#skipMs;
    this.#state = { at: late ? "late" : "current" };
    return late ? "decode" : "convert";
  }
}
