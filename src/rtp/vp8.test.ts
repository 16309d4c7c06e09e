import { describe, expect, test } from "bun:test";
import { body, flagWords, Rig, type Sent } from "./fixtures/ring.ts";
import { PAYLOAD_BYTES_MAX } from "./header.ts";
import { Verdict } from "./repacketizer.ts";
import { videoFormat } from "./track-format.ts";

const fresh = (): Rig => new Rig(videoFormat("vp8"));
/** A keyframe of 160 by 96: tag, start code, size. */
const KEY = [0x90, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0xa0, 0x00, 0x60, 0x00];
const DELTA = [0x91, 7, 7];

const T = Verdict.Taken;
const cases: { name: string; packets: Sent[]; verdicts: Verdict[]; want: [number[], string][] }[] =
  [
    {
      name: "one byte of descriptor",
      packets: [{ bytes: [0x10, ...KEY], sequence: 1, marker: true }],
      verdicts: [T],
      want: [[[0x10, ...KEY], "start key marker"]],
    },
    {
      name: "every extension there is: picture id of two bytes, TL0PICIDX, TID and key index",
      packets: [{ bytes: [0x90, 0xf0, 0x81, 0x23, 5, 0x40, ...DELTA], sequence: 1, marker: true }],
      verdicts: [T],
      want: [[[0x10, ...DELTA], "start marker"]],
    },
    {
      name: "picture id of one byte",
      packets: [{ bytes: [0x90, 0x80, 0x12, ...DELTA], sequence: 1, marker: true }],
      verdicts: [T],
      want: [[[0x10, ...DELTA], "start marker"]],
    },
    {
      name: "partitions of one frame",
      packets: [
        { bytes: [0x10, ...DELTA], sequence: 1 },
        { bytes: [0x00, 1], sequence: 2 },
        { bytes: [0x11, 2], sequence: 3, marker: true },
      ],
      verdicts: [T, T, T],
      want: [
        [[0x10, ...DELTA], "start"],
        [[0x00, 1], ""],
        [[0x00, 2], "marker"],
      ],
    },
    {
      name: "joined in the middle of a frame",
      packets: [{ bytes: [0x00, 1], sequence: 1, marker: true }],
      verdicts: [Verdict.Lost],
      want: [[[], "start damaged hole"]],
    },
    {
      name: "a frame starts with its first partition",
      packets: [{ bytes: [0x11, 1], sequence: 1, marker: true }],
      verdicts: [Verdict.Lost],
      want: [[[], "start damaged hole"]],
    },
    {
      name: "no marker: a frame ends where the next one starts",
      packets: [
        { bytes: [0x10, ...DELTA], sequence: 1, timestamp: 1 },
        { bytes: [0x10, ...DELTA], sequence: 2, timestamp: 2 },
      ],
      verdicts: [T, T],
      want: [
        [[0x10, ...DELTA], "start"],
        [[0x10, ...DELTA], "start"],
      ],
    },
    {
      name: "a descriptor and nothing behind it is malformed",
      packets: [{ bytes: [0x90, 0xf0, 0x81], sequence: 1 }],
      verdicts: [Verdict.Malformed],
      want: [[[], "start damaged hole"]],
    },
  ];

describe("vp8 repacketizer", () => {
  test.each(cases)("$name", ({ packets, verdicts, want }) => {
    const rig = fresh();
    expect(packets.map((packet) => rig.send(packet))).toEqual(verdicts);
    expect(rig.stored().map(({ bytes, flags }) => [bytes, flagWords(flags)])).toEqual(want);
  });

  test("the picture follows the keyframes", () => {
    const rig = fresh();
    rig.unit(KEY, 1);
    expect(rig.track.picture).toEqual({ width: 160, height: 96 });
    expect(rig.track.changes).toBe(1);
    rig.unit(DELTA, 2);
    rig.unit(KEY.with(6, 0x40).with(7, 0x81), 3);
    // Two bits of scaling are no part of the width.
    expect(rig.track.picture).toEqual({ width: 0x140, height: 96 });
    expect(rig.track.changes).toBe(2);
  });

  test("a whole frame is cut, and put together again", () => {
    const rig = fresh();
    const frame = body(KEY, 5000);
    expect(rig.unit(frame)).toBe(T);
    expect(rig.unit([], 9)).toBe(Verdict.Malformed);
    expect(rig.stored().every(({ bytes }) => bytes.length <= PAYLOAD_BYTES_MAX)).toBe(true);
    expect([...(rig.units()[0]?.bytes ?? [])]).toEqual(frame);
  });
});
