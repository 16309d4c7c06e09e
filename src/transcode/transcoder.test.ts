import { afterEach, describe, expect, test } from "bun:test";
import { encodeClip, NumberReader } from "../../test/harness/numbered-clip.ts";
import type { Fault } from "../core/fault.ts";
import type { RenditionCodec } from "../process/protocol.ts";
import { type VideoCodec, videoFormat } from "../rtp/track-format.ts";
import type { Unit } from "../stream/sinks.ts";
import { Transcoder, type TranscoderOptions } from "./transcoder.ts";

/** A unit that came out, with bytes of its own. */
type Out = Unit & { readonly codec: RenditionCodec };

const opened: Transcoder[] = [];
afterEach(() => {
  for (const transcoder of opened.splice(0)) transcoder.close();
});

/** A transcoder of a camera in `codec`, with a clock of its own. */
function open(
  codec: VideoCodec,
  wanted: readonly RenditionCodec[],
  over: Partial<TranscoderOptions> = {},
) {
  const out: Out[] = [];
  const faults: Fault[] = [];
  const clock = { now: 0 };
  const transcoder = new Transcoder({
    camera: "lobby",
    hardware: false,
    widthMax: { h264: 1920, vp8: 1280 },
    emit: (rendition, unit) =>
      out.push({ ...unit, bytes: unit.bytes.slice(0, unit.length), codec: rendition }),
    fault: (fault) => faults.push(fault),
    now: () => clock.now,
    ...over,
  });
  opened.push(transcoder);
  transcoder.want(wanted);
  transcoder.hello({ camera: "lobby", tracks: [videoFormat(codec)] });
  const play = (units: Iterable<Unit>): void => {
    for (const unit of units) {
      clock.now = Math.max(clock.now, unit.completed);
      transcoder.unit("lobby", unit, "video");
    }
  };
  const of = (rendition: RenditionCodec) => out.filter((unit) => unit.codec === rendition);
  return { transcoder, out, faults, clock, play, of };
}

function numbersOf(units: readonly Out[], codec: VideoCodec): (number | null)[] {
  using reader = new NumberReader(codec);
  return units.map((unit) => reader.read(unit.bytes));
}

/** The number that a picture shows, by its timestamp. */
const byTimestamp = (units: readonly Out[]) => units.map((unit) => unit.timestamp / 3_600);
const count = (length: number) => Array.from({ length }, (_, i) => i);

describe("pictures", () => {
  const sources: readonly VideoCodec[] = ["h264", "h265", "mjpeg"];
  test.each(sources)(
    "%s becomes H.264 and VP8: every picture, under its timestamp",
    async (codec) => {
      const clip = await encodeClip(codec, 30);
      const { play, of, faults } = open(codec, ["h264", "vp8"]);
      play(clip);
      for (const rendition of ["h264", "vp8"] as const) {
        const units = of(rendition);
        expect(numbersOf(units, rendition)).toEqual(count(30));
        expect(byTimestamp(units)).toEqual(count(30));
        expect(units.map((unit) => unit.sequence)).toEqual(count(30));
        expect(units[7]).toMatchObject({
          arrived: 280,
          captured: 1_788_000_000_280,
          damaged: false,
        });
      }
      expect(faults).toEqual([]);
    },
  );

  test("B-frames come out in the order of presentation", async () => {
    const clip = await encodeClip("h264", 30, { bFrames: 2 });
    expect(clip.map((unit) => unit.timestamp / 3_600)).not.toEqual(count(30));
    const { play, of } = open("h264", ["h264"]);
    play(clip);
    const numbers = numbersOf(of("h264"), "h264");
    expect(numbers.length).toBeGreaterThanOrEqual(27);
    expect(numbers).toEqual(count(numbers.length));
    expect(byTimestamp(of("h264"))).toEqual(count(numbers.length));
  });

  test("H.265 with open groups: whoever begins at one leaves out what refers further back", async () => {
    const clip = await encodeClip("h265", 50, { bFrames: 2 });
    const { transcoder, play, of } = open("h265", ["h264"]);
    play(clip.map((unit) => (unit.sequence === 13 ? { ...unit, damaged: true } : unit)));
    const shown = numbersOf(of("h264"), "h264").map((number) => number ?? -1);
    expect(shown).toEqual([...shown].sort((a, b) => a - b));
    expect(shown).not.toContain(-1);
    // Begun once again at the keyframe of 20, and not stopped by its leading pictures.
    expect(shown.filter((number) => number >= 20 && number < 45)).toEqual(count(45).slice(20));
    expect(shown.filter((number) => number >= 14 && number < 20)).toEqual([]);
    expect(transcoder.takeStats().decoder?.dropped["missing_output"]).toBeUndefined();
  });

  test("H.264 for browsers: baseline, without B-frames, parameter sets with every keyframe", async () => {
    const { play, of } = open("h265", ["h264"]);
    play(await encodeClip("h265", 60));
    for (const unit of of("h264").filter(({ keyframe }) => keyframe)) {
      expect(unit.bytes.subarray(0, 7).toHex()).toMatch(/^0000000167(42c0|42e0)/);
    }
  });

  test("wide pictures are scaled down in their shape", async () => {
    const { play, of, transcoder } = open("h265", ["vp8"], { widthMax: { h264: 1920, vp8: 320 } });
    play(await encodeClip("h265", 10));
    expect(numbersOf(of("vp8"), "vp8")).toEqual(count(10));
    const [stats] = transcoder.takeStats().renditions;
    expect(stats).toMatchObject({ codec: "vp8", encoder: "libvpx", width: 320, height: 180 });
    expect(stats).toMatchObject({ units: 10 });
  });

  test("a stream that changes its size begins anew with a keyframe", async () => {
    const { play, of } = open("h265", ["h264"]);
    const small = await encodeClip("h265", 10, { width: 320, height: 180 });
    play(await encodeClip("h265", 10));
    const later = (unit: Unit) => ({
      ...unit,
      sequence: unit.sequence + 10,
      timestamp: unit.timestamp + 36_000,
      completed: unit.completed + 400,
    });
    play(small.map(later));
    expect(
      of("h264")
        .map(({ keyframe }, i) => (keyframe ? i : -1))
        .filter((i) => i >= 0),
    ).toEqual([0, 10]);
    expect(numbersOf(of("h264"), "h264")).toEqual([...count(10), ...count(10)]);
  });
});

describe("keyframes", () => {
  const keyframes = (units: readonly Out[]) =>
    byTimestamp(units.filter(({ keyframe }) => keyframe));

  test.each(["h264", "vp8"] as const)("%s: every two seconds", async (codec) => {
    const { play, of } = open("h265", [codec], { widthMax: { h264: 320, vp8: 320 } });
    play(await encodeClip("h265", 120));
    expect(keyframes(of(codec))).toEqual([0, 50, 100]);
  });

  test.each(["h264", "vp8"] as const)("%s: on request, but not all the time", async (codec) => {
    const clip = await encodeClip("h265", 60);
    const { transcoder, play, of } = open("h265", [codec]);
    play(clip.slice(0, 20));
    transcoder.keyframe(codec);
    play(clip.slice(20, 40));
    for (const unit of clip.slice(40)) {
      transcoder.keyframe(codec);
      play([unit]);
    }
    expect(keyframes(of(codec))).toEqual([0, 20, 40, 48, 56]);
  });

  test("also after the timestamps went round, and the source was opened anew since", async () => {
    const clip = await encodeClip("h265", 80);
    const wrapping = (unit: Unit) => ({
      ...unit,
      timestamp: (unit.timestamp - 36_000 + 2 ** 32) % 2 ** 32,
    });
    const { transcoder, play, of } = open("h265", ["h264"]);
    play(clip.slice(0, 20).map(wrapping));
    transcoder.hello({ camera: "lobby", tracks: [videoFormat("h265")] });
    for (const from of [20, 40, 60]) {
      transcoder.keyframe("h264");
      play(clip.slice(from, from + 20).map(wrapping));
    }
    const shown = of("h264").map(({ keyframe }, i) => (keyframe ? i : -1));
    expect(shown.filter((i) => i >= 0)).toEqual([0, 20, 40, 60]);
  });
});

describe("what is wrong or late is not encoded", () => {
  test("nothing of a damaged group, and viewers see whole pictures all the same", async () => {
    const clip = await encodeClip("h265", 40);
    const { play, of } = open("h265", ["vp8"]);
    play(clip.map((unit) => (unit.sequence === 13 ? { ...unit, damaged: true } : unit)));
    const expected = count(40).filter((i) => i < 13 || i >= 20);
    expect(numbersOf(of("vp8"), "vp8")).toEqual(expected);
    expect(of("vp8").map((unit) => unit.sequence)).toEqual(count(33));
  });

  test("a replay becomes one picture, and what viewers have seen is not repeated", async () => {
    const clip = await encodeClip("h265", 30);
    const replayed = (units: readonly Unit[]) => units.map((unit) => ({ ...unit, replayed: true }));
    const { transcoder, play, of } = open("h265", ["h264"]);
    play(replayed(clip.slice(0, 8)));
    transcoder.replayEnded();
    play(clip.slice(8, 15));
    play(replayed(clip.slice(10, 15)));
    transcoder.replayEnded();
    play(clip.slice(15));
    expect(numbersOf(of("h264"), "h264")).toEqual(count(30).slice(7));
  });

  test("0.6 s late: one picture against the freeze, and then none until it has caught up", async () => {
    const clip = await encodeClip("h265", 30);
    const { transcoder, clock, play, of } = open("h265", ["h264"]);
    play(clip.slice(0, 10));
    clock.now += 600;
    play(clip.slice(10, 14));
    expect(transcoder.takeStats().decoder).toMatchObject({ degraded: true, dropped: { late: 3 } });
    clock.now = clip[14]?.completed ?? 0;
    play(clip.slice(14));
    const expected = count(30).filter((i) => i <= 10 || i >= 14);
    expect(numbersOf(of("h264"), "h264")).toEqual(expected);
  });
});

describe("demand", () => {
  test("renditions come and go while pictures flow; nothing is decoded for nobody", async () => {
    const clip = await encodeClip("h265", 40);
    const { transcoder, play, of } = open("h265", []);
    play(clip.slice(0, 10));
    expect(transcoder.takeStats()).toEqual({ decoder: null, renditions: [] });
    transcoder.want(["h264"]);
    play(clip.slice(10, 20));
    transcoder.want(["h264", "vp8"]);
    play(clip.slice(20, 30));
    transcoder.want(["vp8"]);
    play(clip.slice(30));
    expect(numbersOf(of("h264"), "h264")).toEqual(count(30).slice(10));
    expect(numbersOf(of("vp8"), "vp8")).toEqual(count(40).slice(20));
  });

  test("a camera that changes its codec: renditions go on", async () => {
    const { transcoder, play, of } = open("h265", ["h264"]);
    play(await encodeClip("h265", 10));
    transcoder.hello({ camera: "lobby", tracks: [videoFormat("mjpeg")] });
    const later = (unit: Unit) => ({
      ...unit,
      timestamp: unit.timestamp + 36_000,
      completed: unit.completed + 400,
    });
    play((await encodeClip("mjpeg", 10)).map(later));
    expect(numbersOf(of("h264"), "h264")).toEqual([...count(10), ...count(10)]);
    expect(of("h264").filter(({ keyframe }) => keyframe).length).toBe(1);
  });
});
