// Python workers get the newest whole frame, the right one, decoded once for everyone.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { percentiles } from "../../bench/figures.ts";
import {
  CLIP_FRAMES,
  type FrameRecord,
  openCameras,
  type TestCameras,
} from "../harness/cameras.ts";
import { cameraOf, type HubProcess, startHub, until, untilState } from "../harness/hub.ts";
import { subscribe, type WorkerFrame } from "../harness/worker.ts";

/** Between two pictures of the camera. */
const FRAME_MS = 40;
/** What a loaded machine may take to wake a process, beyond what it took for the witness. */
const SPARE_MS = 20;

const stack = new AsyncDisposableStack();
let cameras: TestCameras;
let hub: HubProcess;

beforeAll(async () => {
  cameras = stack.use(await openCameras(2));
  hub = stack.use(await startHub(cameras.sources));
  await untilState(hub, "demo-1", "live", 10_000);
  await untilState(hub, "demo-2", "live", 10_000);
}, 200_000);
afterAll(() => stack.disposeAsync(), 30_000);

/** Every frame is the one that the camera wrote for its timestamp, and each is newer. */
function expectRightFrames(
  frames: readonly WorkerFrame[],
  log: ReadonlyMap<number, FrameRecord>,
): void {
  for (const [i, { frame, rtpTimestamp, seq, damaged, valid }] of frames.entries()) {
    expect({ frame, damaged, valid }).toEqual({
      frame: log.get(rtpTimestamp)?.frame ?? -1,
      damaged: false,
      valid: true,
    });
    const before = frames[i - 1];
    if (!before) continue;
    const step = (Number(frame) - Number(before.frame) + CLIP_FRAMES) % CLIP_FRAMES;
    expect(step).toBeWithin(1, CLIP_FRAMES / 2);
    expect(seq).toBeGreaterThan(before.seq);
  }
}

describe("frame bus", () => {
  test("two cameras in one worker: right frames, in order, all of them", async () => {
    await using worker = subscribe(hub.framebus, ["demo-1", "demo-2"]);
    await worker.next(15_000);
    await Bun.sleep(1_000);
    worker.clear();
    await Bun.sleep(3_000);
    const frames = worker.take();
    for (const camera of ["demo-1", "demo-2"]) {
      const own = frames.filter((frame) => frame.camera === camera);
      expect(own.length).toBeGreaterThan(60);
      expect(own[0]).toMatchObject({ width: 640, height: 360, capturedClock: "rtcp" });
      expectRightFrames(own, await cameras.framesByTimestamp(camera));
    }
    const ages = frames.map(({ ageMs }) => ageMs);
    console.log("age, ms:", percentiles(ages));
  }, 60_000);

  test("a worker that takes 200 ms per frame always gets one younger than 100 ms", async () => {
    await using worker = subscribe(hub.framebus, ["demo-1"], { sleep: 0.2 });
    // Tells how long this machine kept everyone waiting meanwhile.
    await using witness = subscribe(hub.framebus, ["demo-1"]);
    await worker.next(15_000);
    await witness.next(15_000);
    await Bun.sleep(500);
    worker.clear();
    witness.clear();
    await Bun.sleep(5_000);
    const frames = worker.take();
    expect(frames.length).toBeGreaterThan(15);
    expectRightFrames(frames, await cameras.framesByTimestamp("demo-1"));
    const ages = frames.map(({ ageMs }) => ageMs);
    console.log("age, ms:", percentiles(ages));
    const stalledMs = Math.max(...witness.take().map(({ ageMs }) => ageMs));
    expect(Math.max(...ages)).toBeLessThan(Math.max(100, stalledMs + FRAME_MS + SPARE_MS));
  }, 60_000);

  test("zero copy and another size: the same frames, decoded once", async () => {
    await using wide = subscribe(hub.framebus, ["demo-1"], { width: 1280, zeroCopy: true });
    await using plain = subscribe(hub.framebus, ["demo-1"]);
    const first = await wide.next(15_000);
    await plain.next(15_000);
    expect([first.width, first.height]).toEqual([1280, 720]);
    await until(
      "two subscribers",
      async () => (await cameraOf(hub, "demo-1")).subscribers === 2,
      5_000,
    );
    const before = await cameraOf(hub, "demo-1");
    const started = performance.now();
    await Bun.sleep(3_000);
    const after = await cameraOf(hub, "demo-1");
    const seconds = (performance.now() - started) / 1000;
    const decoded = (after.decode?.decoded ?? 0) - (before.decode?.decoded ?? 0);
    expect(decoded / seconds).toBeWithin(15, 35);
    const log = await cameras.framesByTimestamp("demo-1");
    for (const { frame, rtpTimestamp, valid } of wide.take()) {
      if (valid) expect(frame).toBe(log.get(rtpTimestamp)?.frame ?? -1);
    }
  }, 60_000);

  test("a camera that is stopped, started, removed and added: its worker has frames again", async () => {
    const api = (path: string, init: RequestInit) =>
      fetch(`${hub.http}/api/v1/cameras${path}`, init);
    await using worker = subscribe(hub.framebus, ["late", "demo-2"]);
    const untilFrameOf = async (camera: string): Promise<void> => {
      worker.clear();
      const deadline = performance.now() + 10_000;
      while ((await worker.next(deadline - performance.now())).camera !== camera) {
        // Of the other camera.
      }
    };
    await untilFrameOf("demo-2");
    await api("/demo-2/stop", { method: "POST" });
    await untilState(hub, "demo-2", "idle", 5_000);
    await api("/demo-2/start", { method: "POST" });
    await untilState(hub, "demo-2", "live", 10_000);
    await untilFrameOf("demo-2");
    // Subscribed to before it exists, and while it does not any more.
    const late = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: "late", source: cameras.sources["demo-1"] }),
    };
    for (let i = 0; i < 2; i++) {
      expect((await api("", late)).status).toBe(201);
      await untilFrameOf("late");
      expect((await api("/late", { method: "DELETE" })).status).toBe(204);
    }
  }, 90_000);

  test("decoding ends some seconds after the last worker, and one connection served all", async () => {
    await until("no decoding", async () => (await cameraOf(hub, "demo-1")).decode === null, 15_000);
    expect((await cameras.counted("demo-1")).connections).toBe(1);
  }, 30_000);
});
