/**
 * End-to-end latency in the browser: when a picture is presented, how long ago the camera captured
 * it, by the camera's own clock (RTCP) and the hub's measure of this browser's clock.
 *
 * @module
 */
import type { Camera } from "./hub.ts";

const CLOCK_HZ = 90_000;
/** Two seconds of pictures at 25 fps: recent, and steady enough to read. */
const SAMPLES_MAX = 50;
/** Further off than this, the camera's clock is set wrongly, and the figure would mean nothing. */
const PLAUSIBLE_MS = 10_000;

export class LatencyMeter {
  /** Milliseconds to add to `performance.now()` for the hub's Unix time; `null` until measured. */
  clockOffset: number | null = null;
  #clock: Camera["clock"] = null;
  readonly #samples: number[] = [];

  /** The camera's clock as the hub knows it now. */
  learn(clock: Camera["clock"]): void {
    this.#clock = clock;
  }

  /** A picture with this RTP timestamp is on the screen at this `performance.now()`. */
  picture(rtpTimestamp: number, presented: DOMHighResTimeStamp): void {
    if (!this.#clock || this.clockOffset === null) return;
    const ticks = (rtpTimestamp - this.#clock.rtp_timestamp) | 0;
    const captured = this.#clock.captured_at_unix_ms + (ticks * 1000) / CLOCK_HZ;
    this.#samples.push(presented + this.clockOffset - captured);
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  /** Median in milliseconds, or `null` when it is not known or the camera's clock is wrong. */
  get median(): number | null {
    const sorted = this.#samples.toSorted((a, b) => a - b);
    const middle = sorted[sorted.length >> 1];
    return middle === undefined || Math.abs(middle) > PLAUSIBLE_MS ? null : middle;
  }

  /** Forgets what was measured: the stream is another one now. */
  clear(): void {
    this.#samples.length = 0;
  }
}
