import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Millis, UnixMs } from "../core/units.ts";
import { ArrivalFloor } from "./arrival-floor.ts";
import { MediaClock } from "./media-clock.ts";

const HZ = 90_000;
/** What the hub's wall clock reads when its monotonic clock reads 0. */
const WALL: UnixMs = 1_790_000_000_000;
const HOUR_MS = 3_600_000;
/** Half a minute before the wrap. */
const FIRST_TIMESTAMP = 2 ** 32 - 30 * HZ;

/** Uniform in [0, 1), the same every time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Link {
  /** How much too fast the camera's media clock runs. */
  ppm?: number;
  /** Each packet is late by up to so much. */
  jitterMs?: number;
  /** And by so much at least. */
  delayMs?: number;
  hz?: number;
}

/** A camera in simulated time that tells one clock what happens. */
class Camera {
  /** The true time, on the hub's monotonic clock. */
  now: Millis = 1_000_000;
  /** What the camera's wall clock is ahead. */
  wallError = 0;
  ppm: number;
  /** The greatest error, and the least and greatest advance against true time, of all frames. */
  worst = 0;
  slowest = Number.POSITIVE_INFINITY;
  fastest = 0;
  readonly clock: MediaClock;
  readonly #random = seeded(7);
  readonly #jitterMs: number;
  readonly #delayMs: number;
  readonly #hz: number;
  #media = 0;
  #captured = Number.NaN;

  constructor({ ppm = 0, jitterMs = 0, delayMs = 0, hz = HZ }: Link = {}) {
    this.ppm = ppm;
    this.#jitterMs = jitterMs;
    this.#delayMs = delayMs;
    this.#hz = hz;
    this.clock = new MediaClock(hz);
  }

  get timestamp(): number {
    return (FIRST_TIMESTAMP + Math.round((this.#media * this.#hz) / 1_000)) % 2 ** 32;
  }

  get error(): number {
    return this.clock.at(this.timestamp) - (WALL + this.now);
  }

  frame(intervalMs: number): void {
    this.now += intervalMs;
    this.#media += intervalMs * (1 + this.ppm / 1e6);
    const arrival = this.now + this.#delayMs + this.#random() * this.#jitterMs;
    this.clock.arrived(this.timestamp, arrival, WALL + arrival);
    const captured = this.clock.at(this.timestamp);
    const speed = (captured - this.#captured) / intervalMs;
    if (speed < this.slowest) this.slowest = speed;
    if (speed > this.fastest) this.fastest = speed;
    this.worst = Math.max(this.worst, Math.abs(this.error));
    this.#captured = captured;
  }

  report(timestamp = this.timestamp): void {
    this.clock.reported(timestamp, WALL + this.now + this.wallError);
  }

  /** Frames for so long; a report every `reportEveryMs`, 0 for none. */
  run(ms: number, reportEveryMs = 0, intervalMs = 40): this {
    let due = this.now;
    for (const end = this.now + ms; this.now < end; ) {
      if (reportEveryMs > 0 && this.now >= due) {
        this.report();
        due += reportEveryMs;
      }
      this.frame(intervalMs);
    }
    return this;
  }

  /** What follows is judged, what was is not. */
  settled(): this {
    this.worst = 0;
    this.slowest = Number.POSITIVE_INFINITY;
    this.fastest = 0;
    return this;
  }
}

describe("media clock", () => {
  test("nothing is known before the first arrival; then the time of arrival", () => {
    const camera = new Camera();
    expect(camera.clock.known).toBe(false);
    camera.frame(40);
    expect(camera.clock).toMatchObject({ known: true, source: "arrival", cameraOffsetMs: null });
    expect(camera.error).toBe(0);
  });

  for (const ppm of [-500, 500]) {
    test(`without reports, 24 h of 30 ms jitter and ${ppm} ppm: no drift, no jitter`, () => {
      const camera = new Camera({ ppm, jitterMs: 30 }).run(60_000).settled();
      camera.run(24 * HOUR_MS, 0, 200);
      expect(camera.worst).toBeLessThan(20);
      expect(camera.slowest).toBeGreaterThan(0.98);
      expect(camera.fastest).toBeLessThan(1.02);
      expect(camera.clock.steps).toBe(0);
    });
  }

  test("with a report every 5 s the delay of the link is known, and taken off", () => {
    const camera = new Camera({ ppm: 200, jitterMs: 30, delayMs: 300 }).run(30_000, 5_000);
    camera.settled().run(HOUR_MS, 5_000);
    expect(camera.clock.source).toBe("rtcp");
    expect(camera.worst).toBeLessThan(5);
    expect(camera.clock.cameraOffsetMs).toBeWithin(-310, -295);
  });

  test("the first report comes late: time slows down, and never runs backwards", () => {
    const camera = new Camera({ delayMs: 2_000, jitterMs: 10 }).run(20_000);
    expect(camera.error).toBeWithin(1_995, 2_015);
    camera.settled().run(20_000, 5_000);
    expect(camera.slowest).toBeGreaterThan(0.49);
    camera.settled().run(20_000, 5_000);
    expect(camera.worst).toBeLessThan(20);
    expect(camera.clock.steps).toBe(0);
  });

  test("a group of pictures sent at once at the start is spread over its time", () => {
    const camera = new Camera();
    const { clock } = camera;
    const burst = Array.from({ length: 50 }, (_, i) => (FIRST_TIMESTAMP + i * 3_600) % 2 ** 32);
    for (const timestamp of burst) clock.arrived(timestamp, 5_000_000, WALL + 5_000_000);
    const times = burst.map((timestamp) => clock.at(timestamp));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    for (let i = 0; i < 500; i++) {
      const now = 5_000_000 + i * 40;
      clock.arrived((FIRST_TIMESTAMP + (49 + i) * 3_600) % 2 ** 32, now, WALL + now);
    }
    const last = (FIRST_TIMESTAMP + (49 + 499) * 3_600) % 2 ** 32;
    expect(clock.at(last) - (WALL + 5_000_000 + 499 * 40)).toBeWithin(-1, 10);
  });

  test("pictures sent out of order keep their order in time while it is corrected", () => {
    const camera = new Camera({ delayMs: 1_000 }).run(10_000);
    camera.report();
    camera.frame(40);
    const { clock } = camera;
    let [highest, wrong] = [0, 0];
    for (let i = 1; i < 200; i++) {
      const now = camera.now + i * 120;
      const at = (frames: number) => (camera.timestamp + (i * 3 + frames) * 3_600) % 2 ** 32;
      // P comes before the two B frames that are shown before it.
      for (const timestamp of [at(0), at(-2), at(-1)])
        clock.arrived(timestamp, now + 1_000, WALL + now + 1_000);
      const times = [clock.at(at(-3)), clock.at(at(-2)), clock.at(at(-1)), clock.at(at(0))];
      for (const [j, time] of times.entries()) if (j > 0 && time <= times[j - 1]!) wrong++;
      if (times[0]! < highest) wrong++;
      highest = times[3]!;
    }
    expect(wrong).toBe(0);
  });

  test("a link that becomes slower for an hour moves nothing while reports come", () => {
    const clock = new MediaClock(HZ);
    let worst = 0;
    for (let i = 0; i < 60_000; i++) {
      const now = 1_000_000 + i * 40;
      const timestamp = (i * 3_600) % 2 ** 32;
      const arrival = now + (i > 10_000 ? 400 : 0);
      if (i % 125 === 0) clock.reported(timestamp, WALL + now);
      clock.arrived(timestamp, arrival, WALL + arrival);
      worst = Math.max(worst, Math.abs(clock.at(timestamp) - WALL - now));
    }
    expect(worst).toBeLessThan(2);
  });

  test("the hub's own clock is set: arrival times follow at once, reported ones do not", () => {
    const camera = new Camera().run(20_000);
    camera.clock.arrived(camera.timestamp, camera.now, WALL + camera.now + HOUR_MS);
    expect(camera.error).toBe(HOUR_MS);
    expect(camera.clock.steps).toBe(1);
    const reported = new Camera().run(20_000, 5_000);
    reported.clock.arrived(reported.timestamp, reported.now, WALL + reported.now + HOUR_MS);
    expect(Math.abs(reported.error)).toBeLessThan(1);
  });

  for (const hz of [8_000, 48_000, 90_000]) {
    test(`${hz} Hz: a week of wraps, and a day without a session`, () => {
      const camera = new Camera({ hz }).run(168 * HOUR_MS, HOUR_MS, 10_000);
      expect(camera.worst).toBeLessThan(1);
      camera.clock.reset();
      expect(camera.clock).toMatchObject({ source: "arrival", known: true });
      camera.frame(24 * HOUR_MS);
      expect(Math.abs(camera.error)).toBeLessThan(1);
    });
  }

  test("the track without reports goes by its sibling's, and both say so", () => {
    const picture = new Camera({ delayMs: 800 });
    const sound = new Camera({ delayMs: 800, hz: 8_000 });
    picture.clock.sibling = sound.clock;
    sound.clock.sibling = picture.clock;
    for (let i = 0; i < 2_000; i++) {
      if (i % 125 === 0) picture.report();
      picture.frame(40);
      sound.frame(40);
    }
    expect([picture.clock.source, sound.clock.source]).toEqual(["rtcp", "rtcp"]);
    expect(Math.abs(sound.error)).toBeLessThan(5);
    expect(sound.clock.cameraOffsetMs).toBeNull();
  });

  test("time grows with the timestamp, whatever arrives when and whatever is reported", () => {
    const event = fc.record({
      passed: fc.integer({ min: 0, max: 5_000 }),
      frame: fc.integer({ min: 1, max: 3_000 }),
      reported: fc.option(fc.integer({ min: -9_000, max: 9_000 })),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), (events) => {
        const clock = new MediaClock(HZ);
        let [now, media, last] = [1_000_000, 0, Number.NEGATIVE_INFINITY];
        for (const { passed, frame, reported } of events) {
          now += passed;
          media += frame;
          const timestamp = (media * 90) % 2 ** 32;
          if (reported !== null) clock.reported(timestamp, WALL + now + reported);
          const steps = clock.steps;
          clock.arrived(timestamp, now, WALL + now);
          const time = clock.at(timestamp);
          if (clock.steps === steps) expect(time).toBeGreaterThan(last);
          last = time;
        }
      }),
    );
  });
});

describe("sender reports of cameras", () => {
  test("quirk: the first sender report comes before the first packet", () => {
    const camera = new Camera({ delayMs: 500 });
    camera.report();
    camera.frame(40);
    expect(camera.clock.source).toBe("rtcp");
    expect(Math.abs(camera.error)).toBeLessThan(41);
  });

  test("quirk: sender reports carry the RTP timestamp 0", () => {
    const camera = new Camera().run(5_000);
    camera.report(0);
    camera.run(1_000);
    expect(camera.clock).toMatchObject({ source: "arrival", ignoredReports: 1 });
  });

  test("quirk: one sender report at the start and never again", () => {
    const camera = new Camera({ ppm: 500, jitterMs: 30, delayMs: 300 });
    camera
      .run(30_000, 60_000)
      .settled()
      .run(24 * HOUR_MS, 0, 400);
    expect(camera.clock.source).toBe("rtcp");
    expect(camera.worst).toBeLessThan(40);
  });

  test("quirk: a sender report every 60 s only", () => {
    const camera = new Camera({ ppm: -500, jitterMs: 30, delayMs: 300 });
    camera
      .run(120_000, 60_000)
      .settled()
      .run(4 * HOUR_MS, 60_000);
    expect(camera.worst).toBeLessThan(40);
    expect(camera.slowest).toBeGreaterThan(0.98);
  });

  test("quirk: the camera's clock stands in 1970", () => {
    const camera = new Camera();
    camera.wallError = -(WALL + camera.now);
    camera.run(60_000, 5_000);
    expect(camera.clock).toMatchObject({ source: "arrival", ignoredReports: 0 });
    expect(camera.error).toBe(0);
    expect(camera.clock.cameraOffsetMs).toBeCloseTo(camera.wallError, -3);
  });

  test("quirk: the camera's clock is set after its start, from 1970 to now", () => {
    const camera = new Camera({ delayMs: 100 });
    camera.wallError = -(WALL + camera.now);
    camera.run(60_000, 5_000);
    camera.wallError = 0;
    camera.settled().run(30_000, 5_000);
    expect(camera.slowest).toBeGreaterThan(0.9);
    expect(camera.clock).toMatchObject({ source: "rtcp", cameraSteps: 1, ignoredReports: 1 });
    expect(Math.abs(camera.error)).toBeLessThan(5);
  });

  test("quirk: the camera's clock goes on or back by an hour for summer time", () => {
    for (const wallError of [HOUR_MS, -HOUR_MS]) {
      const camera = new Camera({ delayMs: 100 }).run(60_000, 5_000);
      camera.wallError = wallError;
      camera.settled().run(60_000, 5_000);
      expect(camera.worst).toBeLessThan(110);
      expect(camera.slowest).toBeGreaterThan(0.9);
      expect(camera.clock).toMatchObject({ source: "arrival", cameraSteps: 1, steps: 0 });
      expect(camera.clock.cameraOffsetMs).toBeWithin(wallError - 110, wallError - 90);
      camera.wallError = 0;
      camera.run(60_000, 5_000);
      expect(camera.clock).toMatchObject({ source: "rtcp", cameraSteps: 2 });
    }
  });

  test("quirk: a single sender report is wrong by seconds", () => {
    const camera = new Camera().run(60_000, 5_000).settled();
    camera.wallError = 4_000;
    camera.report();
    camera.frame(40);
    camera.wallError = 0;
    camera.run(60_000, 5_000);
    expect(camera.worst).toBeLessThan(1);
    expect(camera.clock).toMatchObject({ ignoredReports: 1, cameraSteps: 0 });
  });

  test("quirk: the crystal drifts with the temperature, and reports stop for hours", () => {
    const camera = new Camera({ jitterMs: 10 }).run(30_000, 5_000).settled();
    for (let hour = 0; hour < 12; hour++) {
      camera.ppm = 200 * Math.sin(hour);
      camera.run(HOUR_MS, hour % 4 === 0 ? 5_000 : 0, 200);
    }
    expect(camera.worst).toBeLessThan(25);
  });
});

describe("arrival floor", () => {
  test("is the least of the last seconds, whenever they are", () => {
    const event = fc.record({
      passed: fc.integer({ min: 0, max: 4_000 }),
      delay: fc.integer({ min: -1_000, max: 1_000 }),
    });
    fc.assert(
      fc.property(fc.integer(), fc.array(event, { minLength: 1 }), (start, events) => {
        const floor = new ArrivalFloor();
        const seen: { readonly at: number; readonly delay: number }[] = [];
        let now = start;
        for (const { passed, delay } of events) {
          now += passed;
          floor.add(delay, now);
          seen.push({ at: Math.floor(now / 1_000), delay });
          const second = Math.floor(now / 1_000);
          const held = seen.filter(({ at }) => at > second - 16).map((each) => each.delay);
          expect(floor.value).toBe(Math.min(...held));
        }
      }),
    );
  });
});
