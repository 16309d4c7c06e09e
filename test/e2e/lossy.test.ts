// A camera over UDP through a bad network: what is shown is right, and what is lost is over soon.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Browser, openBrowser } from "../harness/browser.ts";
import { openCameras, type TestCameras } from "../harness/cameras.ts";
import { cameraOf, type HubProcess, startHub, until, untilState } from "../harness/hub.ts";
import { type LossyLink, openLossyLink } from "../harness/lossy.ts";
import { subscribe, type WorkerFrame } from "../harness/worker.ts";

const CAMERA = "demo-1";
/** A picture is three packets, a keyframe fifteen: some of either come through whole. */
const OPTIONS = ["--size", "640x360", "--bitrate", "1000k", "--gop", "1"];
const BAD = { loss: 0.02, jitterMs: 30 };
const GOOD = { loss: 0, jitterMs: 0 };
const BAD_MS = 20_000;

const stack = new AsyncDisposableStack();
let cameras: TestCameras;
let link: LossyLink;
let hub: HubProcess;
let browser: Browser;

beforeAll(async () => {
  cameras = stack.use(await openCameras(1, OPTIONS));
  const source = cameras.sources[CAMERA] ?? "";
  const { hostname: host, port } = new URL(source.replace("rtsp:", "http:"));
  link = stack.use(await openLossyLink({ host, port: Number(port) }, { ...GOOD }, 3));
  const camera = { source: link.through(source), transport: "udp" };
  hub = stack.use(await startHub({ [CAMERA]: camera }));
  browser = stack.use(await openBrowser());
  await untilState(hub, CAMERA, "live", 10_000);
}, 200_000);
afterAll(() => stack.disposeAsync(), 30_000);

/** How many of them are not the picture that the camera wrote for their timestamp. */
async function wrongOf(frames: readonly WorkerFrame[]): Promise<number> {
  const log = await cameras.framesByTimestamp(CAMERA);
  return frames.filter(({ frame, rtpTimestamp, damaged, valid }) => {
    return !damaged && valid && frame !== (log.get(rtpTimestamp)?.frame ?? -1);
  }).length;
}

test("2 % loss, 30 ms jitter, packets out of order: no wrong picture, and it ends", async () => {
  await using worker = subscribe(hub.framebus, [CAMERA]);
  await using watcher = await browser.watcher(hub.http);
  await worker.next(15_000);
  await watcher.join("v", CAMERA);
  const before = (await cameraOf(hub, CAMERA)).counters;
  worker.clear();

  Object.assign(link.quality, BAD);
  await Bun.sleep(BAD_MS);
  const frames = worker.take();
  const after = (await cameraOf(hub, CAMERA)).counters;
  const damaged = after.damaged_frames - before.damaged_frames;
  const sent = after.frames - before.frames;
  console.log(`${frames.length} pictures of ${sent}, ${damaged} damaged;`, link.counters);
  expect(link.counters.lost).toBeGreaterThan(10);
  expect(link.counters.overtaken).toBeGreaterThan(100);
  expect(await wrongOf(frames)).toBe(0);
  expect(damaged).toBeGreaterThan(5);
  // What came out of order was put in order: the loss alone spoils half of the pictures.
  expect(frames.length).toBeGreaterThan(sent / 10);

  Object.assign(link.quality, GOOD);
  await until(
    "the viewer plays again",
    async () => {
      const { framesDecoded: from } = await watcher.counts("v");
      await Bun.sleep(1_000);
      const { framesDecoded: to } = await watcher.counts("v");
      return Number(to) - Number(from) >= 20;
    },
    10_000,
  );
  worker.clear();
  await Bun.sleep(2_000);
  const again = worker.take();
  expect(again.length).toBeGreaterThan(35);
  expect(await wrongOf(again)).toBe(0);
}, 120_000);
