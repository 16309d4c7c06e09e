/**
 * When which camera sends its next frame. All cameras have the same frame rate; within a frame
 * interval they take turns, evenly spread. Deadlines are counted from the start, so nothing drifts.
 *
 * @module
 */
import { assert } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";

/** After a stall so many frames are made up for at once; what else was missed is skipped. */
const BURST_FRAMES_MAX = 3;
/** Turns whose lateness is remembered for the statistics; 1.6 s of 200 cameras. */
const LATENESS_LENGTH = 8_192;

/** How well the schedule was kept. */
export interface Pace {
  /** Turns taken since the start. */
  readonly turns: number;
  /** Turns more than half a frame interval after their time. */
  readonly late: number;
  /** Frame intervals that no camera used, after stalls. */
  readonly skippedIntervals: number;
  /** Of the last thousands of turns. */
  readonly latenessMsP50: number;
  readonly latenessMsP99: number;
}

/** Reads no clock: whoever drives it says what time it is. */
export class Schedule {
  /** Whose turn it is, after `advance` said yes. */
  camera = -1;
  /** Frame intervals from the start to this turn; skipped ones count. */
  interval = 0;

  readonly #cameras: number;
  readonly #intervalMs: number;
  readonly #start: Millis;
  readonly #lateness = new Float32Array(LATENESS_LENGTH);
  #next = 0;
  #nextInterval = 0;
  #turns = 0;
  #late = 0;
  #skipped = 0;

  constructor(cameras: number, fps: number, start: Millis) {
    assert(cameras > 0, "a schedule has cameras");
    this.#cameras = cameras;
    this.#intervalMs = 1000 / fps;
    this.#start = start;
  }

  /** When the next turn is. */
  get due(): Millis {
    return this.#start + (this.#nextInterval + this.#next / this.#cameras) * this.#intervalMs;
  }

  /** Takes the next turn when its time has come: `camera` and `interval` say which it is. */
  advance(now: Millis): boolean {
    let lateMs = now - this.due;
    if (lateMs < 0) return false;
    if (lateMs > BURST_FRAMES_MAX * this.#intervalMs) lateMs -= this.#skip(lateMs);
    this.#lateness[this.#turns++ % LATENESS_LENGTH] = lateMs;
    if (lateMs > this.#intervalMs / 2) this.#late++;
    this.camera = this.#next;
    this.interval = this.#nextInterval;
    this.#next++;
    if (this.#next === this.#cameras) {
      this.#next = 0;
      this.#nextInterval++;
    }
    return true;
  }

  pace(): Pace {
    const known = this.#lateness.slice(0, Math.min(this.#turns, LATENESS_LENGTH)).sort();
    const quantile = (share: number) => known[Math.floor(share * (known.length - 1))] ?? 0;
    return {
      turns: this.#turns,
      late: this.#late,
      skippedIntervals: this.#skipped,
      latenessMsP50: quantile(0.5),
      latenessMsP99: quantile(0.99),
    };
  }

  /** Gives up intervals that are too long ago. Returns how much time that is, in milliseconds. */
  #skip(lateMs: number): number {
    const missed = Math.floor(lateMs / this.#intervalMs) - (BURST_FRAMES_MAX - 1);
    this.#nextInterval += missed;
    this.#skipped += missed;
    return missed * this.#intervalMs;
  }
}
