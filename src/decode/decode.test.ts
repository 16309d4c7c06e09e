import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import type { FrameFacts, FrameFormat, FrameSink, Unit, UnitSink } from "../stream/sinks.ts";
import { UnitFeed } from "../stream/unit-feed.ts";
import { UnitIntake } from "../stream/unit-intake.ts";
import { Log } from "../telemetry/log.ts";
import { DecodeGroup } from "./decode.ts";
import { encodeClip } from "./fixtures/clip.ts";

const PATIENCE_MS = 10_000;
const SHM: FrameFormat = { kind: "shm", width: 160 };

let clip: Unit[] = [];
beforeAll(async () => {
  clip = await encodeClip({ width: 320, height: 180, frames: 20, gopFrames: 10 });
});

let stack = new DisposableStack();
let lines: string[] = [];
beforeEach(() => {
  stack = new DisposableStack();
  lines = [];
});
afterEach(() => stack.dispose());

class Counter implements FrameSink {
  readonly shown: FrameFacts[] = [];
  closed = false;
  /** A bug, as far as the decoder can tell. */
  breaks = false;
  claim(width: number, height: number): Uint8Array {
    return new Uint8Array(width * height * 3 + 64);
  }
  publish(facts: FrameFacts): void {
    if (this.breaks) throw new TypeError("undefined is not a function");
    this.shown.push(facts);
  }
  close(): void {
    this.closed = true;
  }
}

function open() {
  const sinks = new Map<string, Counter[]>();
  const group = stack.use(
    new DecodeGroup({
      hardware: true,
      openSink: (camera) => {
        const sink = new Counter();
        sinks.set(camera, [...(sinks.get(camera) ?? []), sink]);
        return sink;
      },
      log: new Log({ level: "debug", format: "text", write: (line) => lines.push(line) }, {}),
    }),
  );
  const shown = (camera: string) =>
    (sinks.get(camera) ?? []).flatMap((sink) => sink.shown.map(({ sequence }) => sequence));
  return { group, sinks, shown };
}

/** Ahead of the clock, so that a machine that is busy with other things leaves nothing out. */
const AHEAD_MS = 500;

/** Some of the clip's units, as if they arrived now. */
const live = (from: number, to: number) =>
  clip.slice(from, to).map((unit) => ({
    ...unit,
    arrived: monotonicMs() + AHEAD_MS,
    completed: monotonicMs() + AHEAD_MS,
  }));

describe("decode group", () => {
  test("from a stream through the socket to pictures, the replay's newest first", async () => {
    const folder = mkdtempSync(join(tmpdir(), "decode-"));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    const socket = join(folder, "units");
    const { group, shown } = open();
    stack.use(new UnitIntake(socket, group, new Log({ level: "error", format: "text" }, {})));
    group.decode("lobby", [SHM]);
    const feed = stack.use(
      await UnitFeed.open({ socket, camera: "lobby", tracks: [], gone: () => {} }),
    );
    const attachUnits = (sink: UnitSink, now: Millis) => {
      for (const unit of clip.slice(0, 7))
        sink.unit({ ...unit, arrived: now, completed: now, replayed: true });
      return () => {};
    };
    feed.follow({ video: { attachUnits }, audio: null }, monotonicMs());
    for (const unit of live(7, 20)) feed.unit(unit, "video");
    const deadline = monotonicMs() + PATIENCE_MS;
    while (shown("lobby").at(-1) !== 19 && monotonicMs() < deadline) await Bun.sleep(1);
    expect(shown("lobby")[0]).toBe(6);
    expect(shown("lobby").at(-1)).toBe(19);
    const [stats] = group.takeStats();
    expect(stats).toMatchObject({ camera: "lobby", decoded: 20 });
    expect(stats?.decodeMs.max).toBeGreaterThan(0);
    expect(lines.some((line) => line.includes("device="))).toBe(true);
  });

  test("units of a camera that nobody asked for are ignored; so are those after the end", () => {
    const { group, sinks, shown } = open();
    for (const unit of live(0, 5)) group.unit("lobby", unit, "video");
    group.replayEnded("lobby");
    expect([sinks.size, group.takeStats()]).toEqual([0, []]);
    group.decode("lobby", [SHM]);
    for (const unit of live(0, 5)) group.unit("lobby", unit, "video");
    group.decode("lobby", []);
    for (const unit of live(5, 10)) group.unit("lobby", unit, "video");
    expect(shown("lobby")).toEqual([0, 1, 2, 3, 4]);
    expect(sinks.get("lobby")?.map(({ closed }) => closed)).toEqual([true]);
    expect(group.takeStats()).toEqual([]);
  });

  test("a bug met with one camera costs it its decoder, and nobody else anything", () => {
    const { group, sinks, shown } = open();
    group.decode("good", [SHM]);
    group.decode("bad", [SHM]);
    const [bad] = sinks.get("bad") ?? [];
    for (const unit of live(0, 20)) {
      if (bad) bad.breaks = unit.sequence === 5;
      group.unit("good", unit, "video");
      group.unit("bad", unit, "video");
    }
    expect(shown("good")).toEqual(clip.map(({ sequence }) => sequence));
    expect(shown("bad")).toEqual([0, 1, 2, 3, 4, ...Array.from({ length: 10 }, (_, i) => 10 + i)]);
    expect(bad?.closed).toBe(true);
    expect(lines.filter((line) => line.includes("bug")).length).toBe(1);
  });

  test("closing closes every sink, once and again", () => {
    const { group, sinks } = open();
    group.decode("a", [SHM, { kind: "shm", width: 100 }]);
    group.close();
    group.close();
    expect(sinks.get("a")?.map(({ closed }) => closed)).toEqual([true, true]);
  });
});
