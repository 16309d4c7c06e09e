/** Renditions with real processes, as media has them. */
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeClip, NumberReader } from "../../test/harness/numbered-clip.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import { encodeTone } from "../native/fixtures/tone.ts";
import { type TrackFormat, type VideoCodec, videoFormat } from "../rtp/track-format.ts";
import type { Unit } from "../stream/sinks.ts";
import { Stream } from "../stream/stream.ts";
import { Track } from "../stream/track.ts";
import { Log } from "../telemetry/log.ts";
import { LoopedTrack } from "./fixtures/source.ts";
import { Renditions, type RenditionTrack } from "./renditions.ts";
import type { RenditionSource } from "./worker.ts";

/** Loading libav on a busy machine takes seconds. */
const PATIENCE_MS = 20_000;
const FRAMES = 50;

/** Keeps what comes. */
class Shelf implements RenditionTrack {
  readonly units: { bytes: Uint8Array; timestamp: number; gapBefore: boolean }[] = [];
  ended = false;
  receiveUnit(
    b: Uint8Array,
    start: number,
    end: number,
    unit: { timestamp: number; gapBefore: boolean },
  ): void {
    this.units.push({ bytes: b.slice(start, end), ...unit });
  }
  flush(): void {}
  end(): void {
    this.ended = true;
  }
}

async function until(enough: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!enough()) {
    if (performance.now() > deadline) throw new Error("it does not come to pass");
    await Bun.sleep(20);
  }
}

let clip: Unit[] = [];
beforeAll(async () => {
  clip = await encodeClip("h265", FRAMES, { gopFrames: FRAMES });
});

const resources: AsyncDisposableStack[] = [];
afterEach(async () => {
  for (const stack of resources.splice(0)) await stack.disposeAsync();
});

/** Renditions of a camera that shows the clip. */
function open(lingerMs = 0) {
  const video = new LoopedTrack("h265", clip);
  const opened = openWith({ video, audio: null }, () => new Shelf(), lingerMs);
  opened.stack.use(video);
  return { ...opened, video };
}

function openWith<T extends RenditionTrack>(
  source: RenditionSource,
  openTrack: (format: TrackFormat) => T,
  lingerMs = 0,
) {
  const stack = new AsyncDisposableStack();
  resources.push(stack);
  const folder = mkdtempSync(join(tmpdir(), "transcode-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const quiet = new Log({ level: "error", format: "text" }, { process: "test" });
  const renditions = stack.use(
    new Renditions({
      camera: "lobby",
      source,
      openTrack,
      settings: {
        entry: join(import.meta.dir, "..", "children", "transcode.ts"),
        folder,
        hardware: false,
        widthMax: { h264: 1920, vp8: 640 },
        childLog: { level: "error", format: "text" },
      },
      log: quiet,
      lingerMs,
    }),
  );
  return { renditions, folder, stack };
}

/** The pictures' numbers fit their timestamps, from the first keyframe on. */
function expectRight(units: Shelf["units"], codec: VideoCodec): void {
  using reader = new NumberReader(codec);
  for (const { bytes, timestamp } of units) {
    expect(reader.read(bytes)).toBe((timestamp / 3_600) % FRAMES);
  }
}

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("renditions", () => {
  test("two leases and two codecs, one process; the last release ends it", async () => {
    const { renditions, folder } = open();
    expect(renditions.stats()).toBeNull();
    const h264 = renditions.acquire("h264");
    const again = renditions.acquire("h264");
    const vp8 = renditions.acquire("vp8");
    expect(again.track).toBe(h264.track);
    await until(() => h264.track.units.length > 30 && vp8.track.units.length > 30);
    expectRight(h264.track.units, "h264");
    expectRight(vp8.track.units, "vp8");
    await until(() => (renditions.stats()?.renditions[0]?.unitsPerSecond ?? 0) > 0);
    const stats = renditions.stats();
    expect(stats?.renditions.map(({ codec, viewers }) => [codec, viewers])).toEqual([
      ["h264", 2],
      ["vp8", 1],
    ]);
    expect(stats?.decoder?.decoded).toBeGreaterThan(10);
    expect(stats?.cpuShare).toBeGreaterThan(0);
    const pid = stats?.pid ?? 0;
    expect(isRunning(pid)).toBe(true);

    h264.release();
    h264.release();
    vp8.release();
    await until(() => vp8.track.ended);
    expect(again.track.ended).toBe(false);
    expect(renditions.track("vp8")).toBeNull();
    expect(renditions.stats()?.pid).toBe(pid);

    again.release();
    await until(() => again.track.ended);
    expect(renditions.stats()).toBeNull();
    await until(() => !isRunning(pid));
    await until(() => readdirSync(folder).length === 0);
  }, 60_000);

  test("a process that is killed is started again; viewers keep their track", async () => {
    const { renditions, video } = open();
    const lease = renditions.acquire("h264");
    await until(() => lease.track.units.length > 5);
    const before = lease.track.units.length;
    const pid = renditions.stats()?.pid ?? 0;
    process.kill(pid, "SIGKILL");
    await until(() => lease.track.units.length > before + 10);
    const gaps = lease.track.units.map((unit, i) => (unit.gapBefore ? i : -1)).filter((i) => i > 0);
    expect(gaps.length).toBe(1);
    expectRight(lease.track.units.slice(gaps[0]), "h264");
    expect(renditions.stats()).toMatchObject({ restarts: 1 });
    expect(renditions.stats()?.pid).not.toBe(pid);
    expect(video.attached).toBe(2);
  }, 60_000);

  test("whoever comes back within the linger finds it running", async () => {
    const { renditions } = open(5_000);
    const lease = renditions.acquire("vp8");
    await until(() => lease.track.units.length > 0);
    const pid = renditions.stats()?.pid;
    lease.release();
    expect(renditions.track("vp8")).toBe(lease.track);
    const next = renditions.acquire("vp8");
    expect(next.track).toBe(lease.track);
    expect(renditions.stats()?.pid).toBe(pid ?? 0);
  }, 60_000);

  test("from a stream's rings to tracks that viewers are sent, sound included", async () => {
    const stream = new Stream();
    const tone = encodeTone("aac", 440, 3);
    stream.describe([videoFormat("h265"), tone.format]);
    const { renditions, stack } = openWith(stream, (format) => new Track(format));
    let next = 0;
    const timer = setInterval(() => {
      const [unit, sound] = [clip[next % FRAMES], tone.units[next % tone.units.length]];
      const [at, now] = [next++, monotonicMs()];
      const push = (
        track: Track | null,
        bytes: Uint8Array | undefined,
        timestamp: number,
      ): void => {
        const whole = { timestamp, gapBefore: false };
        if (bytes) track?.receiveUnit(bytes, 0, bytes.length, whole, now);
      };
      push(stream.video, unit?.bytes, at * 3_600);
      push(stream.audio, sound, at * tone.unitTicks);
      stream.flush(now, unixMs());
    }, 40);
    stack.defer(() => clearInterval(timer));
    const shown: { codec: VideoCodec; number: number | null; timestamp: number }[] = [];
    for (const codec of ["h264", "vp8"] as const) {
      const reader = stack.use(new NumberReader(codec));
      const unit = ({ bytes, length, timestamp }: Unit): void => {
        shown.push({ codec, number: reader.read(bytes.subarray(0, length)), timestamp });
      };
      renditions.acquire(codec).track.attachUnits({ unit, ended: () => {} }, monotonicMs());
    }
    const sound = renditions.acquire("opus").track;
    await until(() => shown.length > 60 && sound.counters.units > 20);
    for (const { number, timestamp } of shown) expect(number).toBe((timestamp / 3_600) % FRAMES);
    expect(new Set(shown.map(({ codec }) => codec)).size).toBe(2);
    expect(sound.format).toMatchObject({ codec: "opus", clockHz: 48_000 });
  }, 60_000);

  test("the first picture is the newest of the group so far; sound alone takes no pictures", async () => {
    const { renditions, video } = open();
    renditions.acquire("opus");
    await until(() => (renditions.stats()?.rssBytes ?? 0) > 0 && video.sent.size % FRAMES === 20);
    expect(video.attached).toBe(0);
    const { track } = renditions.acquire("h264");
    await until(() => track.units.length > 3);
    expect(video.attached).toBe(1);
    // Whoever waits for a keyframe begins with number 0.
    expect(((track.units[0]?.timestamp ?? 0) / 3_600) % FRAMES).not.toBe(0);
    expectRight(track.units, "h264");
  }, 60_000);

  test("a keyframe on request", async () => {
    const { renditions } = open();
    const { track } = renditions.acquire("h264");
    const isKeyframe = (unit: Uint8Array): boolean => (unit[4]! & 0x1f) === 7;
    await until(() => track.units.length >= 15);
    const asked = track.units.length;
    renditions.keyframe("h264");
    await until(() => track.units.length >= asked + 15);
    const keyframes = track.units.map(({ bytes }, i) => (isKeyframe(bytes) ? i : -1));
    const soon = keyframes.filter((i) => i >= asked && i < asked + 10);
    expect(soon.length).toBe(1);
  }, 60_000);
});
