import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  FLAG_DAMAGED,
  FLAG_HOLE,
  FLAG_KEYFRAME,
  FLAG_MARKER,
  FLAG_START,
  PacketRing,
} from "../core/packet-ring.ts";
import { H264Repacketizer } from "./h264.ts";
import { emptyRtpHeader, PAYLOAD_BYTES_MAX } from "./header.ts";
import { Verdict } from "./repacketizer.ts";

interface Sent {
  readonly bytes: readonly number[];
  readonly sequence: number;
  readonly marker?: boolean;
  readonly timestamp?: number;
}

interface Stored {
  readonly bytes: number[];
  readonly flags: number;
}

function send(h264: H264Repacketizer, sent: Sent): Verdict {
  const header = emptyRtpHeader();
  header.sequence = sent.sequence;
  header.marker = sent.marker ?? false;
  header.payloadEnd = sent.bytes.length;
  return h264.push(new Uint8Array(sent.bytes), header, sent.timestamp ?? 3000);
}

function stored(ring: PacketRing): Stored[] {
  const packets: Stored[] = [];
  for (let id = ring.tail; id < ring.head; id++) {
    const start = ring.start(id);
    packets.push({
      bytes: [...ring.bytes.subarray(start, start + ring.length(id))],
      flags: ring.flags(id),
    });
  }
  return packets;
}

function fresh(): { ring: PacketRing; h264: H264Repacketizer } {
  const ring = new PacketRing(1 << 16, 1 << 18);
  return { ring, h264: new H264Repacketizer(ring) };
}

/** `count` bytes that start with `head` and then count up. */
const body = (head: readonly number[], count: number): number[] => [
  ...head,
  ...Array.from({ length: count - head.length }, (_, i) => i & 0xff),
];

const cases: { name: string; packets: Sent[]; verdicts: Verdict[]; want: Stored[] }[] = [
  {
    name: "single NAL unit with marker",
    packets: [{ bytes: [0x41, 0x80, 2], sequence: 10, marker: true }],
    verdicts: [Verdict.Taken],
    want: [{ bytes: [0x41, 0x80, 2], flags: FLAG_START | FLAG_MARKER }],
  },
  {
    name: "STAP-A is taken apart, the marker falls on its last part",
    packets: [
      { bytes: [0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2], sequence: 1 },
      { bytes: [0x78, 0, 2, 0x65, 0x80, 0, 2, 0x65, 0x40], sequence: 2, marker: true },
    ],
    verdicts: [Verdict.Taken, Verdict.Taken],
    want: [
      { bytes: [0x67, 1], flags: FLAG_START | FLAG_KEYFRAME },
      { bytes: [0x68, 2], flags: 0 },
      { bytes: [0x65, 0x80], flags: 0 },
      { bytes: [0x65, 0x40], flags: FLAG_MARKER },
    ],
  },
  {
    name: "a short NAL unit in fragments becomes one packet, across the sequence wrap",
    packets: [
      { bytes: [0x5c, 0x81, 0x80, 9], sequence: 65535 },
      { bytes: [0x5c, 0x41, 8], sequence: 0, marker: true },
    ],
    verdicts: [Verdict.Taken, Verdict.Taken],
    want: [{ bytes: [0x41, 0x80, 9, 8], flags: FLAG_START | FLAG_MARKER }],
  },
  {
    name: "quirk: a fragment with both start and end set (CostarHD)",
    packets: [{ bytes: [0x5c, 0xc1, 0x80, 7], sequence: 1, marker: true }],
    verdicts: [Verdict.Taken],
    want: [{ bytes: [0x41, 0x80, 7], flags: FLAG_START | FLAG_MARKER }],
  },
  {
    name: "a gap inside a unit: the rest of it is dropped, a hole tells viewers",
    packets: [
      { bytes: body([0x5c, 0x81, 0x80], 1300), sequence: 1 },
      { bytes: [0x5c, 0x01, 8], sequence: 3 },
      { bytes: [0x5c, 0x41, 8], sequence: 4, marker: true },
      { bytes: [0x41, 0x80], sequence: 5, marker: true, timestamp: 6600 },
    ],
    verdicts: [Verdict.Taken, Verdict.Lost, Verdict.Lost, Verdict.Taken],
    want: [
      {
        bytes: body([0x5c, 0x81, 0x80], PAYLOAD_BYTES_MAX),
        flags: FLAG_START | FLAG_DAMAGED,
      },
      { bytes: [], flags: FLAG_HOLE },
      { bytes: [0x41, 0x80], flags: FLAG_START | FLAG_MARKER },
    ],
  },
  {
    name: "a gap between units: a hole, and the next unit is whole",
    packets: [
      { bytes: [0x41, 0x80], sequence: 1, marker: true },
      { bytes: [0x41, 0x81], sequence: 4, marker: true, timestamp: 6600 },
    ],
    verdicts: [Verdict.Taken, Verdict.Taken],
    want: [
      { bytes: [0x41, 0x80], flags: FLAG_START | FLAG_MARKER },
      { bytes: [], flags: FLAG_HOLE },
      { bytes: [0x41, 0x81], flags: FLAG_START | FLAG_MARKER },
    ],
  },
  {
    name: "the first slice is missing (first_mb_in_slice is not 0)",
    packets: [{ bytes: [0x41, 0x20, 1], sequence: 1, marker: true }],
    verdicts: [Verdict.Lost],
    want: [{ bytes: [], flags: FLAG_START | FLAG_HOLE | FLAG_DAMAGED }],
  },
  {
    name: "joined in the middle of a fragmented NAL unit",
    packets: [{ bytes: [0x5c, 0x01, 8], sequence: 3 }],
    verdicts: [Verdict.Lost],
    want: [{ bytes: [], flags: FLAG_START | FLAG_HOLE | FLAG_DAMAGED }],
  },
  {
    name: "a repeated packet and a late one change nothing",
    packets: [
      { bytes: [0x41, 0x80], sequence: 7, marker: true },
      { bytes: [0x41, 0x80], sequence: 7, marker: true },
      { bytes: [0x41, 0x80], sequence: 3, marker: true },
    ],
    verdicts: [Verdict.Taken, Verdict.Late, Verdict.Late],
    want: [{ bytes: [0x41, 0x80], flags: FLAG_START | FLAG_MARKER }],
  },
  {
    name: "quirk: sequence numbers start anew within a session",
    packets: [
      { bytes: [0x41, 0x80], sequence: 60_000, marker: true },
      { bytes: [0x41, 0x80], sequence: 40_000, marker: true, timestamp: 1 },
      { bytes: [0x41, 0x81], sequence: 40_001, marker: true, timestamp: 2 },
    ],
    verdicts: [Verdict.Taken, Verdict.Late, Verdict.Taken],
    want: [
      { bytes: [0x41, 0x80], flags: FLAG_START | FLAG_MARKER },
      { bytes: [], flags: FLAG_HOLE },
      { bytes: [0x41, 0x81], flags: FLAG_START | FLAG_MARKER },
    ],
  },
  {
    name: "an empty payload is malformed and spoils its unit",
    packets: [{ bytes: [], sequence: 1, marker: true }],
    verdicts: [Verdict.Malformed],
    want: [{ bytes: [], flags: FLAG_START | FLAG_HOLE | FLAG_DAMAGED }],
  },
  {
    name: "an aggregate that claims more than it has is malformed",
    packets: [{ bytes: [0x78, 0, 9, 0x67, 1], sequence: 1 }],
    verdicts: [Verdict.Malformed],
    want: [{ bytes: [], flags: FLAG_START | FLAG_HOLE | FLAG_DAMAGED }],
  },
];

describe("h264 repacketizer", () => {
  test.each(cases)("$name", ({ packets, verdicts, want }) => {
    const { ring, h264 } = fresh();
    expect(packets.map((packet) => send(h264, packet))).toEqual(verdicts);
    expect(stored(ring)).toEqual(want);
  });

  test("quirk: parameter sets in the session description only", () => {
    const { ring, h264 } = fresh();
    h264.offerParameterSets([new Uint8Array([0x67, 1, 2, 3]), new Uint8Array([0x68, 4])]);
    send(h264, { bytes: [0x65, 0x80], sequence: 1 });
    send(h264, { bytes: [0x65, 0x40], sequence: 2, marker: true });
    expect(stored(ring).map(({ bytes }) => bytes[0])).toEqual([0x67, 0x68, 0x65, 0x65]);
    expect(ring.flags(0)).toBe(FLAG_START | FLAG_KEYFRAME);
    expect(h264.keyframe).toBe(0);
  });

  test("a keyframe that loses a packet is nothing to start from", () => {
    const { h264 } = fresh();
    send(h264, { bytes: [0x65, 0x80], sequence: 1, marker: true });
    expect(h264.keyframe).toBe(0);
    send(h264, { bytes: body([0x7c, 0x85, 0x80], 1300), sequence: 2, timestamp: 9 });
    expect(h264.keyframe).toBe(1);
    send(h264, { bytes: [0x7c, 0x45, 1], sequence: 4, timestamp: 9, marker: true });
    expect(h264.keyframe).toBe(-1);
  });

  test("a full fragment leaves at once; no packet exceeds the bound", () => {
    const { ring, h264 } = fresh();
    const nal = body([0x65, 0x80], 5000);
    send(h264, { bytes: nal, sequence: 1, marker: true });
    const lengths = stored(ring).map(({ bytes }) => bytes.length);
    expect(lengths.slice(0, -1).every((length) => length === PAYLOAD_BYTES_MAX)).toBe(true);
    expect(lengths.at(-1)).toBeLessThanOrEqual(PAYLOAD_BYTES_MAX);
    expect(reassemble(ring)).toEqual([nal]);
  });

  test("however a NAL unit is cut, what comes out is the same unit", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 2, maxLength: 12 });
    fc.assert(
      fc.property(cuts, (sizes) => {
        const { ring, h264 } = fresh();
        const nal = body([0x65, 0x80], 1 + sizes.reduce((sum, size) => sum + size, 0));
        let at = 1;
        for (const [i, size] of sizes.entries()) {
          const last = i === sizes.length - 1;
          const head = 5 | (i === 0 ? 0x80 : 0) | (last ? 0x40 : 0);
          const bytes = [0x7c, head, ...nal.slice(at, at + size)];
          expect(send(h264, { bytes, sequence: i, marker: last })).toBe(Verdict.Taken);
          at += size;
        }
        expect(reassemble(ring)).toEqual([nal]);
        expect(ring.flags(ring.head - 1) & FLAG_MARKER).toBe(FLAG_MARKER);
      }),
      { numRuns: 200 },
    );
  });

  test("any payloads: a verdict, packets within the bound, nothing else", () => {
    const packet = fc.record({
      bytes: fc.uint8Array({ maxLength: 3000 }),
      step: fc.integer({ min: 0, max: 3 }),
      marker: fc.boolean(),
      tick: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 40 }), (packets) => {
        const { ring, h264 } = fresh();
        let sequence = 65_530;
        let timestamp = 0;
        for (const { bytes, step, marker, tick } of packets) {
          sequence = (sequence + step) & 0xffff;
          timestamp += tick ? 3000 : 0;
          send(h264, { bytes: [...bytes], sequence, marker, timestamp });
        }
        for (const { bytes } of stored(ring)) {
          expect(bytes.length).toBeLessThanOrEqual(PAYLOAD_BYTES_MAX);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** The NAL units in the ring, fragments joined. */
function reassemble(ring: PacketRing): number[][] {
  const nals: number[][] = [];
  for (const { bytes } of stored(ring)) {
    const [indicator = 0, head = 0, ...rest] = bytes;
    if ((indicator & 0x1f) !== 28) nals.push(bytes);
    else if ((head & 0x80) !== 0) nals.push([(indicator & 0xe0) | (head & 0x1f), ...rest]);
    else nals.at(-1)?.push(...rest);
  }
  return nals;
}
