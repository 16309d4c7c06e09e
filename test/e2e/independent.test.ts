// A camera that is not ours: GStreamer's RTSP server, with Digest and an awkward password.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Browser, openBrowser } from "../harness/browser.ts";
import { openGst } from "../harness/gstreamer.ts";
import { startHub, until, untilState } from "../harness/hub.ts";
import { subscribe } from "../harness/worker.ts";

const PASSWORD = "p@ss:/#%word";

const stack = new AsyncDisposableStack();
let browser: Browser;
beforeAll(async () => {
  browser = stack.use(await openBrowser());
}, 60_000);
afterAll(() => stack.disposeAsync(), 30_000);

describe("GStreamer's RTSP server", () => {
  test.each([
    ["tcp", "digest", "high"],
    ["udp", "digest", "main"],
    ["tcp", "basic", "baseline"],
  ] as const)(
    "over %s with %s, %s profile: in the browser and in Python",
    async (transport, auth, profile) => {
      const login = ["--user", "admin", "--password", PASSWORD, "--auth", auth];
      await using camera = await openGst("--transport", transport, "--profile", profile, ...login);
      const source = `rtsp://admin:${encodeURIComponent(PASSWORD)}@127.0.0.1:${camera.port}/cam`;
      await using hub = await startHub({ gst: { source, transport } });
      const { cause } = await untilState(hub, "gst", "live", 10_000);
      expect(cause).toBeNull();

      await using watcher = await browser.watcher(hub.http);
      await watcher.join("gst", "gst");
      const decoded = async (): Promise<number> =>
        (await watcher.counts("gst"))["framesDecoded"] ?? 0;
      await until("two seconds of pictures", async () => (await decoded()) > 50, 15_000);

      await using worker = subscribe(hub.framebus, ["gst"]);
      const frame = await worker.next(15_000);
      expect([frame.width, frame.height, frame.damaged]).toEqual([640, 360, false]);
      expect(hub.log()).not.toContain(PASSWORD);
      expect(hub.log()).not.toContain(encodeURIComponent(PASSWORD));
    },
    60_000,
  );
});
