// Killing parts: whoever does not depend on them notices nothing, everyone else is back by itself.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { freePort } from "../../src/process/ports.ts";
import { inQuiet } from "../harness/attempts.ts";
import { type Chromium, openBrowser } from "../harness/browser.ts";
import { openCameras, type TestCameras } from "../harness/cameras.ts";
import { type HubProcess, pidOf, startHub, untilState } from "../harness/hub.ts";
import { untilPictures, watchTile } from "../harness/tile.ts";
import { subscribe } from "../harness/worker.ts";

const stack = new AsyncDisposableStack();
let cameras: TestCameras;
let hub: HubProcess;
let browser: Chromium;
let port = 0;

beforeAll(async () => {
  port = await freePort("tcp");
  cameras = await openCameras(2, ["--port", String(port)]);
  hub = stack.use(await startHub(cameras.sources));
  browser = stack.use(await openBrowser());
  await untilState(hub, "demo-1", "live", 10_000);
  await untilState(hub, "demo-2", "live", 10_000);
}, 200_000);
afterAll(async () => {
  await stack.disposeAsync();
  await cameras[Symbol.asyncDispose]();
});

describe("recovery", () => {
  test("decode killed: viewers notice nothing, workers have frames within 3 s", async () => {
    await using worker = subscribe(hub.framebus, ["demo-1"]);
    await using watcher = await browser.watcher(hub.http);
    await worker.next(15_000);
    await watcher.join("v", "demo-1");
    await Bun.sleep(1_500);
    await inQuiet(async () => {
      const before = await watcher.counts("v");
      const started = performance.now();
      process.kill(await pidOf(hub, "decode-0"), "SIGKILL");
      const killed = Date.now();
      let decoded = 0;
      // Frames of the dead process may still be on their way.
      while (decoded < killed + 20) {
        const { haveUnixMs, sinceDecodedMs } = await worker.next(10_000);
        decoded = haveUnixMs - sinceDecodedMs;
      }
      console.log(`frames again after ${(decoded - killed).toFixed(0)} ms`);
      await Bun.sleep(Math.max(0, started + 3_000 - performance.now()));
      const seconds = (performance.now() - started) / 1000;
      const after = await watcher.counts("v");
      expect(after["packetsLost"]).toBe(0);
      expect(decoded - killed).toBeLessThan(3_000);
      expect((after["framesDecoded"]! - before["framesDecoded"]!) / seconds).toBeWithin(23, 27);
      expect(after["freezeCount"]! - before["freezeCount"]!).toBe(0);
    });
  }, 90_000);

  test("media killed: the page plays again by itself within 5 s, workers too", async () => {
    await using worker = subscribe(hub.framebus, ["demo-2"]);
    await worker.next(15_000);
    const page = await browser.context.newPage();
    await page.goto(hub.http);
    await watchTile(page, "demo-1");
    await untilPictures(page, 10, 10_000);
    process.kill(await pidOf(hub, "media"), "SIGKILL");
    // What was on its way when the process died is not counted as a recovery.
    await Bun.sleep(300);
    worker.clear();
    const seconds = (300 + (await untilPictures(page, 10, 4_700))) / 1000;
    console.log(`ten pictures again after ${seconds.toFixed(1)} s`);
    await worker.next(5_000);
    await page.close();
  }, 60_000);

  test("cameras away for 10 s: reconnecting, then live within 3 s of their return", async () => {
    const page = await browser.context.newPage();
    await page.goto(hub.http);
    await watchTile(page, "demo-1");
    await untilPictures(page, 10, 10_000);
    process.kill(cameras.pid, "SIGKILL");
    const gone = performance.now();
    const { cause } = await untilState(hub, "demo-1", "reconnecting", 3_000);
    expect(cause?.message).toContain(`127.0.0.1:${port}`);
    await page.waitForSelector("[data-camera=demo-1][data-state=reconnecting]", { timeout: 3_000 });
    await Bun.sleep(10_000 - (performance.now() - gone));
    cameras = await openCameras(2, ["--port", String(port)]);
    const back = performance.now();
    await untilState(hub, "demo-1", "live", 3_000);
    await untilState(hub, "demo-2", "live", 3_000 - (performance.now() - back));
    console.log(`live ${(performance.now() - back).toFixed(0)} ms after the cameras' return`);
    await untilPictures(page, 10, 5_000);
    await page.close();
  }, 90_000);
});
