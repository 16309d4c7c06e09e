import { describe, expect, test } from "bun:test";
import { Schedule } from "./schedule.ts";

/** The turns that are due at `now`, as camera:interval. */
function turns(schedule: Schedule, now: number): string[] {
  const taken: string[] = [];
  while (schedule.advance(now)) taken.push(`${schedule.camera}:${schedule.interval}`);
  return taken;
}

describe("Schedule", () => {
  test("spreads cameras over the frame interval", () => {
    const schedule = new Schedule(4, 25, 1000);
    expect(turns(schedule, 999)).toEqual([]);
    expect(turns(schedule, 1000)).toEqual(["0:0"]);
    expect(schedule.due).toBe(1010);
    expect(turns(schedule, 1029)).toEqual(["1:0", "2:0"]);
    expect(turns(schedule, 1040)).toEqual(["3:0", "0:1"]);
  });

  test("does not drift, however late each wake-up is", () => {
    const schedule = new Schedule(3, 30, 0);
    let count = 0;
    for (let now = 0; now < 3_600_000; now = schedule.due + 0.9)
      count += turns(schedule, now).length;
    expect(Math.abs(count - 3 * 30 * 3600)).toBeLessThanOrEqual(3);
    expect(schedule.pace()).toMatchObject({ late: 0, skippedIntervals: 0 });
  });

  test("makes up for a short stall, and skips most of a long one", () => {
    const schedule = new Schedule(2, 25, 0);
    turns(schedule, 0);
    expect(turns(schedule, 100)).toEqual(["1:0", "0:1", "1:1", "0:2", "1:2"]);
    const taken = turns(schedule, 1_001);
    expect(taken).toEqual(["0:23", "1:23", "0:24", "1:24", "0:25"]);
    expect(schedule.pace().skippedIntervals).toBe(20);
    expect(schedule.due).toBe(1_020);
  });

  test("measures how late turns were", () => {
    const schedule = new Schedule(1, 25, 0);
    for (let i = 0; i < 100; i++) schedule.advance(i * 40 + (i === 50 ? 30 : 2));
    const pace = schedule.pace();
    expect(pace).toMatchObject({ turns: 100, late: 1, latenessMsP50: 2, latenessMsP99: 2 });
  });
});
