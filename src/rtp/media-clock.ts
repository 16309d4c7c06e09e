/**
 * Maps RTP timestamps to wall clock.
 *
 * The hub's own clock says how much time passes: packets come late, never early, so the earliest
 * of the last seconds show where the camera's media clock stands, however its crystal drifts. The
 * camera's sender reports (RFC 3550 section 6.4.1) say how far the camera's wall clock is from the
 * hub's. That difference holds over hours without a report, and for a track that never has one but
 * whose sibling does.
 *
 * A camera whose wall clock was never set is of no use to people: then times are those of arrival.
 *
 * @module
 */
import { type Millis, type RtpTicks, ticksBetween, type UnixMs } from "../core/units.ts";
import { ArrivalFloor, FLOOR_WINDOW_MS } from "./arrival-floor.ts";
import { SteadyTime } from "./steady-time.ts";

/** Which clock a capture time comes from: the camera's own, or the hub's at arrival. */
export type CapturedClock = "rtcp" | "arrival";

/** A camera's clock that is further from the hub's is wrong: slow links delay by a few seconds. */
const TRUSTED_OFFSET_MS = 10_000;
/** A report speaks of the picture being sent. One about another time has another timestamp base. */
const REPORT_DISTANCE_MAX_MS = 10_000;
/** A report that disagrees with the last one by more must be confirmed by the next. */
const REPORT_STEP_MS = 1_000;
/** How far two media clocks may diverge: crystals are good to 100 ppm, the worst to 500. */
const DRIFT_MAX = 1e-3;

/** What the camera's clock read when the media time was 0, and when that was told. */
interface Anchor {
  readonly camera: UnixMs;
  readonly at: Millis;
}

export class MediaClock {
  /** The other track of the same camera: both go by the same clock. */
  sibling: MediaClock | null = null;
  /** Reports that spoke of no picture of this stream, or that no other report confirmed. */
  ignoredReports = 0;
  /** How often the camera's wall clock was set while it was watched. */
  cameraSteps = 0;
  readonly #hz: number;
  readonly #floor = new ArrivalFloor();
  readonly #time = new SteadyTime();
  // Where the media clock stands, without the wrap of its 32 bits.
  #newest: RtpTicks = 0;
  #ticks = 0;
  #arrivedAt: Millis = 0;
  /** False until something arrives in this session. */
  #running = false;
  #pending: { readonly timestamp: RtpTicks; readonly camera: UnixMs } | null = null;
  #anchor: Anchor | null = null;
  #doubted: Anchor | null = null;
  /** Camera's wall clock minus the hub's monotonic clock; `null` until reported. */
  #offset: number | null = null;
  #trusted = false;
  /** The hub's wall clock minus its monotonic clock. */
  #wall = 0;

  constructor(clockHz: number) {
    this.#hz = clockHz;
  }

  /** False until anything is known; `at` must not be asked before. */
  get known(): boolean {
    return this.#time.begun;
  }

  /** Which clock `at` speaks of. */
  get source(): CapturedClock {
    return this.#cameraOffset === null ? "arrival" : "rtcp";
  }

  /**
   * How far the camera's wall clock is ahead of the hub's, in ms, whether it is believed or not;
   * `null` until it was reported. A right clock shows the time from capture to arrival, negative.
   */
  get cameraOffsetMs(): number | null {
    return this.#offset === null ? null : this.#offset - this.#wall;
  }

  /** How often capture times jumped, because one of the two wall clocks was set. */
  get steps(): number {
    return this.#time.steps;
  }

  /** A unit with this timestamp began to arrive at `now`, when the hub's wall clock read `wall`. */
  arrived(timestamp: RtpTicks, now: Millis, wall: UnixMs): void {
    this.#advance(timestamp, now);
    this.#wall = wall - now;
    this.#floor.add(now - this.#media(timestamp), now);
    if (this.#pending !== null) this.#read(this.#pending.timestamp, this.#pending.camera, now);
    // Later arrivals tell more about the time when the report was made.
    if (this.#anchor !== null && now - this.#anchor.at < FLOOR_WINDOW_MS) {
      this.#offset = this.#anchor.camera - this.#floor.value;
    }
    const media = this.#media(this.#newest);
    this.#time.steer(media, media + this.#floor.value + (this.#cameraOffset ?? this.#wall));
  }

  /** The camera says what its clock read at `timestamp`. Counts from the next arrival on. */
  reported(timestamp: RtpTicks, camera: UnixMs): void {
    this.#pending = { timestamp, camera };
  }

  /**
   * When the picture with this timestamp was captured; for timestamps within 6 h of the newest.
   * Never runs backwards, except when `steps` grows.
   */
  at(timestamp: RtpTicks): UnixMs {
    return this.#time.at(this.#media(timestamp));
  }

  /** The upstream session is a new one: its clock must be learnt again. */
  reset(): void {
    this.#running = false;
    this.#floor.clear();
    this.#pending = null;
    this.#anchor = null;
    this.#doubted = null;
    this.#offset = null;
    this.#trusted = false;
  }

  get #cameraOffset(): number | null {
    return this.#believed ?? (this.sibling === null ? null : this.sibling.#believed);
  }

  get #believed(): number | null {
    return this.#trusted ? this.#offset : null;
  }

  #media(timestamp: RtpTicks): Millis {
    return ((this.#ticks + ticksBetween(timestamp, this.#newest)) * 1_000) / this.#hz;
  }

  #advance(timestamp: RtpTicks, now: Millis): void {
    const elapsed = ((now - this.#arrivedAt) * this.#hz) / 1_000;
    // Between sessions lie maybe days, and several wraps.
    const ahead = this.#running ? ticksBetween(timestamp, this.#newest) : Math.round(elapsed);
    if (this.#running && ahead <= 0) return;
    this.#running = true;
    this.#ticks += ahead;
    this.#newest = timestamp;
    this.#arrivedAt = now;
  }

  #read(timestamp: RtpTicks, camera: UnixMs, now: Millis): void {
    this.#pending = null;
    const media = this.#media(timestamp);
    const anchor: Anchor = { camera: camera - media, at: now };
    const distance = Math.abs(media - this.#media(this.#newest));
    if (distance > REPORT_DISTANCE_MAX_MS || this.#isDoubtful(anchor)) {
      this.ignoredReports++;
      return;
    }
    this.#anchor = anchor;
    this.#offset = anchor.camera - this.#floor.value;
    this.#trusted = Math.abs(this.#offset - this.#wall) <= TRUSTED_OFFSET_MS;
  }

  /** One report that contradicts all others is a slip; two of them are a clock that was set. */
  #isDoubtful(anchor: Anchor): boolean {
    const doubted = this.#doubted;
    this.#doubted = null;
    if (this.#anchor === null || agree(this.#anchor, anchor)) return false;
    if (doubted !== null && agree(doubted, anchor)) {
      this.cameraSteps++;
      return false;
    }
    this.#doubted = anchor;
    return true;
  }
}

function agree(a: Anchor, b: Anchor): boolean {
  return Math.abs(a.camera - b.camera) <= REPORT_STEP_MS + DRIFT_MAX * (b.at - a.at);
}
