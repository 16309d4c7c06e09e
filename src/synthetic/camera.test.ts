import { describe, expect, test } from "bun:test";
import { readSenderReport } from "../rtp/rtcp.ts";
import { Camera, type CameraOptions, type Receiver } from "./camera.ts";
import type { FrameRecord } from "./frame-log.ts";
import { UnitPackets } from "./packets.ts";

/** A clip of ten units; the first and the sixth are keyframes. */
const UNITS = Array.from({ length: 10 }, (_, i) => {
  const nal = [i % 5 === 0 ? 0x65 : 0x61, 0x80, i + 1];
  return new UnitPackets({ bytes: Uint8Array.of(0, 0, 0, 1, ...nal), keyframe: i % 5 === 0 });
});

function camera(more: Partial<CameraOptions> = {}): Camera {
  const options = { name: "door", units: UNITS, phase: 0, fps: 25, startWithKeyframe: false };
  return new Camera({ ...options, onFrame: null, ...more });
}

/** Remembers what it is sent. */
class Probe implements Receiver {
  readonly seen: string[] = [];
  readonly reports: Uint8Array[] = [];
  takes = true;
  frame(unit: UnitPackets): boolean {
    this.seen.push(`frame ${UNITS.indexOf(unit)}`);
    return this.takes;
  }
  report(rtcp: Uint8Array): void {
    this.seen.push("report");
    this.reports.push(rtcp.slice());
  }
}

describe("Camera", () => {
  test("moves on while nobody watches, and reports to each client first", () => {
    const door = camera({ phase: 8 });
    const [early, late] = [new Probe(), new Probe()];
    door.tick(0);
    door.join(early);
    door.tick(1);
    door.tick(2);
    door.join(late);
    door.tick(3);
    expect(early.seen).toEqual(["report", "frame 9", "frame 0", "frame 1"]);
    expect(late.seen).toEqual(["report", "frame 1"]);
    const [first, second] = [early, late].map(({ reports }) => reports[0] ?? new Uint8Array(0));
    const report = readSenderReport(first!, 0, first!.length);
    const reportLater = readSenderReport(second!, 0, second!.length);
    expect(report).toMatchObject({ ssrc: door.ssrc, packets: 0, bytes: 0 });
    expect(reportLater).toMatchObject({ ssrc: door.ssrc, packets: 2, bytes: 6 });
    const ticks = ((reportLater?.timestamp ?? 0) - (report?.timestamp ?? 0)) >>> 0;
    expect(ticks).toBe(2 * 3600);
  });

  test("keeps a client waiting for a keyframe when asked to", () => {
    const door = camera({ phase: 2, startWithKeyframe: true });
    const [first, second] = [new Probe(), new Probe()];
    door.join(first);
    for (let interval = 0; interval < 5; interval++) {
      if (interval === 4) door.join(second);
      door.tick(interval);
    }
    expect(first.seen).toEqual(["report", "frame 5", "frame 6"]);
    expect(second.seen).toEqual(["report"]);
    expect(door.starts()).toEqual([]);
    expect(door.counters.frames).toBe(2);
  });

  test("says where its packets go on, skipped intervals included", () => {
    const records: FrameRecord[] = [];
    const door = camera({ onFrame: (record) => records.push(record) });
    door.join(new Probe());
    door.tick(0);
    const [start] = door.starts();
    door.tick(1);
    door.tick(9);
    const [first, second, third] = records.map(({ rtpTimestamp }) => rtpTimestamp);
    expect(second).toBe(start?.timestamp ?? -1);
    expect(((third ?? 0) - (first ?? 0)) >>> 0).toBe(9 * 3600);
    // The picture goes on where it was: a decoder misses nothing.
    expect(records.map(({ frame }) => frame)).toEqual([0, 1, 2]);
    expect(door.log.records(Number.NEGATIVE_INFINITY)).toEqual(records);
  });

  test("counts what a slow client lost, and what others got", () => {
    const door = camera();
    const [slow, fast] = [new Probe(), new Probe()];
    slow.takes = false;
    const leave = door.join(slow);
    door.join(fast);
    door.tick(0);
    door.tick(1);
    leave();
    leave();
    door.tick(2);
    expect(slow.seen).toHaveLength(3);
    expect(door.playing).toBe(1);
    expect(door.counters).toMatchObject({ frames: 3, droppedFrames: 2, bytes: 3 * 15 });
  });

  test("drops its connections when it is switched off", () => {
    const door = camera();
    let dropped = 0;
    for (let i = 0; i < 3; i++) {
      const connection = {
        drop: () => {
          dropped++;
          door.connections.delete(connection);
        },
      };
      door.connections.add(connection);
    }
    door.switch(false);
    expect([dropped, door.on]).toEqual([3, false]);
    door.switch(true);
    expect(door.on).toBe(true);
  });
});
