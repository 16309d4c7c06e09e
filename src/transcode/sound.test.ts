import { describe, expect, test } from "bun:test";
import { ticksBetween } from "../core/units.ts";
import { OpusTranscoder } from "../native/av-opus.ts";
import { decodeOpus, encodeTone } from "../native/fixtures/tone.ts";
import type { Unit } from "../stream/sinks.ts";
import { SoundRendition } from "./sound-rendition.ts";

const CODECS = ["aac", "g722", "pcma", "pcmu"] as const;
const START = 2 ** 32 - 4_000;

/** A second and a half of a tone as units whose timestamps wrap soon. */
function toneUnits(codec: (typeof CODECS)[number], hz = 440) {
  const { format, units, unitTicks } = encodeTone(codec, hz, 1.5);
  const ms = (unitTicks / format.clockHz) * 1_000;
  const made = units.map(
    (bytes, i): Unit => ({
      bytes,
      length: bytes.length,
      sequence: i,
      timestamp: (START + i * unitTicks) % 2 ** 32,
      arrived: i * ms,
      completed: i * ms,
      captured: 1_788_000_000_000 + i * ms,
      capturedClock: "rtcp",
      keyframe: true,
      damaged: false,
      gapBefore: false,
      replayed: false,
    }),
  );
  return { format, units: made, unitTicks };
}

function play(codec: (typeof CODECS)[number], keep: (unit: Unit) => boolean = () => true) {
  const { format, units, unitTicks } = toneUnits(codec);
  const out: Unit[] = [];
  using rendition = new SoundRendition(format, (unit) => {
    out.push({ ...unit, bytes: unit.bytes.slice(0, unit.length) });
  });
  for (const unit of units.filter(keep)) rendition.unit(unit, () => 0);
  return { out, units, unitTicks, format, stats: rendition.takeStats() };
}

/** The pitch of Opus frames: zero crossings, after what a codec needs to settle. */
function pitchOf(frames: readonly Uint8Array[]): number {
  const samples = decodeOpus(frames).slice(9_600);
  const rises = samples.filter((sample, i) => i > 0 && samples[i - 1]! < 0 && sample >= 0);
  return (rises.length * 48_000) / samples.length;
}

describe("sound", () => {
  test.each(CODECS)("%s becomes Opus of 20 ms of the same tone, under its timestamps", (codec) => {
    const { out, format, stats } = play(codec);
    expect(out.length).toBeGreaterThan(70);
    expect(Math.abs(pitchOf(out.map(({ bytes }) => bytes)) - 440)).toBeLessThan(10);
    const origin = Math.round((START * 48_000) / format.clockHz);
    expect(out.map((unit) => unit.timestamp)).toEqual(
      out.map((_, i) => (origin + i * 960) % 2 ** 32),
    );
    for (const [i, unit] of out.entries()) {
      expect(unit.captured).toBeCloseTo(1_788_000_000_000 + i * 20, 0);
      expect(unit).toMatchObject({ sequence: i, capturedClock: "rtcp", gapBefore: false });
    }
    expect(stats).toMatchObject({ codec: "opus", encoder: "libopus", units: out.length });
  });

  test("sound that is missing leaves a gap in the timestamps, not a shift", () => {
    const { out, units } = play("pcma", ({ sequence }) => sequence < 20 || sequence >= 40);
    const [first] = out;
    const steps = out.map((unit) => ticksBetween(unit.timestamp, first?.timestamp ?? 0) / 960);
    expect(steps).toEqual(units.map((_, i) => i).filter((i) => i < 20 || i >= 40));
  });

  test("what is stored or damaged is not heard", () => {
    const { format, units } = toneUnits("pcmu");
    let heard = 0;
    using rendition = new SoundRendition(format, () => heard++);
    for (const unit of units.slice(0, 10)) rendition.unit({ ...unit, replayed: true }, () => 0);
    for (const unit of units.slice(10, 20)) rendition.unit({ ...unit, damaged: true }, () => 0);
    expect(heard).toBe(0);
    for (const unit of units.slice(20, 30)) rendition.unit(unit, () => 0);
    expect(heard).toBe(10);
  });

  test.each(CODECS)("%s: junk is no harm", (codec) => {
    const { format } = toneUnits(codec);
    using opus = new OpusTranscoder(format);
    for (let length = 0; length < 300; length += 7) {
      opus.push(Uint8Array.from({ length }, (_, i) => (i * 89 + length) & 255));
      while (opus.receive()) {
        // Whatever it is, it has an end.
      }
    }
  });
});
