import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Fault } from "../core/fault.ts";
import {
  type HardwareDevice,
  type Picture,
  type PictureDecoder,
  VideoDecoder,
} from "../native/av-decode.ts";
import type { FrameFacts, FrameFormat, FrameSink, Unit } from "../stream/sinks.ts";
import { CameraDecoder, type CameraDecoderOptions } from "./camera-decoder.ts";
import { encodeClip, seeded } from "./fixtures/clip.ts";

const WIDTH = 160;
const HEIGHT = 90;
const SHM: FrameFormat = { kind: "shm", width: WIDTH };

interface Shown {
  readonly facts: FrameFacts;
  readonly pixels: Uint8Array;
}

/** Keeps what is published. */
class Album implements FrameSink {
  readonly shown: Shown[] = [];
  claims = 0;
  closed = false;
  #target = new Uint8Array(0);
  claim(width: number, height: number): Uint8Array {
    this.claims++;
    this.#target = new Uint8Array(width * height * 3 + 64);
    return this.#target;
  }
  publish(facts: FrameFacts): void {
    const pixels = this.#target.slice(0, facts.width * facts.height * 3);
    this.shown.push({ facts, pixels });
  }
  close(): void {
    this.closed = true;
  }
}

let opened: CameraDecoder[] = [];
afterEach(() => {
  for (const decoder of opened) decoder.close();
  opened = [];
});

function open(over: Partial<CameraDecoderOptions> = {}) {
  const album = new Album();
  const faults: Fault[] = [];
  const clock = { now: 0 };
  const decoder = new CameraDecoder({
    camera: "lobby",
    device: null,
    openDecoder: (device) => new VideoDecoder(device),
    openSink: () => album,
    fault: (fault) => faults.push(fault),
    now: () => clock.now,
    unixNow: () => 1_788_000_000_000 + clock.now,
    ...over,
  });
  decoder.setFormats([SHM]);
  const play = (units: Iterable<Unit>) => {
    for (const unit of units) {
      clock.now = Math.max(clock.now, unit.arrived);
      decoder.unit(unit);
    }
  };
  opened.push(decoder);
  return { decoder, album, faults, clock, play };
}

let clip: Unit[] = [];
/** What each unit's picture truly looks like. */
let truth: Map<number, Uint8Array>;
beforeAll(async () => {
  clip = await encodeClip({ width: 320, height: 180, frames: 50, gopFrames: 10 });
  const { album, play } = open();
  play(clip);
  truth = new Map(album.shown.map(({ facts, pixels }) => [facts.sequence, pixels]));
});

/** Sequence numbers of the pictures that were shown and are not what they should be. */
function wrong(album: Album): number[] {
  const bad = album.shown.filter(({ facts, pixels }) => {
    const right = truth.get(facts.sequence);
    return !right || Buffer.compare(right, pixels) !== 0;
  });
  return bad.map(({ facts }) => facts.sequence);
}

const sequences = (album: Album) => album.shown.map(({ facts }) => facts.sequence);
const without = (...lost: number[]) =>
  clip
    .filter((unit) => !lost.includes(unit.sequence))
    .map((unit) => (lost.includes(unit.sequence - 1) ? { ...unit, gapBefore: true } : unit));
const changed = (unit: Unit, bytes: Uint8Array): Unit => ({ ...unit, bytes, length: bytes.length });

describe("clean input", () => {
  test("every picture, with its own facts", () => {
    const { decoder, album, play } = open();
    play(clip);
    expect(sequences(album)).toEqual(clip.map((unit) => unit.sequence));
    expect(album.shown[31]?.facts).toEqual({
      sequence: 31,
      width: WIDTH,
      height: HEIGHT,
      stride: WIDTH * 3,
      timestamp: 31 * 3600,
      mediaTicks: 31 * 3600,
      captured: 1_788_000_000_000 + 31 * 40,
      capturedClock: "arrival",
      decoded: 1_788_000_000_000 + 31 * 40,
      keyframe: false,
      damaged: false,
      droppedBefore: 0,
    });
    expect(decoder.takeStats()).toMatchObject({
      camera: "lobby",
      device: "software",
      degraded: false,
      decoded: 50,
      delivered: 50,
      dropped: {},
    });
  });

  test("media time goes on where the timestamp wraps", () => {
    const { album, play } = open();
    const start = 2 ** 32 - 5 * 3600;
    play(clip.map((unit) => ({ ...unit, timestamp: (start + unit.timestamp) % 2 ** 32 })));
    const ticks = album.shown.map(({ facts }) => facts.mediaTicks);
    expect(ticks).toEqual(clip.map((unit) => start + unit.timestamp));
    expect(album.shown[7]?.facts.timestamp).toBe(2 * 3600);
  });

  test("a unit without a picture is no damage", () => {
    const { album, play } = open();
    const delimiter = new Uint8Array([0, 0, 0, 1, 9, 0xf0]);
    play(
      clip.flatMap((unit) => [
        { ...unit, sequence: unit.sequence * 2 },
        { ...changed(unit, delimiter), sequence: unit.sequence * 2 + 1, keyframe: false },
      ]),
    );
    expect(album.shown.length).toBe(50);
  });
});

describe("nothing wrong is shown", () => {
  const cases: { name: string; units: (random: () => number) => Unit[]; least: number }[] = [
    { name: "a unit lost, and said so", units: () => without(23), least: 43 },
    {
      name: "a unit lost, seen by its number only",
      units: () => clip.filter((unit) => unit.sequence !== 23),
      least: 43,
    },
    { name: "a keyframe lost", units: () => without(20), least: 40 },
    { name: "starts in the middle of a group", units: () => clip.slice(13), least: 30 },
    {
      name: "starts there with parameter sets in front",
      units: () => [withParameterSets(clip[13]), ...clip.slice(14)],
      least: 30,
    },
    {
      name: "units that ingest calls damaged",
      units: () => clip.map((unit) => ({ ...unit, damaged: unit.sequence % 17 === 5 })),
      least: 20,
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
  const seeds = Array.from({ length: 10 }, (_, i) => i);
  test.each(cases)("$name", ({ units, least }) => {
    for (const seed of seeds) {
      const { album, play } = open();
      play(units(seeded(seed)));
      expect({ seed, wrong: wrong(album) }).toEqual({ seed, wrong: [] });
      expect(album.shown.length).toBeGreaterThanOrEqual(least);
    }
  });

  // Bits that change on the way are the transport's to notice: H.264 has no checksum, and CABAC
  // reads any bits as something. What the decoder notices counts, and that is nearly all.
  const unannounced: { name: string; units: (random: () => number) => Unit[] }[] = [
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
      units: (random) => clip.map((unit) => changed(unit, garbage(unit, random))),
    },
  ];
  test.each(unannounced)("$name, unannounced: seldom anything wrong", ({ units }) => {
    let bad = 0;
    let damaged = 0;
    for (const seed of seeds) {
      const { album, play } = open();
      const played = units(seeded(seed));
      play(played);
      bad += wrong(album).length;
      damaged += played.filter((unit, i) => unit.bytes !== clip[i]?.bytes).length;
    }
    expect(damaged).toBeGreaterThan(20);
    expect(bad).toBeLessThan((seeds.length * clip.length) / 20);
  });

  test("after a loss pictures come again with the next keyframe, and say what is missing", () => {
    const { decoder, album, play } = open();
    play(without(23));
    expect(sequences(album).slice(22, 25)).toEqual([22, 30, 31]);
    expect(album.shown[23]?.facts.droppedBefore).toBe(7);
    expect(album.shown[24]?.facts.droppedBefore).toBe(0);
    expect(decoder.takeStats().dropped).toEqual({ not_received: 1, gap: 6 });
  });
});

function withParameterSets(unit: Unit | undefined): Unit {
  const key = clip[0];
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
  const bytes = Uint8Array.from(unit.bytes, (byte) =>
    random() < rate ? byte ^ (1 << Math.floor(random() * 8)) : byte,
  );
  return changed(unit, bytes);
}

function garbage(unit: Unit, random: () => number): Uint8Array {
  const bytes = Uint8Array.from(unit.bytes, () => random() * 256);
  bytes.set([0, 0, 0, 1, unit.sequence % 2 === 0 ? 0x65 : 0x41]);
  return bytes;
}

describe("lag", () => {
  test("0.6 s late: decoded but not converted until caught up", () => {
    const { decoder, album, clock, play } = open();
    play(clip.slice(0, 20));
    clock.now += 600;
    const claims = album.claims;
    play(clip.slice(20, 24));
    expect(album.claims).toBe(claims);
    expect(decoder.takeStats()).toMatchObject({ degraded: true, dropped: { late: 4 } });
    clock.now = clip[24]?.arrived ?? 0;
    play(clip.slice(24));
    expect(sequences(album).slice(18, 22)).toEqual([18, 19, 24, 25]);
    expect(wrong(album)).toEqual([]);
    expect(album.shown[20]?.facts.droppedBefore).toBe(4);
    decoder.takeStats();
    expect(decoder.takeStats().degraded).toBe(false);
  });

  test("1.5 s late: left out up to the next fresh keyframe", () => {
    const { decoder, album, clock, play } = open();
    play(clip.slice(0, 3));
    clock.now += 1_500;
    for (const unit of clip.slice(3)) {
      clock.now = Math.max(clock.now, unit.arrived);
      decoder.unit(unit);
    }
    expect(sequences(album)).toEqual([0, 1, 2, ...clip.slice(35).map((unit) => unit.sequence)]);
    expect(wrong(album)).toEqual([]);
    expect(decoder.takeStats().dropped["behind"]).toBeGreaterThan(10);
  });
});

describe("replay", () => {
  const replayed = (units: readonly Unit[], now: number) =>
    units.map((unit) => ({ ...unit, replayed: true, arrived: now }));

  test("only the newest picture of a replay is converted, and live ones follow", () => {
    const { decoder, album, play } = open();
    play(replayed(clip.slice(0, 8), 0));
    expect(album.claims).toBe(0);
    decoder.replayEnded();
    decoder.replayEnded();
    expect(sequences(album)).toEqual([7]);
    play(clip.slice(8, 12).map((unit) => ({ ...unit, arrived: unit.arrived - 320 })));
    expect(sequences(album)).toEqual([7, 8, 9, 10, 11]);
    expect(wrong(album)).toEqual([]);
    expect(album.shown[0]?.facts.droppedBefore).toBe(0);
    expect(decoder.takeStats().dropped).toEqual({});
  });

  test("a damaged replay shows nothing", () => {
    const { decoder, album, play } = open();
    play(replayed(without(3).slice(0, 7), 0));
    decoder.replayEnded();
    expect(sequences(album)).toEqual([]);
  });

  test("an older replay after a break starts over", () => {
    const { decoder, album, play } = open();
    play(clip.slice(0, 25));
    play(replayed(clip.slice(20, 28), 1_100));
    decoder.replayEnded();
    expect(sequences(album).slice(-2)).toEqual([24, 27]);
    expect(wrong(album)).toEqual([]);
  });
});

describe("formats", () => {
  test("each size goes to its own sink; a size that is no longer wanted is closed", () => {
    const albums = new Map<number, Album>();
    const openSink = ({ width }: FrameFormat) => {
      const album = new Album();
      albums.set(width, album);
      return album;
    };
    const { decoder, play } = open({ openSink });
    decoder.setFormats([SHM, { kind: "shm", width: 100 }, { kind: "shm", width: 4000 }]);
    play(clip.slice(0, 5));
    const size = (width: number) => {
      const facts = albums.get(width)?.shown[4]?.facts;
      return [facts?.width, facts?.height];
    };
    expect([size(160), size(100), size(4000)]).toEqual([
      [160, 90],
      [100, 56],
      [320, 180],
    ]);
    decoder.setFormats([SHM]);
    expect([...albums.values()].map((album) => album.closed)).toEqual([false, true, true]);
    play(clip.slice(5, 10));
    expect(albums.get(160)?.shown.length).toBe(10);
    expect(albums.get(100)?.shown.length).toBe(5);
    decoder.close();
    expect(albums.get(160)?.closed).toBe(true);
  });

  test("without room the others go on, a person hears of it once, and it is tried again", () => {
    const narrow = new Album();
    let full = true;
    const wide = new Album();
    const claim = wide.claim.bind(wide);
    wide.claim = (width, height) => {
      if (full) throw new Fault("shared_memory", "full");
      return claim(width, height);
    };
    const openSink = ({ width }: FrameFormat) => (width === WIDTH ? narrow : wide);
    const { decoder, faults, clock, play } = open({ openSink });
    decoder.setFormats([SHM, { kind: "shm", width: 320 }]);
    play(clip.slice(0, 20));
    expect(narrow.shown.length).toBe(20);
    expect(wide.shown.length).toBe(0);
    expect(faults.map((fault) => fault.code)).toEqual(["shared_memory"]);
    full = false;
    clock.now = 6_000;
    play(clip.slice(20).map((unit) => ({ ...unit, arrived: unit.arrived + 6_000 })));
    expect(wide.shown.length).toBe(30);
  });
});

describe("hardware", () => {
  /** Fails as a device does that cannot do a stream: takes units, and gives nothing. */
  class Mute implements PictureDecoder {
    device = "cuda";
    reorderPictures = 0;
    closed = false;
    send(): boolean {
      return true;
    }
    receive(): Picture | null {
      return null;
    }
    scale(): boolean {
      return false;
    }
    flush(): void {}
    close(): void {
      this.closed = true;
    }
  }
  // Decoders stand in for it here: only its name is looked at.
  const device = { name: "cuda" } as HardwareDevice;

  test("two keyframes in a row that a device cannot do, and the processor takes over", () => {
    const mute = new Mute();
    const openDecoder = (on: HardwareDevice | null) => (on ? mute : new VideoDecoder(null));
    const { decoder, album, faults, play } = open({ device, openDecoder });
    play(clip.slice(0, 10));
    expect(decoder.takeStats().device).toBe("cuda");
    play(clip.slice(10));
    expect(mute.closed).toBe(true);
    expect(faults.map((fault) => fault.code)).toEqual(["decode_failed"]);
    expect(decoder.takeStats().device).toBe("software");
    expect(sequences(album)[0]).toBe(20);
    expect(wrong(album)).toEqual([]);
  });

  test("a device that decodes but does not hand out its pictures counts as failing", () => {
    const openDecoder = (on: HardwareDevice | null) => {
      const decoder = new VideoDecoder(null);
      if (on) decoder.scale = () => false;
      return decoder;
    };
    const { album, faults, play } = open({ device, openDecoder });
    play(clip);
    expect(faults.length).toBe(1);
    expect(sequences(album)).toEqual(clip.slice(20).map((unit) => unit.sequence));
  });
});
