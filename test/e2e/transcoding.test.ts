// Viewers whose browser does not take the camera's codec: one process for all of them, which may be
// killed at any time, ends when its owner does, and is no concern of other viewers.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { type Chromium, openBrowser } from "../harness/browser.ts";
import { openCameras, type TestCameras } from "../harness/cameras.ts";
import { openGst } from "../harness/gstreamer.ts";
import { type HubProcess, pidOf, startHub, until, untilState } from "../harness/hub.ts";
import { alive, family, familyNamed } from "../harness/processes.ts";
import { untilPictures, watchTile } from "../harness/tile.ts";

const stack = new AsyncDisposableStack();
let hub: HubProcess;
let browser: Chromium;
let plain: TestCameras;

beforeAll(async () => {
  const size = ["--width", "320", "--height", "240"];
  const gst = stack.use(await openGst("--matrix", "--transport", "tcp", ...size));
  plain = stack.use(await openCameras(1));
  const h265 = `rtsp://127.0.0.1:${gst.port}/h265-aac`;
  const sound = `rtsp://127.0.0.1:${gst.port}/h264-aac`;
  const cameras = {
    ...plain.sources,
    h265,
    sound: { source: sound, on_demand: true, linger_s: 0 },
  };
  hub = stack.use(await startHub(cameras, undefined, { transcode: { cameras_max: 1 } }));
  browser = stack.use(await openBrowser());
  await untilState(hub, "h265", "live", 15_000);
}, 120_000);
afterAll(() => stack.disposeAsync(), 30_000);

const transcoders = (): number[] => familyNamed(hub.process.pid, "transcode-h265");

/** The one process that transcodes its pictures. */
async function transcoder(): Promise<number> {
  await until("one process transcodes", () => transcoders().length === 1, 10_000);
  return transcoders()[0] ?? -1;
}

describe("a transcoded camera", () => {
  test("three viewers share one process", async () => {
    const watchers = await Promise.all([1, 2, 3].map(() => browser.watcher(hub.http)));
    for (const watcher of watchers) await watcher.join("v", "h265");
    await transcoder();
    for (const watcher of watchers) {
      const decoded = async () => (await watcher.counts("v"))["framesDecoded"] ?? 0;
      const before = await decoded();
      await until("a second of pictures", async () => (await decoded()) - before > 25, 10_000);
    }
    expect(transcoders().length).toBe(1);
    for (const watcher of watchers) {
      expect(await watcher.leave("v")).toBe(200);
      await watcher[Symbol.asyncDispose]();
    }
  }, 60_000);

  test("sound alone takes no picture's place", async () => {
    await using watcher = await browser.watcher(hub.http);
    await watcher.join("heard", "sound");
    const heard = async () => (await watcher.sound("heard"))?.packetsReceived ?? 0;
    await until("there is sound", async () => (await heard()) > 25, 10_000);
    await watcher.join("v", "h265");
    expect(familyNamed(hub.process.pid, "transcode-").length).toBe(2);
    expect([await watcher.leave("v"), await watcher.leave("heard")]).toEqual([200, 200]);
  }, 60_000);

  test("its process killed: the page plays again by itself, others notice nothing", async () => {
    await using other = await browser.watcher(hub.http);
    await other.join("v", "demo-1");
    const page = await browser.context.newPage();
    await page.goto(hub.http);
    await watchTile(page, "h265");
    await untilPictures(page, 10, 15_000);
    const before = await other.counts("v");
    const pid = await transcoder();
    process.kill(pid, "SIGKILL");
    await Bun.sleep(300);
    const seconds = (300 + (await untilPictures(page, 10, 6_700))) / 1000;
    console.log(`ten pictures again after ${seconds.toFixed(1)} s`);
    expect(await transcoder()).not.toBe(pid);
    const after = await other.counts("v");
    expect(after["packetsLost"]).toBe(before["packetsLost"] ?? 0);
    await page.close();
  }, 60_000);

  test("media killed: its transcoding process ends, and the page plays again by itself", async () => {
    const page = await browser.context.newPage();
    await page.goto(hub.http);
    await watchTile(page, "h265");
    await untilPictures(page, 10, 15_000);
    const pid = await transcoder();
    process.kill(await pidOf(hub, "media"), "SIGKILL");
    await until("the process ended", () => !alive(pid), 3_000);
    const seconds = (await untilPictures(page, 10, 15_000)) / 1000;
    console.log(`ten pictures again ${seconds.toFixed(1)} s after that`);
    await page.close();
  }, 60_000);

  test("SIGTERM: within 3 s, nothing left", async () => {
    await using watcher = await browser.watcher(hub.http);
    await watcher.join("v", "h265");
    await transcoder();
    const everyone = family(hub.process.pid);
    const started = performance.now();
    hub.process.kill("SIGTERM");
    expect(await hub.process.exited).toBe(0);
    expect(performance.now() - started).toBeLessThan(3_000);
    expect(everyone.filter(alive)).toEqual([]);
    expect([existsSync(hub.shmDir), existsSync(hub.runtimeDir)]).toEqual([false, false]);
  }, 60_000);
});
