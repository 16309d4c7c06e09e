// A camera's streams: shared by cameras of one source, the smaller one for tiles and workers, and
// pulled on demand.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { percentiles } from "../../bench/figures.ts";
import { inQuiet } from "../harness/attempts.ts";
import { type Browser, openBrowser } from "../harness/browser.ts";
import { openCameras, type TestCameras } from "../harness/cameras.ts";
import { cameraOf, type HubProcess, startHub, until, untilState } from "../harness/hub.ts";
import { subscribe } from "../harness/worker.ts";

/** A synthetic camera's start-up: its next keyframe. */
const START_MS = 200;

const stack = new AsyncDisposableStack();
let cameras: TestCameras;
let hub: HubProcess;
let browser: Browser;

beforeAll(async () => {
  cameras = stack.use(await openCameras(4, ["--size", "640x360"]));
  const quick = stack.use(
    await openCameras(1, ["--size", "640x360", "--gop", `${START_MS / 1000}`]),
  );
  const source = (n: number): string => cameras.sources[`demo-${n}`] ?? "";
  hub = stack.use(
    await startHub({
      lobby: { source: source(1), sub: source(2), linger_s: 1 },
      twin: { source: source(1) },
      door: { source: source(3), on_demand: true, linger_s: 0 },
      ready: { source: source(4), on_demand: true, preload: true },
      cold: { source: quick.sources["demo-1"] ?? "", on_demand: true, linger_s: 1 },
    }),
  );
  browser = stack.use(await openBrowser());
  for (const name of ["lobby", "twin", "ready"]) await untilState(hub, name, "live", 10_000);
}, 200_000);
afterAll(() => stack.disposeAsync(), 30_000);

describe("streams of a camera", () => {
  test("two cameras of one source share one connection, and say so", async () => {
    expect((await cameras.counted("demo-1")).plays).toBe(1);
    expect((await cameraOf(hub, "lobby")).shared_with).toEqual(["twin"]);
    expect((await cameraOf(hub, "twin")).shared_with).toEqual(["lobby"]);
    await fetch(`${hub.http}/api/v1/cameras/lobby/stop`, { method: "POST" });
    expect((await cameraOf(hub, "twin")).shared_with).toEqual([]);
    await fetch(`${hub.http}/api/v1/cameras/lobby/start`, { method: "POST" });
    await untilState(hub, "lobby", "live", 5_000);
    expect((await cameraOf(hub, "twin")).state).toBe("live");
    expect((await cameras.counted("demo-1")).plays).toBe(1);
  }, 30_000);

  test("tiles and workers get the smaller stream, others the large one", async () => {
    expect((await cameraOf(hub, "lobby")).sub?.state).toBe("idle");
    expect((await cameras.counted("demo-2")).plays).toBe(0);
    await using watcher = await browser.watcher(hub.http);
    await watcher.join("tile", "lobby", "?stream=sub");
    await watcher.join("full", "lobby");
    // What is seen is told apart by when the cameras wrote it.
    for (const [name, camera] of [
      ["tile", "demo-2"],
      ["full", "demo-1"],
    ] as const) {
      await watcher.record(name);
      const log = new Set<number>();
      const seen = async (): Promise<boolean> => {
        for (const at of (await cameras.framesByTimestamp(camera)).keys()) log.add(at);
        return (await watcher.taken(name)).some(({ rtpTimestamp }) => log.has(rtpTimestamp));
      };
      await until(`${name} shows ${camera}`, seen, 10_000);
      expect(await watcher.leave(name)).toBe(200);
    }
    await using worker = subscribe(hub.framebus, ["lobby"]);
    const frame = await worker.next(10_000);
    const written = await cameras.framesByTimestamp("demo-2");
    expect(written.get(frame.rtpTimestamp)?.frame).toBe(frame.frame as number);
    expect((await cameras.counted("demo-2")).connections).toBe(1);
  }, 60_000);

  test("on demand: nothing is pulled until somebody comes, and nothing after the last has gone", async () => {
    expect((await cameraOf(hub, "door")).state).toBe("idle");
    expect((await cameras.counted("demo-3")).plays).toBe(0);
    {
      await using watcher = await browser.watcher(hub.http);
      await watcher.join("guest", "door");
      expect((await cameraOf(hub, "door")).state).toBe("live");
      expect(await watcher.leave("guest")).toBe(200);
      await untilState(hub, "door", "idle", 5_000);
      const gone = async (): Promise<boolean> =>
        (await cameras.counted("demo-3")).connections === 0;
      await until("the camera was left", gone, 5_000);
    }
    await using worker = subscribe(hub.framebus, ["door"]);
    await worker.next(10_000);
    expect((await cameraOf(hub, "door")).state).toBe("live");
  }, 60_000);

  test("preload keeps a camera on demand pulled", async () => {
    expect(await cameraOf(hub, "ready")).toMatchObject({ on_demand: true, state: "live" });
    expect((await cameras.counted("demo-4")).connections).toBe(1);
  });

  test("first picture from cold: the camera's own start and at most 200 ms", async () => {
    await using watcher = await browser.watcher(hub.http);
    await watcher.join("warm-up", "twin");
    await inQuiet(async () => {
      const cold: number[] = [];
      const warm: number[] = [];
      for (let i = 0; i < 5; i++) {
        await untilState(hub, "cold", "idle", 10_000);
        cold.push(await watcher.join(`cold-${i}`, "cold"));
        warm.push(await watcher.join(`warm-${i}`, "cold"));
        for (const name of [`cold-${i}`, `warm-${i}`]) await watcher.leave(name);
      }
      console.log("first picture, ms:", { cold: percentiles(cold), warm: percentiles(warm) });
      expect(percentiles(cold).p50 - percentiles(warm).p50).toBeLessThanOrEqual(START_MS + 200);
    });
  }, 120_000);
});
