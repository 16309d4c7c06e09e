import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { FrameFile } from "./frame-file.ts";
import { FrameLog } from "./frame-log.ts";

test("FrameLog keeps the last 3000 frames, oldest first", () => {
  const log = new FrameLog("door");
  for (let i = 0; i < 7_000; i++) log.add(i % 250, i * 3600, i * 40, 1e12 + i * 40);
  const records = log.records(Number.NEGATIVE_INFINITY);
  expect(records).toHaveLength(3_000);
  expect(records[0]?.monotonicMs).toBe(4_000 * 40);
  expect(records.at(-1)).toEqual({
    camera: "door",
    frame: 6_999 % 250,
    rtpTimestamp: 6_999 * 3600,
    monotonicMs: 6_999 * 40,
    unixMs: 1e12 + 6_999 * 40,
  });
  expect(log.records(6_998 * 40)).toHaveLength(1);
  expect(log.records(6_999 * 40)).toEqual([]);
});

test.skipIf(!existsSync("/dev/full"))(
  "FrameFile counts what a full disk did not take",
  async () => {
    const file = await FrameFile.open("/dev/full");
    const record = { camera: "door", frame: 1, rtpTimestamp: 2, monotonicMs: 3, unixMs: 4 };
    for (let i = 0; i < 5; i++) file.add(record);
    await file[Symbol.asyncDispose]();
    expect(file.dropped).toBe(5);
  },
);
