import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import { Log } from "../telemetry/log.ts";
import type { Unit, UnitSink } from "./sinks.ts";
import { UnitFeed } from "./unit-feed.ts";
import { UnitIntake } from "./unit-intake.ts";
import { UnitReader } from "./unit-wire.ts";

const PATIENCE_MS = 10_000;

let folder = "";
let path = "";
let resources = new AsyncDisposableStack();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "feed-"));
  path = join(folder, "units");
  resources = new AsyncDisposableStack();
  resources.defer(() => rmSync(folder, { recursive: true, force: true }));
});
afterEach(async () => await resources.disposeAsync());

async function until(condition: () => boolean): Promise<void> {
  const deadline = monotonicMs() + PATIENCE_MS;
  while (!condition()) {
    if (monotonicMs() > deadline) throw new Error("did not happen in time");
    await Bun.sleep(1);
  }
}

function unit(sequence: number, bytes: number, over: Partial<Unit> = {}): Unit {
  return {
    bytes: new Uint8Array(bytes).fill(sequence),
    length: bytes,
    sequence,
    timestamp: sequence * 3600,
    arrived: monotonicMs(),
    completed: monotonicMs(),
    captured: 0,
    capturedClock: "arrival",
    keyframe: sequence % 10 === 0,
    damaged: false,
    gapBefore: false,
    replayed: false,
    ...over,
  };
}

/** A stream that replays some units and then gives what `live` is told. */
class FakeStream {
  sink: UnitSink | null = null;
  readonly #replay: readonly Unit[];
  constructor(replay: readonly Unit[]) {
    this.#replay = replay;
  }
  attachUnits(sink: UnitSink, now: Millis): () => void {
    for (const one of this.#replay)
      sink.unit({ ...one, arrived: now, completed: now, replayed: true });
    this.sink = sink;
    return () => {
      this.sink = null;
    };
  }
}

const log = new Log({ level: "error", format: "text", write: () => {} }, {});

function listen() {
  const heard: string[] = [];
  const intake = new UnitIntake(
    path,
    {
      hello: () => {},
      unit: (camera, one, kind) => {
        const whole = one.bytes.every((byte) => byte === (one.sequence & 255));
        const marks = `${one.replayed ? "r" : ""}${one.gapBefore ? "g" : ""}${whole ? "" : "!"}${kind === "audio" ? "a" : ""}`;
        heard.push(`${camera} ${one.sequence}${marks}`);
      },
      replayEnded: (camera) => heard.push(`${camera} replay ended`),
    },
    log,
  );
  resources.use(intake);
  return { heard, intake };
}

async function open(camera: string, gone = () => {}): Promise<UnitFeed> {
  return resources.use(await UnitFeed.open({ socket: path, camera, tracks: [], gone }));
}

describe("feed and intake", () => {
  test("replay, its end, and live units arrive in order, cameras apart", async () => {
    const { heard } = listen();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const [a, b] = [await open("a"), await open("b")];
    const stream = new FakeStream([unit(0, 100), unit(1, 300_000)]);
    a.follow({ video: stream, audio: null }, monotonicMs());
    b.follow({ video: new FakeStream([]), audio: null }, monotonicMs());
    stream.sink?.unit(unit(2, 10));
    await until(() => heard.length === 5);
    const of = (camera: string) => heard.filter((line) => line.startsWith(camera));
    expect(of("a")).toEqual(["a 0r", "a 1r", "a replay ended", "a 2"]);
    expect(of("b")).toEqual(["b replay ended"]);
    expect(a.counters).toEqual({ sent: 3, dropped: 0 });
  });

  test("two tracks of one camera stay apart, and what is missing in one is not missing in both", async () => {
    const { heard } = listen();
    const feed = await open("a");
    const [video, audio] = [new FakeStream([unit(0, 100)]), new FakeStream([unit(4, 10)])];
    feed.follow({ video, audio }, monotonicMs());
    audio.sink?.unit(unit(5, 10));
    video.sink?.unit(unit(1, 10));
    await until(() => heard.length === 5);
    expect(heard).toEqual(["a 0r", "a 4ra", "a replay ended", "a 5a", "a 1"]);
    feed.close();
    expect([video.sink, audio.sink]).toEqual([null, null]);
  });

  test("closing detaches from the stream and is not told as the peer's end", async () => {
    listen();
    let gone = 0;
    const feed = await open("a", () => gone++);
    const stream = new FakeStream([]);
    feed.follow({ video: stream, audio: null }, monotonicMs());
    expect(stream.sink).not.toBeNull();
    expect(feed.close()).toBe(true);
    expect(feed.close()).toBe(false);
    expect(stream.sink).toBeNull();
    feed.unit(unit(0, 10), "video");
    await Bun.sleep(0);
    expect([gone, feed.counters.sent]).toEqual([0, 0]);
  });

  test("the end of the listener is noticed once, and detaches", async () => {
    const { intake } = listen();
    let gone = 0;
    const feed = await open("a", () => gone++);
    const stream = new FakeStream([unit(0, 10)]);
    feed.follow({ video: stream, audio: null }, monotonicMs());
    intake.close();
    intake.close();
    await until(() => gone > 0);
    expect([gone, stream.sink]).toEqual([1, null]);
  });

  test("a killed decode process is noticed", async () => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "fixtures/listen.ts"), path], {
      stdout: "pipe",
    });
    resources.defer(() => child.kill("SIGKILL"));
    await child.stdout.getReader().read();
    let gone = 0;
    const feed = await open("a", () => gone++);
    feed.follow({ video: new FakeStream([unit(0, 1000)]), audio: null }, monotonicMs());
    child.kill("SIGKILL");
    await until(() => gone > 0);
    feed.unit(unit(1, 1000), "video");
    expect(feed.counters.sent).toBe(1);
  });

  test("nobody listens: a fault that says so", async () => {
    const attempt = UnitFeed.open({ socket: path, camera: "a", tracks: [], gone: () => {} });
    await expect(attempt).rejects.toBeInstanceOf(Fault);
  });

  test("a connection that brings junk ends alone", async () => {
    const { heard } = listen();
    const good = await open("a");
    let ended = false;
    const bad = await Bun.connect({
      unix: path,
      socket: {
        data: () => {},
        close: () => {
          ended = true;
        },
      },
    });
    bad.write(new Uint8Array(100).fill(0xff));
    await until(() => ended);
    good.unit(unit(5, 10), "video");
    await until(() => heard.length === 1);
  });
});

describe("a peer that stops reading", () => {
  /** Accepts one connection and reads nothing until told. */
  async function sleeper() {
    const accepted = Promise.withResolvers<Socket>();
    const server = createServer({ pauseOnConnect: true }, accepted.resolve);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    resources.defer(() => void server.close());
    return { accepted: accepted.promise };
  }

  test("whole units are dropped, memory stays bounded, and the next unit says so", async () => {
    const { accepted } = await sleeper();
    const feed = await open("a");
    const peer = await accepted;
    resources.defer(() => void peer.destroy());
    // 60 s of 8 Mbps, on a clock of its own: only its first second is kept.
    let now = monotonicMs();
    let most = 0;
    for (let i = 0; i < 1_500; i++) {
      feed.unit(unit(i, 40_000, { arrived: now, completed: now }), "video");
      most = Math.max(most, feed.pendingBytes);
      now += 40;
    }
    expect(feed.counters.dropped).toBeGreaterThan(1_400);
    expect(most).toBeLessThan(1 << 21);
    const heard: Unit[] = [];
    const reader = new UnitReader({
      hello: () => {},
      replayEnded: () => {},
      unit: (one) => heard.push({ ...one, bytes: Uint8Array.from(one.bytes) }),
    });
    peer.on("data", (bytes: Uint8Array) => reader.push(bytes));
    peer.resume();
    await until(() => feed.pendingBytes === 0);
    feed.unit(unit(1_500, 40_000), "video");
    feed.unit(unit(1_501, 40_000), "video");
    await until(() => heard.at(-1)?.sequence === 1_501);
    const before = feed.counters.sent - 2;
    expect(heard.map((one) => one.sequence)).toEqual([...Array(before).keys(), 1_500, 1_501]);
    expect(heard.map((one) => one.gapBefore)).toEqual([...Array(before).fill(false), true, false]);
    const whole = heard.every((one) => one.bytes.every((byte) => byte === (one.sequence & 255)));
    expect(whole).toBe(true);
  });

  test("not even a replay larger than everything makes it grow beyond its bound", async () => {
    const { accepted } = await sleeper();
    const feed = await open("a");
    resources.defer(async () => void (await accepted).destroy());
    const replay = Array.from({ length: 100 }, (_, i) => unit(i, 400_000));
    feed.follow({ video: new FakeStream(replay), audio: null }, monotonicMs());
    expect(feed.counters.dropped).toBeGreaterThan(40);
    expect(feed.pendingBytes).toBeLessThanOrEqual(20 << 20);
  });
});
