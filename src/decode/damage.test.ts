/** The taint rule on a real decoder: what is lost or broken on the way, and what is shown of it. */
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Unit } from "../stream/sinks.ts";
import {
  type Album,
  changed,
  closeAll,
  encodeTruth,
  openCameraDecoder,
  without,
} from "./fixtures/album.ts";
import { seeded } from "./fixtures/clip.ts";

/** `alone`: a picture stands for itself. `header`: how a keyframe and another unit begin. */
const CODECS = [
  {
    codec: "h264",
    alone: false,
    header: [
      [0, 0, 0, 1, 0x65],
      [0, 0, 0, 1, 0x41],
    ],
  },
  {
    codec: "h265",
    alone: false,
    header: [
      [0, 0, 0, 1, 0x26, 1],
      [0, 0, 0, 1, 2, 1],
    ],
  },
  {
    codec: "mjpeg",
    alone: true,
    header: [
      [0xff, 0xd8],
      [0xff, 0xd8],
    ],
  },
] as const;

describe.each(CODECS)("$codec", ({ codec, alone, header }) => {
  let clip: Unit[] = [];
  let wrong: (album: Album) => number[];
  beforeAll(async () => {
    ({ clip, wrong } = await encodeTruth(codec));
  });
  afterEach(closeAll);
  const open = () => openCameraDecoder({ codec });

  const seeds = Array.from({ length: 10 }, (_, i) => i);

  describe("what is known to be missing or broken: nothing wrong is shown", () => {
    const cases: { name: string; units: () => Unit[]; least: number }[] = [
      { name: "a unit lost, and said so", units: () => without(clip, 23), least: 43 },
      {
        name: "a unit lost, seen by its number only",
        units: () => clip.filter((unit) => unit.sequence !== 23),
        least: 43,
      },
      { name: "a keyframe lost", units: () => without(clip, 20), least: 40 },
      { name: "starts in the middle of a group", units: () => clip.slice(13), least: 30 },
      {
        name: "starts there with parameter sets in front",
        units: () => [withParameterSets(clip[0], clip[13]), ...clip.slice(14)],
        least: 30,
      },
      {
        name: "empty units and single bytes among the others",
        units: () =>
          clip.map((unit) =>
            unit.sequence % 7 === 3 ? changed(unit, new Uint8Array(unit.sequence % 2)) : unit,
          ),
        least: 13,
      },
    ];
    test.each(cases)("$name", ({ units, least }) => {
      const { album, play } = open();
      play(units());
      expect(wrong(album)).toEqual([]);
      expect(album.shown.length).toBeGreaterThanOrEqual(least);
    });

    test("units lost at random", () => {
      for (const seed of seeds) {
        const random = seeded(seed);
        const lost = clip.map((unit) => unit.sequence).filter(() => random() < 0.1);
        const { album, play } = open();
        play(without(clip, ...lost));
        expect({ seed, wrong: wrong(album) }).toEqual({ seed, wrong: [] });
      }
    });
  });

  /** Ways in which bytes change; every unit that changes is a new object. */
  const breakages: { name: string; units: (random: () => number) => Unit[] }[] = [
    {
      name: "one unit in twenty cut in half",
      units: (random) =>
        clip.map((unit) =>
          random() < 0.05 ? changed(unit, unit.bytes.subarray(0, unit.length >> 1)) : unit,
        ),
    },
    {
      name: "a burst of bad bytes in one unit of ten",
      units: (random) => clip.map((unit) => (random() < 0.1 ? burst(unit, random) : unit)),
    },
    {
      name: "one bit in ten thousand flipped",
      units: (random) => clip.map((unit) => flipped(unit, 0.0008, random)),
    },
    {
      name: "one bit in eight hundred flipped",
      units: (random) => clip.map((unit) => flipped(unit, 0.01, random)),
    },
    {
      name: "garbage",
      units: (random) => clip.map((unit) => changed(unit, garbage(unit, header, random))),
    },
  ];

  describe("bytes that change on the way", () => {
    test.each(breakages)("$name, and ingest says so: nothing wrong is shown", ({ units }) => {
      for (const seed of seeds) {
        const { album, play } = open();
        play(
          units(seeded(seed)).map((unit, i) =>
            unit.bytes === clip[i]?.bytes ? unit : { ...unit, damaged: true },
          ),
        );
        expect({ seed, wrong: wrong(album) }).toEqual({ seed, wrong: [] });
      }
    });

    // There are no checksums, and CABAC reads any bits as something: bits that change unnoticed are
    // the transport's to notice. What the decoder notices counts: with H.264 that is nearly all.
    if (codec === "h264") {
      test.each(breakages)("$name, and nobody says so: seldom anything wrong", ({ units }) => {
        let bad = 0;
        for (const seed of seeds) {
          const { album, play } = open();
          play(units(seeded(seed)));
          bad += wrong(album).length;
        }
        expect(bad).toBeLessThan((seeds.length * clip.length) / 20);
      });
    }

    test.each(breakages)("$name, and nobody says so: over with the next keyframe", ({ units }) => {
      for (const seed of seeds) {
        const { album, play } = open();
        play([...units(seeded(seed)).slice(0, 40), ...clip.slice(40)]);
        expect(wrong(album).filter((sequence) => sequence >= 40)).toEqual([]);
        expect(album.sequences.slice(-10)).toEqual(clip.slice(40).map((unit) => unit.sequence));
      }
    });
  });

  describe("afterwards", () => {
    test("pictures come again with the next keyframe, and say what is missing", () => {
      const { decoder, album, play } = open();
      play(without(clip, 23));
      const next = alone ? 24 : 30;
      expect(album.sequences.slice(22, 25)).toEqual([22, next, next + 1]);
      expect(album.shown[23]?.facts.droppedBefore).toBe(next - 23);
      expect(album.shown[24]?.facts.droppedBefore).toBe(0);
      const dropped = alone ? { not_received: 1 } : { not_received: 1, gap: 6 };
      expect(decoder.takeStats().dropped).toEqual(dropped);
    });
  });
});

function withParameterSets(key: Unit | undefined, unit: Unit | undefined): Unit {
  if (!unit || !key) throw new Error("no clip");
  return changed(unit, Buffer.concat([key.bytes.subarray(0, 60), unit.bytes]));
}

function burst(unit: Unit, random: () => number): Unit {
  const bytes = Uint8Array.from(unit.bytes);
  const start = Math.min(bytes.length, 40) + Math.floor(random() * bytes.length);
  for (let i = start; i < Math.min(bytes.length, start + 20); i++) bytes[i] = random() * 256;
  return changed(unit, bytes);
}

function flipped(unit: Unit, rate: number, random: () => number): Unit {
  let flips = 0;
  const bytes = Uint8Array.from(unit.bytes, (byte) => {
    if (random() >= rate) return byte;
    flips++;
    return byte ^ (1 << Math.floor(random() * 8));
  });
  return flips === 0 ? unit : changed(unit, bytes);
}

function garbage(
  unit: Unit,
  [key, other]: readonly (readonly number[])[],
  random: () => number,
): Uint8Array {
  const bytes = Uint8Array.from(unit.bytes, () => random() * 256);
  bytes.set((unit.sequence % 2 === 0 ? key : other) ?? []);
  return bytes;
}
