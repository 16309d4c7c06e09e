/**
 * How early packets come at the earliest. The network delays a packet by more or less, but never
 * delivers one before it was sent: the least delay of the last seconds is steady where each
 * packet's own is not.
 *
 * @module
 */
import type { Millis } from "../core/units.ts";

const SLOT_MS = 1_000;
const SLOTS = 16;
/**
 * How far back the floor looks. Long enough for hundreds of pictures, or for a dozen of a camera
 * that sends one a second; a clock that is off by 500 ppm moves by 8 ms meanwhile.
 */
export const FLOOR_WINDOW_MS = SLOT_MS * SLOTS;

export class ArrivalFloor {
  /** The least delay in the window, in ms; +Infinity before the first. */
  value = Number.POSITIVE_INFINITY;
  /** The least of each second, by the second's number modulo SLOTS. */
  readonly #least = new Float64Array(SLOTS).fill(Number.POSITIVE_INFINITY);
  #second = Number.NEGATIVE_INFINITY;

  /** A packet came at `now` with this delay, counted from any fixed point. */
  add(delayMs: number, now: Millis): void {
    const second = Math.floor(now / SLOT_MS);
    if (second !== this.#second) this.#enter(second);
    const slot = slotOf(second);
    if (delayMs < this.#least[slot]!) this.#least[slot] = delayMs;
    if (delayMs < this.value) this.value = delayMs;
  }

  /** What was seen does not hold any more. */
  clear(): void {
    this.#least.fill(Number.POSITIVE_INFINITY);
    this.value = Number.POSITIVE_INFINITY;
  }

  #enter(second: number): void {
    const first = Math.max(this.#second + 1, second - SLOTS + 1);
    for (let i = first; i <= second; i++) this.#least[slotOf(i)] = Number.POSITIVE_INFINITY;
    this.#second = second;
    this.value = Math.min(...this.#least);
  }
}

function slotOf(second: number): number {
  return ((second % SLOTS) + SLOTS) % SLOTS;
}
