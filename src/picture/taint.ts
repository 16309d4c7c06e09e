/**
 * Which pictures can be believed. A decoder flags the unit that is broken and none of the pictures
 * that refer to it, so everything is doubted from the first thing that went wrong until a keyframe
 * came through whole.
 *
 * @module
 */
import type { Unit } from "../stream/sinks.ts";

/** Why pictures are doubted. */
export type TaintCause =
  /** No keyframe has come yet. */
  | "start"
  /** Units are missing before this one. */
  | "gap"
  /** Bytes are missing in the unit. */
  | "damaged"
  /** Units were left out because decoding was too far behind. */
  | "behind"
  /** The decoder refused the unit. */
  | "send_error"
  /** The unit came to no picture. */
  | "missing_output"
  /** The decoder met errors in the picture. */
  | "decode_error";

type State = { readonly at: "clean" } | { readonly at: "tainted"; readonly cause: TaintCause };

export class Taint {
  #state: State = { at: "tainted", cause: "start" };

  /** What went wrong first since the last clean keyframe; `null` while pictures can be believed. */
  get cause(): TaintCause | null {
    return this.#state.at === "tainted" ? this.#state.cause : null;
  }

  /**
   * Takes in what is known of a unit before it is decoded. A whole keyframe clears, unless decoding
   * it goes wrong, which `spoil` says.
   */
  enter(unit: Pick<Unit, "keyframe" | "damaged" | "gapBefore">): void {
    if (unit.damaged) this.spoil("damaged");
    else if (unit.keyframe) this.#state = { at: "clean" };
    else if (unit.gapBefore) this.spoil("gap");
  }

  /** Something went wrong: nothing is believed until the next clean keyframe. */
  spoil(cause: TaintCause): void {
    if (this.#state.at === "clean") this.#state = { at: "tainted", cause };
  }
}
