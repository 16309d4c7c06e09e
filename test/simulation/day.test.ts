// A day of one camera in seconds: what drifts, wraps, leaks or is forgotten shows within a day.

import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { type Millis, ticksBetween, type UnixMs } from "../../src/core/units.ts";
import type { Unit } from "../../src/stream/sinks.ts";
import { VirtualCamera } from "./virtual-camera.ts";
import { VirtualPull } from "./virtual-pull.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const FRAME_MS = 40;
const WALL: UnixMs = 1_790_000_000_000;
/** Ten seconds before the wrap; the next comes 13 h 15 m later. */
const FIRST_TIMESTAMP = 2 ** 32 - 10 * 90_000;
/** The link: at least so long, and up to so much longer. */
const DELAY_MS = 5;
const JITTER_MS = 30;
const BOOT_MS = 20_000;
/** A heap that grew by 10 bytes per picture would be 20 MB larger. */
const HEAP_GROWTH_MAX = 2 << 20;

/** Uniform in [0, 1), the same every time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Holds until something else is said. */
interface Change {
  readonly ppm?: number;
  readonly wallError?: number;
  readonly reportEveryMs?: number;
  /** A power failure; the media clock begins here afterwards. */
  readonly bootAt?: number;
}

const CHANGES: readonly (readonly [hours: number, change: Change])[] = [
  [0, { ppm: 200 }],
  [2, { bootAt: 0 }],
  [3, { reportEveryMs: 0 }],
  [4, { reportEveryMs: 5_000 }],
  [5, { ppm: -200 }],
  // Just before a wrap again.
  [6.5, { bootAt: 2 ** 32 - 1 }],
  [9, { ppm: 150 }],
  [12, { reportEveryMs: 0 }],
  [12.5, { ppm: -100 }],
  [13, { reportEveryMs: 5_000 }],
  // Its clock stands in 1970 until it has asked for the time.
  [15, { bootAt: 123_456_789, wallError: -(WALL + 15 * HOUR_MS) }],
  [15.1, { wallError: 0 }],
  // Summer time, by mistake.
  [18, { wallError: HOUR_MS }],
  [18.5, { wallError: 0 }],
  [20, { bootAt: 987_654_321 }],
];
const REBOOTS = CHANGES.filter(([, { bootAt }]) => bootAt !== undefined).length;

/** What the units of the day came to. */
class Judge {
  units = 0;
  worstMs = 0;
  backwards = 0;
  notConsecutive = 0;
  timestampsBackwards = 0;
  damaged = 0;
  gaps = 0;
  readonly clocks = { rtcp: 0, arrival: 0 };
  #sequence = -1;
  #timestamp = 0;
  #captured = 0;

  /** @param truth when the unit's picture was captured */
  unit(unit: Unit, truth: UnixMs): void {
    if (unit.sequence !== this.#sequence + 1) this.notConsecutive++;
    const first = this.#sequence < 0;
    if (!first && ticksBetween(unit.timestamp, this.#timestamp) <= 0) this.timestampsBackwards++;
    if (unit.captured <= this.#captured) this.backwards++;
    if (unit.damaged) this.damaged++;
    if (unit.gapBefore) this.gaps++;
    this.units++;
    this.clocks[unit.capturedClock]++;
    this.worstMs = Math.max(this.worstMs, Math.abs(unit.captured - truth));
    this.#sequence = unit.sequence;
    this.#timestamp = unit.timestamp;
    this.#captured = unit.captured;
  }
}

class Day {
  readonly judge = new Judge();
  readonly #random = seeded(24);
  readonly camera = new VirtualCamera({ wall: WALL, random: this.#random }, FIRST_TIMESTAMP);
  readonly pull = new VirtualPull(WALL, (bytes, now) => this.camera.handle(bytes, now));
  #now: Millis = 0;
  #arrival: Millis = 0;
  #connectAt: Millis = 0;
  #sweepAt: Millis = 0;
  #watched = false;
  #changes = 0;

  run(until: Millis): void {
    for (; this.#now < until; this.#now += FRAME_MS) {
      const [hours, change] = CHANGES[this.#changes] ?? [Number.POSITIVE_INFINITY, {}];
      if (this.#now >= hours * HOUR_MS) {
        this.#changes++;
        this.#apply(change);
      }
      if (this.#now >= this.#connectAt) this.#connect();
      this.camera.capture(this.#now);
      this.#deliver();
    }
  }

  #apply({ ppm, wallError, reportEveryMs, bootAt }: Change): void {
    const { camera } = this;
    if (bootAt !== undefined) this.#reboot(bootAt);
    camera.ppm = ppm ?? camera.ppm;
    camera.wallError = wallError ?? camera.wallError;
    camera.reportEveryMs = reportEveryMs ?? camera.reportEveryMs;
  }

  /** It is back after a while, and so is the pull. */
  #reboot(firstTimestamp: number): void {
    this.pull.lost();
    this.camera.boot(firstTimestamp, this.#now);
    this.#connectAt = this.#now + BOOT_MS;
  }

  #connect(): void {
    this.#connectAt = Number.POSITIVE_INFINITY;
    this.camera.accept(this.#now);
    this.pull.connect(this.#now);
  }

  #deliver(): void {
    const delayed = this.#now + DELAY_MS + this.#random() * JITTER_MS;
    // One connection: nothing overtakes.
    this.#arrival = Math.max(this.#arrival, delayed);
    if (this.#now >= this.#sweepAt) {
      this.#sweepAt = this.#now + 1_000;
      this.camera.handle(null, this.#now);
    }
    for (let out = this.camera.take(); out.length > 0; out = this.camera.take()) {
      for (const bytes of out) this.pull.handle(bytes, this.#arrival);
      this.#watch();
    }
  }

  #watch(): void {
    const { video } = this.pull.stream;
    if (this.#watched || video === null) return;
    this.#watched = true;
    const unit = (each: Unit) => this.judge.unit(each, WALL + this.#now);
    video.attachUnits({ unit, ended: () => {} }, this.#now);
  }
}

function heapBytes(): number {
  Bun.gc(true);
  return heapStats().heapSize;
}

test("24 hours: wraps, drift, reboots, missing reports, wrong clocks", () => {
  const day = new Day();
  day.run(HOUR_MS);
  const [heap, ring] = [heapBytes(), day.pull.stream.video?.ring.bytes.length];
  day.run(DAY_MS);
  const { judge, pull, camera } = day;
  console.log(`worst ${judge.worstMs.toFixed(1)} ms of ${judge.units} units`, judge.clocks);
  expect(judge.units).toBe(camera.frames);
  expect(judge.units).toBeGreaterThan((DAY_MS - (REBOOTS + 1) * BOOT_MS) / FRAME_MS - 10);
  expect(judge).toMatchObject({
    backwards: 0,
    notConsecutive: 0,
    timestampsBackwards: 0,
    damaged: 0,
    gaps: REBOOTS,
  });
  expect(judge.worstMs).toBeLessThan(50);
  expect(pull.stream.video?.clock).toMatchObject({ source: "rtcp", steps: 0 });
  // One session per boot: every keepalive was sent in time and answered.
  expect(pull.sessions).toBe(1 + REBOOTS);
  expect(pull.requests).toBeGreaterThan(DAY_MS / 60_000);
  expect(camera.answers).toBe(pull.requests);
  expect(pull.stream.video?.ring.bytes.length).toBe(ring ?? 0);
  expect(heapBytes() - heap).toBeLessThan(HEAP_GROWTH_MAX);
}, 120_000);
