// Every codec of video and audio over every transport: in Chromium, and in Python.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Browser, openBrowser } from "../harness/browser.ts";
import { openGst } from "../harness/gstreamer.ts";
import { cameraOf, type HubProcess, startHub, until } from "../harness/hub.ts";
import { subscribe } from "../harness/worker.ts";

const VIDEO = ["h264", "h265", "jpeg"] as const;
const AUDIO = ["none", "pcma", "aac", "opus"] as const;
const TRANSPORTS = ["tcp", "udp"] as const;
const EVERY = VIDEO.flatMap((video) =>
  AUDIO.flatMap((audio) => TRANSPORTS.map((transport) => [video, audio, transport] as const)),
);
/** And H.264 with B-frames, which browsers would show to and fro. */
const EACH = [...EVERY, ["h264b", "none", "tcp"], ["h264b", "aac", "udp"]] as const;
/** What the hub calls it, and what it makes of it for Chromium. */
const CODECS = { h264: "h264", h264b: "h264", h265: "h265", jpeg: "mjpeg" } as const;
const RENDITIONS = { h264: [], h264b: ["h264"], h265: ["h264"], jpeg: ["h264"] } as const;

const stack = new AsyncDisposableStack();
let hub: HubProcess;
let browser: Browser;

beforeAll(async () => {
  const size = ["--width", "320", "--height", "240"];
  const open = (transport: string) => openGst("--matrix", "--transport", transport, ...size);
  const servers = { tcp: stack.use(await open("tcp")), udp: stack.use(await open("udp")) };
  const cameras = EACH.map(([video, audio, transport]) => [
    `${video}-${audio}-${transport}`,
    {
      source: `rtsp://127.0.0.1:${servers[transport].port}/${video}-${audio}`,
      transport,
      // They encode for each other's CPU: one at a time.
      on_demand: true,
      linger_s: 1,
    },
  ]);
  hub = stack.use(await startHub(Object.fromEntries(cameras)));
  browser = stack.use(await openBrowser());
}, 60_000);
afterAll(() => stack.disposeAsync(), 30_000);

describe("a GStreamer camera", () => {
  test.each(EACH)(
    "%s with %s audio over %s",
    async (video, audio, transport) => {
      const name = `${video}-${audio}-${transport}`;
      await using watcher = await browser.watcher(hub.http);
      await watcher.join(name, name);
      const counts = () => watcher.counts(name);
      await until(
        "a second of pictures",
        async () => ((await counts())["framesDecoded"] ?? 0) > 25,
        15_000,
      );
      if (audio !== "none") {
        const heard = async (): Promise<number> => {
          const sound = await watcher.sound(name);
          return sound ? sound.totalSamplesReceived - sound.concealedSamples : 0;
        };
        await until("half a second of sound", async () => (await heard()) > 24_000, 10_000);
      }
      // Figures come once a second.
      const told = async (): Promise<boolean> => {
        const { transcoding } = await cameraOf(hub, name);
        return transcoding.length > 0 || (video === "h264" && audio !== "aac");
      };
      await until("what is transcoded is told", told, 5_000);
      const camera = await cameraOf(hub, name);
      expect(camera).toMatchObject({
        state: "live",
        puller: "native",
        transport_in_use: transport,
        video: { codec: CODECS[video], width: 320, height: 240 },
        audio: audio === "none" ? null : { codec: audio },
      });
      const made = camera.transcoding.map(({ codec }) => codec).sort();
      expect(made).toEqual([...RENDITIONS[video], ...(audio === "aac" ? ["opus"] : [])]);
      await using worker = subscribe(hub.framebus, [name]);
      const frame = await worker.next(15_000);
      expect([frame.width, frame.height, frame.damaged]).toEqual([320, 240, false]);
      expect(await watcher.leave(name)).toBe(200);
    },
    60_000,
  );
});
