/**
 * The stream's own timeline: a camera's RTP timestamps go on across reconnects and across jumps of
 * its clock, so that viewers and recordings see time pass once and forwards.
 *
 * @module
 */
import { type Millis, type RtpTicks, ticksBetween } from "../core/units.ts";

/** A timestamp that is ahead of where time has got to by more is of a new clock of the camera. */
const JUMP_SECONDS = 10;
/** One that is behind by more, too. Pictures are sent up to 16 ahead of their order: 0.64 s at 25 fps. */
const JUMP_BACK_SECONDS = 2;
/** Time never stands still across a splice: one picture at 30 fps. */
const STEP_SECONDS_MIN = 1 / 30;

export class Timeline {
  /** Added to the camera's timestamps, modulo 2^32. */
  offset = 0;
  /** How often the camera's clock jumped within a session. */
  jumps = 0;
  readonly #hz: number;
  /** The newest packet's, by the camera's clock; -1 before the first of a session. */
  #camera: RtpTicks = -1;
  #newest: RtpTicks = 0;
  #newestAt: Millis = 0;
  /** A session has ended: the next one begins where time has got to. */
  #splice = false;
  #begun = false;

  constructor(clockHz: number) {
    this.#hz = clockHz;
  }

  /** Where the camera's timestamp lies. Grows as the camera's does; wraps at 2^32. */
  place(camera: RtpTicks, now: Millis): RtpTicks {
    const elapsed = ((now - this.#newestAt) * this.#hz) / 1000;
    if (this.#camera >= 0 && this.#isJump(camera, elapsed)) {
      this.jumps++;
      this.#splice = true;
    }
    if (this.#splice) {
      const step = Math.max(Math.round(elapsed), Math.ceil(STEP_SECONDS_MIN * this.#hz));
      this.offset = (this.#newest + step - camera) >>> 0;
      this.#splice = false;
      this.#camera = -1;
    }
    const placed = (camera + this.offset) >>> 0;
    // Pictures may come out of presentation order; time has got to the latest of them.
    if (this.#camera < 0 || ticksBetween(camera, this.#camera) > 0) {
      this.#camera = camera;
      this.#newest = placed;
      this.#newestAt = now;
    }
    this.#begun = true;
    return placed;
  }

  /** The session is over; the next one goes on from here. */
  restart(): void {
    this.#camera = -1;
    this.#splice = this.#begun;
  }

  /** A pause of the connection is no jump: then the clock went on for as long as the packets did not. */
  #isJump(camera: RtpTicks, elapsedTicks: number): boolean {
    const ahead = ticksBetween(camera, this.#camera);
    if (ahead < -JUMP_BACK_SECONDS * this.#hz) return true;
    const bound = JUMP_SECONDS * this.#hz;
    return ahead > bound && Math.abs(ahead - elapsedTicks) > bound;
  }
}
