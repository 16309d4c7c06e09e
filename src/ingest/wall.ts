/** The wall clock beside the monotonic one: reading it for each packet would cost more than it says. */
import type { Millis, UnixMs } from "../core/units.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";

/** How long it may be off after it was set; also how often it is looked at. */
const INTERVAL_MS: Millis = 1_000;

export class WallClock {
  /** Wall clock minus monotonic clock. */
  #offset = 0;
  #readAt: Millis = Number.NEGATIVE_INFINITY;

  /** The wall clock at this moment of the monotonic one, which is now. */
  at(now: Millis): UnixMs {
    if (now >= this.#readAt + INTERVAL_MS) {
      this.#readAt = now;
      this.#offset = unixMs() - monotonicMs();
    }
    return now + this.#offset;
  }
}
