import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LagControl, type LagPace, type Pace } from "./lag.ts";

const FRAME_MS = 40;

/** A camera whose units are decoded by a machine that takes `costMs` for each. */
function run(options: {
  units: number;
  gop: number;
  costMs: (i: number) => number;
  dropCostMs?: number;
  pace?: LagPace;
}): { paces: Pace[]; behindMs: number[] } {
  const lag = new LagControl(options.pace);
  const paces: Pace[] = [];
  const behindMs: number[] = [];
  let now = 0;
  for (let i = 0; i < options.units; i++) {
    const completed = i * FRAME_MS;
    now = Math.max(now, completed);
    const pace = lag.next({ keyframe: i % options.gop === 0, replayed: false, completed }, now);
    now += pace === "drop" ? (options.dropCostMs ?? 0.1) : options.costMs(i);
    paces.push(pace);
    behindMs.push(now - completed);
  }
  return { paces, behindMs };
}

describe("lag", () => {
  test("a machine that keeps up converts everything", () => {
    const { paces } = run({ units: 500, gop: 50, costMs: () => 35 });
    expect(new Set(paces)).toEqual(new Set(["convert"]));
  });

  test("late for good, against the freeze: some are converted all the same", () => {
    const pace = { skipMs: 100, freezeMs: 400 };
    // 0.3 s behind, and no faster than the camera from then on.
    const { paces } = run({ units: 200, gop: 50, costMs: (i) => (i === 0 ? 300 : 40), pace });
    const converted = paces.map((one, i) => (one === "convert" ? i : -1)).filter((i) => i > 0);
    const steps = converted.slice(1).map((i, at) => i - (converted[at] ?? 0));
    expect(new Set(steps)).toEqual(new Set([11]));
  });

  test("a pause of 0.6 s: conversions are left out until caught up, nothing is dropped", () => {
    const { paces } = run({ units: 100, gop: 50, costMs: (i) => (i === 20 ? 600 : 5) });
    expect(paces.slice(0, 21).every((pace) => pace === "convert")).toBe(true);
    expect(paces[21]).toBe("decode");
    expect(paces).not.toContain("drop");
    expect(paces.slice(45).every((pace) => pace === "convert")).toBe(true);
  });

  test("a pause of 1.5 s: dropped to the next keyframe, which is converted", () => {
    const { paces } = run({ units: 200, gop: 50, costMs: (i) => (i === 20 ? 1_500 : 5) });
    const first = paces.indexOf("drop");
    expect(first).toBe(21);
    expect(paces.slice(21, 50).every((pace) => pace === "drop")).toBe(true);
    expect(paces.slice(58).every((pace) => pace === "convert")).toBe(true);
  });

  test("twice too slow forever: never more than the limit and one unit behind", () => {
    const { paces, behindMs } = run({ units: 5_000, gop: 50, costMs: () => 80 });
    expect(Math.max(...behindMs)).toBeLessThanOrEqual(1_000 + 80);
    expect(paces.filter((pace) => pace === "convert").length).toBeGreaterThan(100);
  });

  test("whatever the cost, the backlog stays bounded", () => {
    const cost = fc.double({ min: 0, max: 300, noNaN: true });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.array(cost, { minLength: 1 }),
        (gop, costs) => {
          const costMs = (i: number) => costs[i % costs.length] ?? 0;
          const { behindMs } = run({ units: 1_000, gop, costMs });
          expect(Math.max(...behindMs)).toBeLessThanOrEqual(1_000 + 300);
        },
      ),
    );
  });

  test("a replay is decoded without conversion, and what waited behind it is not dropped", () => {
    const lag = new LagControl();
    const replayed = (keyframe: boolean, now: number) =>
      lag.next({ keyframe, replayed: true, completed: 0 }, now);
    for (let i = 0; i < 300; i++) expect(replayed(i === 0, i * 8)).toBe("decode");
    expect(lag.behind).toBe(false);
    const live = (completed: number, now: number) =>
      lag.next({ keyframe: false, replayed: false, completed }, now);
    // 2.4 s of replay stand in front of the first live unit; decoding takes 8 ms per 40 ms.
    let now = 2_400;
    let converted = -1;
    for (let i = 0; i < 200 && converted < 0; i++) {
      now = Math.max(now, i * FRAME_MS) + 8;
      const pace = live(i * FRAME_MS, now);
      expect(pace).not.toBe("drop");
      if (pace === "convert") converted = i;
    }
    expect(converted).toBeGreaterThan(50);
    expect(live(0, 100_000)).toBe("drop");
  });

  test("a machine that does not catch up after a replay drops in the end", () => {
    const lag = new LagControl();
    lag.next({ keyframe: true, replayed: true, completed: 0 }, 0);
    const live = { keyframe: false, replayed: false, completed: 0 };
    expect(lag.next(live, 4_900)).toBe("decode");
    expect(lag.next(live, 5_100)).toBe("drop");
    expect(lag.behind).toBe(true);
  });

  test("while dropping, a keyframe of the past is dropped too, a fresh one ends it", () => {
    const lag = new LagControl();
    const at = (keyframe: boolean, completed: number, now: number) =>
      lag.next({ keyframe, replayed: false, completed }, now);
    expect(at(false, 0, 1_001)).toBe("drop");
    expect(at(true, 0, 1_001)).toBe("drop");
    expect(at(false, 1_000, 1_001)).toBe("drop");
    expect(at(true, 500, 1_001)).toBe("decode");
    expect(at(false, 900, 1_001)).toBe("convert");
    expect(lag.behind).toBe(false);
  });
});
