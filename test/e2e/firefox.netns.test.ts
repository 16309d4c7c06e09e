// Debian's Firefox has no H.264 in WebRTC: it gets every camera as VP8, made by the hub.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "../harness/browser.ts";
import { namespaceAddress, openFirefox } from "../harness/firefox.ts";
import { openGst } from "../harness/gstreamer.ts";
import { cameraOf, type HubProcess, startHub, until } from "../harness/hub.ts";

const stack = new AsyncDisposableStack();
let hub: HubProcess;
let browser: Browser;

beforeAll(async () => {
  const gst = stack.use(await openGst("--matrix", "--width", "320", "--height", "240"));
  const source = (name: string): string => `rtsp://127.0.0.1:${gst.port}/${name}`;
  const webrtc = { addresses: ["127.0.0.1", namespaceAddress()], port: 0 };
  const cameras = { h264: source("h264-aac"), h265: source("h265-opus") };
  hub = stack.use(await startHub(cameras, undefined, { webrtc }));
  browser = stack.use(await openFirefox());
}, 120_000);
afterAll(() => stack.disposeAsync(), 30_000);

describe("Firefox", () => {
  test.each(["h264", "h265"])(
    "plays a camera that sends %s",
    async (name) => {
      await using watcher = await browser.watcher(hub.http);
      await watcher.join(name, name);
      const decoded = async (): Promise<number> =>
        (await watcher.counts(name))["framesDecoded"] ?? 0;
      await until("two seconds of pictures", async () => (await decoded()) > 50, 30_000);
      const heard = async (): Promise<number> =>
        (await watcher.sound(name))?.totalSamplesReceived ?? 0;
      await until("half a second of sound", async () => (await heard()) > 24_000, 15_000);
      const { video, transcoding } = await cameraOf(hub, name);
      expect(video?.codec).toBe(name);
      expect(transcoding.map(({ codec }) => codec)).toContain("vp8");
      expect(await watcher.leave(name)).toBe(200);
    },
    90_000,
  );
});
