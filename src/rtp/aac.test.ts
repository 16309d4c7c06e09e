import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readAudioConfig, writeAudioConfig } from "./aac-config.ts";
import { body, flagWords, Rig, type Sent } from "./fixtures/ring.ts";
import { PAYLOAD_BYTES_MAX } from "./header.ts";
import { Verdict } from "./repacketizer.ts";
import type { AuHeaderFormat } from "./track-format.ts";

const HBR: AuHeaderFormat = { sizeBits: 13, indexBits: 3, indexDeltaBits: 3 };
const LBR: AuHeaderFormat = { sizeBits: 6, indexBits: 2, indexDeltaBits: 2 };

function fresh(auHeader = HBR, clockHz = 48_000, config = "1190"): Rig {
  const parameterSets = [Uint8Array.fromHex(config)];
  return new Rig({ kind: "audio", codec: "aac", clockHz, channels: 2, parameterSets, auHeader });
}

/** The header of one frame of `size` bytes, as the ring has it and cameras do. */
const head = (size: number): number[] => [0, 16, (size << 3) >> 8, (size << 3) & 0xff];
const adts = (frame: readonly number[]): number[] => {
  const size = frame.length + 7;
  return [
    0xff,
    0xf1,
    0x4c,
    0x80 | (size >> 11),
    (size >> 3) & 0xff,
    ((size & 7) << 5) | 0x1f,
    0xfc,
    ...frame,
  ];
};

const T = Verdict.Taken;
const cases: {
  name: string;
  auHeader?: AuHeaderFormat;
  clockHz?: number;
  config?: string;
  packets: Sent[];
  verdicts: Verdict[];
  /** What is stored: bytes, flags, timestamp. */
  want: [number[], string, number][];
}[] = [
  {
    name: "one frame",
    packets: [{ bytes: [...head(3), 1, 2, 3], sequence: 1, marker: true }],
    verdicts: [T],
    want: [[[...head(3), 1, 2, 3], "start key marker", 3000]],
  },
  {
    name: "several frames: each has its own time",
    packets: [{ bytes: [0, 48, 0, 8, 0, 16, 0, 8, 1, 2, 3, 4], sequence: 1, marker: true }],
    verdicts: [T],
    want: [
      [[...head(1), 1], "start key marker", 3000],
      [[...head(2), 2, 3], "start key marker", 4024],
      [[...head(1), 4], "start key marker", 5048],
    ],
  },
  {
    name: "frames of 960 samples, and a clock twice that of the core",
    clockHz: 48_000,
    config: "1314",
    packets: [{ bytes: [0, 32, 0, 8, 0, 8, 1, 2], sequence: 1, marker: true }],
    verdicts: [T],
    want: [
      [[...head(1), 1], "start key marker", 3000],
      [[...head(1), 2], "start key marker", 3000 + 1920],
    ],
  },
  {
    name: "low bit rate: headers of a byte each",
    auHeader: LBR,
    packets: [{ bytes: [0, 16, 1 << 2, 2 << 2, 1, 2, 3], sequence: 1, marker: true }],
    verdicts: [T],
    want: [
      [[...head(1), 1], "start key marker", 3000],
      [[...head(2), 2, 3], "start key marker", 4024],
    ],
  },
  {
    name: "a frame in three packets",
    packets: [
      { bytes: [...head(5), 1, 2], sequence: 1 },
      { bytes: [...head(5), 3, 4], sequence: 2 },
      { bytes: [...head(5), 5], sequence: 3, marker: true },
    ],
    verdicts: [T, T, T],
    want: [
      [[...head(5), 1, 2], "start key", 3000],
      [[...head(5), 3, 4], "", 3000],
      [[...head(5), 5], "marker", 3000],
    ],
  },
  {
    name: "a frame in three packets, the second lost",
    packets: [
      { bytes: [...head(5), 1, 2], sequence: 1 },
      { bytes: [...head(5), 5], sequence: 3, marker: true },
      { bytes: [...head(1), 9], sequence: 4, marker: true, timestamp: 4024 },
    ],
    verdicts: [T, Verdict.Lost, T],
    want: [
      [[...head(5), 1, 2], "start key damaged", 3000],
      [[], "hole", 3000],
      [[...head(1), 9], "start key marker", 4024],
    ],
  },
  {
    name: "a frame that never ends",
    packets: [
      { bytes: [...head(5), 1, 2], sequence: 1 },
      { bytes: [...head(1), 9], sequence: 2, marker: true, timestamp: 4024 },
    ],
    verdicts: [T, T],
    want: [
      [[...head(5), 1, 2], "start key damaged", 3000],
      [[], "hole", 3000],
      [[...head(1), 9], "start key marker", 4024],
    ],
  },
  {
    name: "parts of a frame that do not agree on its size are malformed",
    packets: [
      { bytes: [...head(5), 1, 2], sequence: 1 },
      { bytes: [...head(6), 3, 4], sequence: 2 },
    ],
    verdicts: [T, Verdict.Malformed],
    want: [
      [[...head(5), 1, 2], "start key damaged", 3000],
      [[], "hole", 3000],
    ],
  },
  {
    name: "quirk: ADTS headers in front of frames",
    packets: [{ bytes: [...head(10), ...adts([1, 2, 3])], sequence: 1, marker: true }],
    verdicts: [T],
    want: [[[...head(3), 1, 2, 3], "start key marker", 3000]],
  },
  {
    name: "quirk: no marker",
    packets: [{ bytes: [...head(1), 1], sequence: 1 }],
    verdicts: [T],
    want: [[[...head(1), 1], "start key marker", 3000]],
  },
  {
    name: "interleaved frames are malformed",
    packets: [{ bytes: [0, 16, 0, 8 | 1, 1], sequence: 1 }],
    verdicts: [Verdict.Malformed],
    want: [[[], "start damaged hole", 3000]],
  },
  {
    name: "a second frame that is cut off is malformed",
    packets: [{ bytes: [0, 32, 0, 8, 0, 16, 1, 2], sequence: 1 }],
    verdicts: [Verdict.Malformed],
    want: [
      [[...head(1), 1], "start key marker damaged", 3000],
      [[], "hole", 3000],
    ],
  },
  {
    name: "headers without a frame are malformed",
    packets: [{ bytes: [0, 16, 0, 8], sequence: 1 }],
    verdicts: [Verdict.Malformed],
    want: [[[], "start damaged hole", 3000]],
  },
];

describe("aac repacketizer", () => {
  test.each(cases)("$name", ({ auHeader, clockHz, config, packets, verdicts, want }) => {
    const rig = fresh(auHeader, clockHz, config);
    expect(packets.map((packet) => rig.send(packet))).toEqual(verdicts);
    const times = rig.stored().map((_, i) => rig.ring.timestamp(rig.ring.tail + i));
    const stored = rig.stored().map(({ bytes, flags }, i) => [bytes, flagWords(flags), times[i]]);
    expect(stored).toEqual(want);
  });

  test("however a frame is cut, what comes out is the same frame", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(cuts, (sizes) => {
        const rig = fresh();
        const frame = body(
          [],
          sizes.reduce((sum, size) => sum + size, 0),
        );
        let at = 0;
        for (const [i, size] of sizes.entries()) {
          const bytes = [...head(frame.length), ...frame.slice(at, at + size)];
          expect(rig.send({ bytes, sequence: i, marker: i === sizes.length - 1 })).toBe(T);
          at += size;
        }
        expect([...(rig.units()[0]?.bytes ?? [])]).toEqual(frame);
        for (const { bytes } of rig.stored())
          expect(bytes.length).toBeLessThanOrEqual(PAYLOAD_BYTES_MAX);
      }),
      { numRuns: 50 },
    );
  });

  test("whole frames, with ADTS or without; none that 13 bits cannot count", () => {
    const rig = fresh();
    expect(rig.unit([1, 2, 3], 0)).toBe(T);
    expect(rig.unit(adts([4, 5]), 1024)).toBe(T);
    expect(rig.unit(body([], 8_192), 2048)).toBe(Verdict.Malformed);
    expect(rig.unit([], 2048)).toBe(Verdict.Malformed);
    const whole = rig.units().filter(({ damaged }) => !damaged);
    expect(whole.map(({ bytes }) => [...bytes])).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
  });

  test("a configuration that is none is not taken", () => {
    const rig = fresh();
    const { changes } = rig.track;
    rig.track.offerParameterSets([Uint8Array.of(0xff)]);
    expect(rig.track.changes).toBe(changes);
    expect(rig.track.parameterSets).toEqual([Uint8Array.fromHex("1190")]);
  });
});

describe("AudioSpecificConfig", () => {
  test.each([
    [
      "LC, 48 kHz, stereo",
      "1190",
      { objectType: 2, sampleRate: 48_000, channels: 2, frameSamples: 1024 },
    ],
    [
      "LC, 16 kHz, mono",
      "1408",
      { objectType: 2, sampleRate: 16_000, channels: 1, frameSamples: 1024 },
    ],
    ["960 samples", "1194", { objectType: 2, sampleRate: 48_000, channels: 2, frameSamples: 960 }],
    [
      "a rate in full",
      "1780181910",
      { objectType: 2, sampleRate: 12_338, channels: 2, frameSamples: 1024 },
    ],
    [
      "SBR: 24 to 48 kHz",
      "2b118800",
      { objectType: 2, sampleRate: 48_000, channels: 2, frameSamples: 2048 },
    ],
    [
      "parametric stereo: one channel becomes two",
      "eb098800",
      { objectType: 2, sampleRate: 48_000, channels: 2, frameSamples: 2048 },
    ],
  ])("%s", (_name, hex, want) => {
    expect(readAudioConfig(Uint8Array.fromHex(hex))).toEqual(want);
  });

  test.each(["", "11", "ff", "1790", "08"])("%p is none", (hex) => {
    expect(readAudioConfig(Uint8Array.fromHex(hex))).toBeNull();
  });

  test("what is written reads the same", () => {
    for (const rate of [8_000, 16_000, 44_100, 48_000]) {
      for (const channels of [1, 2, 6, 8]) {
        const config = writeAudioConfig(rate, channels);
        expect(config && readAudioConfig(config)).toMatchObject({ sampleRate: rate, channels });
      }
    }
    expect(writeAudioConfig(12_345, 2)).toBeNull();
    expect(writeAudioConfig(48_000, 7)).toBeNull();
  });

  test("any bytes: an answer or null", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 20 }), (b) => void readAudioConfig(b)));
  });
});
