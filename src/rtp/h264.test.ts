import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { annexB } from "../../test/harness/rtp-streams.ts";
import {
  FLAG_DAMAGED,
  FLAG_HOLE,
  FLAG_KEYFRAME,
  FLAG_MARKER,
  FLAG_START,
} from "../core/packet-ring.ts";
import { body, flagWords, Rig, type Sent, type Stored } from "./fixtures/ring.ts";
import { PAYLOAD_BYTES_MAX } from "./header.ts";
import { Verdict } from "./repacketizer.ts";
import { videoFormat } from "./track-format.ts";

const fresh = (): Rig => new Rig(videoFormat("h264"));

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
    name: "quirk: empty NAL units in an aggregate are left out",
    packets: [{ bytes: [0x78, 0, 0, 0, 2, 0x41, 0x80, 0, 0], sequence: 1, marker: true }],
    verdicts: [Verdict.Taken],
    want: [{ bytes: [0x41, 0x80], flags: FLAG_START | FLAG_MARKER }],
  },
  {
    name: "aggregates and fragments of interleaved mode are malformed",
    packets: [25, 26, 27, 29].map((type, i) => ({
      bytes: [0x60 | type, 0, 0, 0, 2, 0x41, 0x80],
      sequence: i,
      timestamp: i,
    })),
    verdicts: Array.from({ length: 4 }, () => Verdict.Malformed),
    want: Array.from({ length: 4 }, () => ({
      bytes: [],
      flags: FLAG_START | FLAG_HOLE | FLAG_DAMAGED,
    })),
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
    const rig = fresh();
    expect(packets.map((packet) => rig.send(packet))).toEqual(verdicts);
    expect(rig.stored()).toEqual(want);
  });

  test("quirk: parameter sets in the session description only", () => {
    const rig = fresh();
    rig.track.offerParameterSets([new Uint8Array([0x67, 1, 2, 3]), new Uint8Array([0x68, 4])]);
    rig.send({ bytes: [0x65, 0x80], sequence: 1 });
    rig.send({ bytes: [0x65, 0x40], sequence: 2, marker: true });
    expect(rig.stored().map(({ bytes }) => bytes[0])).toEqual([0x67, 0x68, 0x65, 0x65]);
    expect(rig.ring.flags(0)).toBe(FLAG_START | FLAG_KEYFRAME);
    expect(rig.track.keyframe).toBe(0);
  });

  test("a keyframe that loses a packet is nothing to start from", () => {
    const rig = fresh();
    rig.send({ bytes: [0x65, 0x80], sequence: 1, marker: true });
    expect(rig.track.keyframe).toBe(0);
    rig.send({ bytes: body([0x7c, 0x85, 0x80], 1300), sequence: 2, timestamp: 9 });
    expect(rig.track.keyframe).toBe(1);
    rig.send({ bytes: [0x7c, 0x45, 1], sequence: 4, timestamp: 9, marker: true });
    expect(rig.track.keyframe).toBe(-1);
  });

  test("a full fragment leaves at once; no packet exceeds the bound", () => {
    const rig = fresh();
    const nal = body([0x65, 0x80], 5000);
    rig.send({ bytes: nal, sequence: 1, marker: true });
    const lengths = rig.stored().map(({ bytes }) => bytes.length);
    expect(lengths.slice(0, -1).every((length) => length === PAYLOAD_BYTES_MAX)).toBe(true);
    expect(lengths.at(-1)).toBeLessThanOrEqual(PAYLOAD_BYTES_MAX);
    expect(reassemble(rig)).toEqual([nal]);
  });

  test("however a NAL unit is cut, what comes out is the same unit", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 2, maxLength: 12 });
    fc.assert(
      fc.property(cuts, (sizes) => {
        const rig = fresh();
        const nal = body([0x65, 0x80], 1 + sizes.reduce((sum, size) => sum + size, 0));
        let at = 1;
        for (const [i, size] of sizes.entries()) {
          const last = i === sizes.length - 1;
          const head = 5 | (i === 0 ? 0x80 : 0) | (last ? 0x40 : 0);
          const bytes = [0x7c, head, ...nal.slice(at, at + size)];
          expect(rig.send({ bytes, sequence: i, marker: last })).toBe(Verdict.Taken);
          at += size;
        }
        expect(reassemble(rig)).toEqual([nal]);
        expect(rig.ring.flags(rig.ring.head - 1) & FLAG_MARKER).toBe(FLAG_MARKER);
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
        const rig = fresh();
        let sequence = 65_530;
        let timestamp = 0;
        for (const { bytes, step, marker, tick } of packets) {
          sequence = (sequence + step) & 0xffff;
          timestamp += tick ? 3000 : 0;
          rig.send({ bytes: [...bytes], sequence, marker, timestamp });
        }
        for (const { bytes } of rig.stored()) {
          expect(bytes.length).toBeLessThanOrEqual(PAYLOAD_BYTES_MAX);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** The NAL units in the ring, fragments joined. */
function reassemble(rig: Rig): number[][] {
  const nals: number[][] = [];
  for (const { bytes } of rig.stored()) {
    const [indicator = 0, head = 0, ...rest] = bytes;
    if ((indicator & 0x1f) !== 28) nals.push(bytes);
    else if ((head & 0x80) !== 0) nals.push([(indicator & 0xe0) | (head & 0x1f), ...rest]);
    else nals.at(-1)?.push(...rest);
  }
  return nals;
}

/** A picture of 640 by 360 and one of 1920 by 1080, both number 0 of their kind; their PPS 0 and 1. */
const SPS_360 = [...Uint8Array.fromHex("6764001eacd940a02ff961000003000100000300320f162d96")];
const SPS_1080 = [...Uint8Array.fromHex("67640028acd940780227e584000003000400000300c83c60c658")];
const PPS_0 = [0x68, 0xeb, 0xe3, 0xcb];
/** pic_parameter_set_id 1, seq_parameter_set_id 0: 010 1 */
const PPS_1 = [0x68, 0x5b, 0xe3, 0xcb];
/** first_mb 0, slice_type 7 (I), PPS 0 and 1; then something that is no zeros. */
const IDR_0 = [0x65, 0x88, 0x84, 0x21];
const IDR_1 = [0x65, 0x88, 0x41, 0x21];
const I_SLICE = [0x41, 0x88, 0x84, 0x21];
const P_SLICE = [0x41, 0x9a, 0x21, 0x6c];
/** recovery_frame_cnt 0; the same with 5; and one that comes behind another message. */
const RECOVERY_0 = [0x06, 0x06, 0x01, 0xc4, 0x80];
const RECOVERY_5 = [0x06, 0x06, 0x01, 0x34, 0x80];
const TIMING_AND_RECOVERY = [0x06, 0x01, 0x02, 9, 9, 0x06, 0x01, 0xc4, 0x80];
const DELIMITER = [0x09, 0xf0];
const code = (...nals: number[][]): number[] => [
  ...annexB(nals.map((nal) => Uint8Array.from(nal))),
];

/** Units that come in single packets; what the first bytes of the packets in the ring are. */
const starts: { name: string; units: number[][][]; want: string[] }[] = [
  {
    name: "a delimiter in front",
    units: [[DELIMITER, SPS_360, PPS_0, IDR_0]],
    want: ["09 start key", "67", "68", "65 marker"],
  },
  {
    name: "quirk: open groups of pictures, where a recovery point announces an I-picture",
    units: [[SPS_360, PPS_0, IDR_0], [RECOVERY_0, I_SLICE], [P_SLICE]],
    want: [
      "67 start key",
      "68",
      "65 marker",
      "06 start key",
      "67",
      "68",
      "41 marker",
      "41 start marker",
    ],
  },
  {
    name: "a recovery point behind another message",
    units: [[SPS_360, PPS_0, TIMING_AND_RECOVERY, I_SLICE]],
    want: ["67 start key", "68", "06", "41 marker"],
  },
  {
    name: "quirk: gradual refresh, whose recovery points are no pictures to start at",
    units: [[RECOVERY_5, I_SLICE], [RECOVERY_0, P_SLICE], [I_SLICE]],
    want: ["06 start", "41 marker", "06 start", "41 marker", "41 start marker"],
  },
  {
    name: "several slices: sets come in front of the first only",
    units: [
      [SPS_360, PPS_0, IDR_0, [0x65, 0x40, 1]],
      [IDR_0, [0x65, 0x40, 1]],
    ],
    want: ["67 start key", "68", "65", "65 marker", "67 start key", "68", "65", "65 marker"],
  },
  {
    name: "quirk: more than one picture parameter set, not all of them with every keyframe",
    units: [
      [SPS_360, PPS_0, PPS_1, IDR_0],
      [SPS_360, PPS_0, IDR_0],
    ],
    want: [
      ...["67 start key", "68", "68", "65 marker"],
      ...["67 start key", "68", "68", "65 marker"],
    ],
  },
  {
    name: "half of the parameter sets help nobody",
    units: [[PPS_0, IDR_0], [IDR_0]],
    want: ["68 start key", "65 marker", "65 start key marker"],
  },
];

describe("where a decoder can start", () => {
  test.each(starts)("$name", ({ units, want }) => {
    const rig = fresh();
    let sequence = 0;
    for (const [i, unit] of units.entries()) {
      for (const [k, bytes] of unit.entries()) {
        const marker = k === unit.length - 1;
        rig.send({ bytes, sequence: sequence++, marker, timestamp: i * 3600 });
      }
    }
    const words = rig.stored().map(({ bytes, flags }) => {
      return `${(bytes[0] ?? 0).toString(16).padStart(2, "0")} ${flagWords(flags)}`.trim();
    });
    expect(words).toEqual(want);
  });
});

describe("parameter sets", () => {
  test("the picture follows the stream: another size in the middle of it", () => {
    const rig = fresh();
    rig.unit(code(SPS_360, PPS_0, IDR_0), 0);
    expect(rig.track.picture).toEqual({ width: 640, height: 360 });
    const { changes } = rig.track;
    rig.unit(code(SPS_360, PPS_0, IDR_0), 1);
    expect(rig.track.changes).toBe(changes);
    rig.unit(code(SPS_1080, PPS_0, IDR_0), 2);
    expect(rig.track.changes).toBeGreaterThan(changes);
    expect(rig.track.picture).toEqual({ width: 1920, height: 1080 });
    expect(rig.track.parameterSets).toEqual([SPS_1080, PPS_0].map((set) => Uint8Array.from(set)));
  });

  test("quirk: two sequence parameter sets announced, and the second is the one in use", () => {
    const rig = fresh();
    // The one of 1080 lines as number 1 (ue 010 in place of 1), and a PPS 1 that refers to it.
    const sps1 = withNumberOne(SPS_1080);
    const pps1 = [0x68, 0x4b, 0xe3, 0xcb];
    rig.track.offerParameterSets([SPS_360, PPS_0].map((set) => Uint8Array.from(set)));
    rig.track.offerParameterSets([sps1, pps1].map((set) => Uint8Array.from(set)));
    rig.send({ bytes: IDR_0, sequence: 1, marker: true, timestamp: 1 });
    expect(rig.track.picture).toEqual({ width: 640, height: 360 });
    rig.send({ bytes: IDR_1, sequence: 2, marker: true, timestamp: 2 });
    expect(rig.track.picture).toEqual({ width: 1920, height: 1080 });
    expect(rig.track.parameterSets.map((set) => [...set])).toEqual([sps1, SPS_360, pps1, PPS_0]);
  });

  test("however many a camera sends, few are kept", () => {
    const rig = fresh();
    rig.send({ bytes: SPS_360, sequence: 0 });
    for (let id = 0; id < 200; id++) {
      // ue(v) of the id, then seq_parameter_set_id 0 and a stop bit.
      const bits = `${(id + 1).toString(2).padStart(2 * (id + 1).toString(2).length - 1, "0")}11`;
      const bytes = bits
        .padEnd(24, "0")
        .match(/.{8}/g)
        ?.map((byte) => Number.parseInt(byte, 2));
      rig.send({ bytes: [0x68, ...(bytes ?? [])], sequence: id + 1 });
    }
    rig.send({ bytes: body([0x67, 0x64, 0, 0x28], 5000), sequence: 201 });
    expect(rig.track.parameterSets.length).toBe(17);
  });
});

/** seq_parameter_set_id 0 (one bit, 1) replaced by 1 (three bits, 010). No escapes within reach. */
function withNumberOne(sps: readonly number[]): number[] {
  const raw = sps
    .slice(4)
    .filter((byte, i, all) => !(byte === 3 && all[i - 1] === 0 && all[i - 2] === 0));
  const bits = raw.map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const moved = `010${bits.slice(1)}`;
  const whole = moved.padEnd(Math.ceil(moved.length / 8) * 8, "0").match(/.{8}/g) ?? [];
  const bytes = whole.map((byte) => Number.parseInt(byte, 2));
  const escaped: number[] = [];
  for (const byte of bytes) {
    if (byte <= 3 && escaped.at(-1) === 0 && escaped.at(-2) === 0) escaped.push(3);
    escaped.push(byte);
  }
  return [...sps.slice(0, 4), ...escaped];
}

describe("start codes inside payloads", () => {
  const whole = [SPS_360, PPS_0, IDR_0].map((nal) => [...nal]);
  const cut = (nal: number[], header: number): Sent[] => {
    const middle = nal.length >> 1;
    return [
      { bytes: [0x7c, 0x80 | header, ...nal.slice(1, middle)], sequence: 1 },
      { bytes: [0x7c, 0x40 | header, ...nal.slice(middle)], sequence: 2, marker: true },
    ];
  };
  const rows: { name: string; packets: Sent[] }[] = [
    {
      name: "quirk: a start code in front of the NAL unit",
      packets: whole.map((nal, i) => ({
        bytes: [0, 0, 0, 1, ...nal],
        sequence: i,
        marker: i === 2,
      })),
    },
    {
      name: "quirk: several NAL units with start codes in one payload",
      packets: [{ bytes: code(...whole), sequence: 1, marker: true }],
    },
    {
      name: "quirk: a start code between NAL units, none in front",
      packets: [{ bytes: code(...whole).slice(4), sequence: 1, marker: true }],
    },
    {
      name: "quirk: a byte stream in fragments, as if it were one NAL unit (FU-A of type 7)",
      packets: cut(code(...whole).slice(4), 7),
    },
    {
      name: "quirk: the same with a start code in front (FU-A of type 0)",
      packets: cut([0, ...code(...whole)], 0),
    },
  ];
  test.each(rows)("$name", ({ packets }) => {
    const rig = fresh();
    for (const packet of packets) expect(rig.send(packet)).toBe(Verdict.Taken);
    expect(rig.stored().map(({ bytes }) => bytes)).toEqual(whole);
    expect(rig.stored().map(({ flags }) => flagWords(flags))).toEqual(["start key", "", "marker"]);
    expect(rig.track.parameterSets.length).toBe(2);
  });

  test("quirk: information messages that hold what looks like a start code", () => {
    const rig = fresh();
    const message = [0x06, 0x05, 0x04, 0, 0, 1, 0x65, 0x80];
    rig.send({ bytes: message, sequence: 1 });
    rig.send({ bytes: P_SLICE, sequence: 2, marker: true });
    expect(rig.stored().map(({ bytes }) => bytes)).toEqual([message, P_SLICE]);
    expect(rig.units().map(({ keyframe, damaged }) => keyframe || damaged)).toEqual([false]);
  });

  test("a byte stream in fragments may be a keyframe long, and no longer", () => {
    const rig = fresh();
    const part = body([0x7c, 0x07], 60_000);
    rig.send({ bytes: [0x7c, 0x87, 1], sequence: 0 });
    const verdicts = Array.from({ length: 40 }, (_, i) =>
      rig.send({ bytes: part, sequence: i + 1 }),
    );
    expect(verdicts.indexOf(Verdict.Malformed)).toBe(34);
  });
});

describe("markers", () => {
  test("quirk: the marker on every slice: after the first picture, units end by timestamp", () => {
    const rig = fresh();
    const slices = [IDR_0, [0x65, 0x40, 1], [0x65, 0x30, 1]];
    for (let i = 0; i < 9; i++) {
      const bytes = slices[i % 3] ?? [];
      rig.send({ bytes, sequence: i, marker: true, timestamp: 3600 * Math.floor(i / 3) });
    }
    const units = rig.units();
    expect(units.map(({ damaged }) => damaged)).toEqual([false, true, false]);
    expect(units.at(-1)?.bytes).toEqual(annexB(slices.map((nal) => Uint8Array.from(nal))));
  });

  test("quirk: the marker on every packet, within NAL units too", () => {
    const rig = fresh();
    for (let i = 0; i < 9; i++) {
      const head = [0x85, 0x05, 0x45][i % 3] ?? 0;
      const bytes = [0x7c, head, 0x88, 0x84];
      rig.send({ bytes, sequence: i, marker: true, timestamp: 3600 * Math.floor(i / 3) });
    }
    const [first, second] = rig.units();
    expect([first?.damaged, second?.damaged]).toEqual([false, false]);
    expect(second?.bytes.toHex()).toBe("0000000165888488848884");
  });

  test("quirk: the marker on parameter sets: the picture that follows has them too", () => {
    const rig = fresh();
    for (const [i, bytes] of [SPS_360, PPS_0, IDR_0].entries()) {
      rig.send({ bytes, sequence: i, marker: true });
    }
    const units = rig.units();
    expect(units.map(({ keyframe }) => keyframe)).toEqual([false, false, true]);
    expect(units[2]?.bytes.toHex()).toBe(Uint8Array.from(code(SPS_360, PPS_0, IDR_0)).toHex());
  });
});

test("whole units: nothing but junk is malformed, and the next one says that it is missing", () => {
  const rig = fresh();
  rig.unit(code(P_SLICE), 1);
  expect(rig.unit([1, 2, 3, 4, 5, 6])).toBe(Verdict.Malformed);
  expect(rig.unit(code(P_SLICE), 9, true)).toBe(Verdict.Taken);
  expect(rig.stored().map(({ flags }) => flagWords(flags))).toEqual([
    "start marker",
    "start damaged hole",
    "hole",
    "start marker",
  ]);
});
