/**
 * Maps RTP timestamps to wall clock, by the camera's sender reports (RFC 3550 section 6.4.1) or,
 * until the first one, by when packets arrived.
 *
 * @module
 */
import { type RtpTicks, ticksBetween, type UnixMs } from "../core/units.ts";

/** Which clock a capture time comes from: the camera's own, or the hub's at arrival. */
export type CapturedClock = "rtcp" | "arrival";

export class MediaClock {
  /** Which clock `at` speaks of. */
  source: CapturedClock = "arrival";
  readonly #hz: number;
  #unixMs: UnixMs = 0;
  #timestamp: RtpTicks = 0;
  #anchored = false;

  constructor(clockHz: number) {
    this.#hz = clockHz;
  }

  /** False until anything is known; `at` must not be asked before. */
  get known(): boolean {
    return this.#anchored;
  }

  /** A packet with this timestamp arrived. Only counts while no sender report did. */
  arrived(timestamp: RtpTicks, now: UnixMs): void {
    if (this.source === "arrival") this.#anchor(timestamp, now);
  }

  /** The camera says what its clock read at `timestamp`. */
  reported(timestamp: RtpTicks, camera: UnixMs): void {
    this.source = "rtcp";
    this.#anchor(timestamp, camera);
  }

  /** When the picture with this timestamp was captured; exact within 6 h of the last anchor. */
  at(timestamp: RtpTicks): UnixMs {
    return this.#unixMs + (ticksBetween(timestamp, this.#timestamp) * 1000) / this.#hz;
  }

  /** The timestamp of a picture captured at this time: the inverse of `at`. */
  timestampAt(unixMs: UnixMs): RtpTicks {
    return (this.#timestamp + Math.round(((unixMs - this.#unixMs) * this.#hz) / 1000)) >>> 0;
  }

  /** The upstream session is a new one: its clock must be learnt again. */
  reset(): void {
    this.source = "arrival";
    this.#anchored = false;
  }

  #anchor(timestamp: RtpTicks, unixMs: UnixMs): void {
    this.#timestamp = timestamp;
    this.#unixMs = unixMs;
    this.#anchored = true;
  }
}
