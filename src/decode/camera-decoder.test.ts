import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Fault } from "../core/fault.ts";
import {
  type HardwareDevice,
  type Picture,
  type PictureDecoder,
  VideoDecoder,
} from "../native/av-decode.ts";
import type { VideoCodec } from "../rtp/track-format.ts";
import type { FrameFormat, Unit } from "../stream/sinks.ts";
import {
  Album,
  changed,
  closeAll,
  encodeTruth,
  HEIGHT,
  openCameraDecoder,
  SHM,
  WIDTH,
  without,
} from "./fixtures/album.ts";

let clip: Unit[] = [];
let wrong: (album: Album) => number[];
beforeAll(async () => {
  ({ clip, wrong } = await encodeTruth());
});
afterEach(closeAll);

describe("clean input", () => {
  test("every picture, with its own facts", () => {
    const { decoder, album, play } = openCameraDecoder();
    play(clip);
    expect(album.sequences).toEqual(clip.map((unit) => unit.sequence));
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
    const { album, play } = openCameraDecoder();
    const start = 2 ** 32 - 5 * 3600;
    play(clip.map((unit) => ({ ...unit, timestamp: (start + unit.timestamp) % 2 ** 32 })));
    const ticks = album.shown.map(({ facts }) => facts.mediaTicks);
    expect(ticks).toEqual(clip.map((unit) => start + unit.timestamp));
    expect(album.shown[7]?.facts.timestamp).toBe(2 * 3600);
  });

  test("a unit without a picture is no damage", () => {
    const { album, play } = openCameraDecoder();
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

describe("lag", () => {
  test("0.6 s late: decoded but not converted until caught up", () => {
    const { decoder, album, clock, play } = openCameraDecoder();
    play(clip.slice(0, 20));
    clock.now += 600;
    const claims = album.claims;
    play(clip.slice(20, 24));
    expect(album.claims).toBe(claims);
    expect(decoder.takeStats()).toMatchObject({ degraded: true, dropped: { late: 4 } });
    clock.now = clip[24]?.completed ?? 0;
    play(clip.slice(24));
    expect(album.sequences.slice(18, 22)).toEqual([18, 19, 24, 25]);
    expect(wrong(album)).toEqual([]);
    expect(album.shown[20]?.facts.droppedBefore).toBe(4);
    decoder.takeStats();
    expect(decoder.takeStats().degraded).toBe(false);
  });

  test("1.5 s late: left out up to the next fresh keyframe", () => {
    const { decoder, album, clock, play } = openCameraDecoder();
    play(clip.slice(0, 3));
    clock.now += 1_500;
    for (const unit of clip.slice(3)) {
      clock.now = Math.max(clock.now, unit.completed);
      decoder.unit(unit);
    }
    expect(album.sequences).toEqual([0, 1, 2, ...clip.slice(35).map((unit) => unit.sequence)]);
    expect(wrong(album)).toEqual([]);
    expect(decoder.takeStats().dropped["behind"]).toBeGreaterThan(10);
  });
});

describe("replay", () => {
  const replayed = (units: readonly Unit[], now: number) =>
    units.map((unit) => ({ ...unit, replayed: true, arrived: now, completed: now }));

  test("only the newest picture of a replay is converted, and live ones follow", () => {
    const { decoder, album, play } = openCameraDecoder();
    play(replayed(clip.slice(0, 8), 0));
    expect(album.claims).toBe(0);
    decoder.replayEnded();
    decoder.replayEnded();
    expect(album.sequences).toEqual([7]);
    play(
      clip
        .slice(8, 12)
        .map((unit) => ({ ...unit, arrived: unit.arrived - 320, completed: unit.arrived - 320 })),
    );
    expect(album.sequences).toEqual([7, 8, 9, 10, 11]);
    expect(wrong(album)).toEqual([]);
    expect(album.shown[0]?.facts.droppedBefore).toBe(0);
    expect(decoder.takeStats().dropped).toEqual({});
  });

  test("a damaged replay shows nothing", () => {
    const { decoder, album, play } = openCameraDecoder();
    play(replayed(without(clip, 3).slice(0, 7), 0));
    decoder.replayEnded();
    expect(album.sequences).toEqual([]);
  });

  test("an older replay after a break starts over", () => {
    const { decoder, album, play } = openCameraDecoder();
    play(clip.slice(0, 25));
    play(replayed(clip.slice(20, 28), 1_100));
    decoder.replayEnded();
    expect(album.sequences.slice(-2)).toEqual([24, 27]);
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
    const { decoder, play } = openCameraDecoder({ openSink });
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
    const { decoder, faults, clock, play } = openCameraDecoder({ openSink });
    decoder.setFormats([SHM, { kind: "shm", width: 320 }]);
    play(clip.slice(0, 20));
    expect(narrow.shown.length).toBe(20);
    expect(wide.shown.length).toBe(0);
    expect(faults.map((fault) => fault.code)).toEqual(["shared_memory"]);
    full = false;
    clock.now = 6_000;
    play(
      clip.slice(20).map((unit) => ({
        ...unit,
        arrived: unit.arrived + 6_000,
        completed: unit.arrived + 6_000,
      })),
    );
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
    frame(): null {
      return null;
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
    const openDecoder = (codec: VideoCodec, on: HardwareDevice | null) =>
      on ? mute : new VideoDecoder(codec, null);
    const { decoder, album, faults, play } = openCameraDecoder({ device, openDecoder });
    play(clip.slice(0, 10));
    expect(decoder.takeStats().device).toBe("cuda");
    play(clip.slice(10));
    expect(mute.closed).toBe(true);
    expect(faults.map((fault) => fault.code)).toEqual(["decode_failed"]);
    expect(decoder.takeStats().device).toBe("software");
    expect(album.sequences[0]).toBe(20);
    expect(wrong(album)).toEqual([]);
  });

  test("a device that decodes but does not hand out its pictures counts as failing", () => {
    const openDecoder = (codec: VideoCodec, on: HardwareDevice | null) => {
      const decoder = new VideoDecoder(codec, null);
      if (on) decoder.scale = () => false;
      return decoder;
    };
    const { album, faults, play } = openCameraDecoder({ device, openDecoder });
    play(clip);
    expect(faults.length).toBe(1);
    expect(album.sequences).toEqual(clip.slice(20).map((unit) => unit.sequence));
  });

  test("a device that takes no decoder leaves the camera to the processor", () => {
    const openDecoder = (codec: VideoCodec, on: HardwareDevice | null) => {
      if (on) throw new Fault("decode_failed", "full");
      return new VideoDecoder(codec, null);
    };
    const { decoder, album, faults, play } = openCameraDecoder({ device, openDecoder });
    play(clip.slice(0, 3));
    expect(faults.map((fault) => fault.message)).toEqual(["full"]);
    expect(album.sequences).toEqual([0, 1, 2]);
    expect(decoder.takeStats().device).toBe("software");
  });
});
