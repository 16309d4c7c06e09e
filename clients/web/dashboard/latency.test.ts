import { expect, test } from "bun:test";
import { LatencyMeter } from "./latency.ts";

test("latency by the camera's clock, across the timestamp wrap", () => {
  const meter = new LatencyMeter();
  meter.picture(0, 0);
  expect(meter.median).toBeNull();
  meter.clockOffset = 1_000_000;
  meter.learn({ rtp_timestamp: 0xffff_fff0, captured_at_unix_ms: 1_000_500 });
  // 16 + 9,000 ticks after the anchor is 100.2 ms after it.
  meter.picture(9_000, 630);
  expect(meter.median).toBeCloseTo(29.8, 1);
  for (const presented of [631, 700, 632]) meter.picture(9_000, presented);
  expect(meter.median).toBeCloseTo(31.8, 1);
  meter.clear();
  expect(meter.median).toBeNull();
});

test("a camera whose clock is hours off has no latency to show", () => {
  const meter = new LatencyMeter();
  meter.clockOffset = 0;
  meter.learn({ rtp_timestamp: 0, captured_at_unix_ms: 0 });
  meter.picture(0, 3_600_000);
  expect(meter.median).toBeNull();
});
