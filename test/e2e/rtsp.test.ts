// The hub's RTSP server as it runs: cameras are read from it, and streams are sent to it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { freePort } from "../../src/process/ports.ts";
import { type Browser, openBrowser } from "../harness/browser.ts";
import { openCameras, type TestCameras } from "../harness/cameras.ts";
import { cameraOf, type HubProcess, startHub, until, untilState } from "../harness/hub.ts";
import { subscribe } from "../harness/worker.ts";

const PASSWORD = "p@ss:/#%word";
const PLAYER_MAX_MS = 30_000;

const stack = new AsyncDisposableStack();
let cameras: TestCameras;
let hub: HubProcess;
let browser: Browser;
let port = 0;

beforeAll(async () => {
  port = await freePort("tcp");
  cameras = stack.use(await openCameras(3, ["--size", "640x360", "--gop", "1"]));
  const source = (n: number): string => cameras.sources[`demo-${n}`] ?? "";
  const sources = {
    lobby: { source: source(1), sub: source(2) },
    door: { source: source(3), on_demand: true, linger_s: 0 },
    pushed: "publish://",
  };
  const rtsp = { port, users: { viewer: PASSWORD } };
  hub = stack.use(await startHub(sources, undefined, { rtsp }));
  browser = stack.use(await openBrowser());
  await untilState(hub, "lobby", "live", 10_000);
}, 120_000);
afterAll(() => stack.disposeAsync(), 30_000);

function address(path: string, password = PASSWORD): string {
  return `rtsp://viewer:${encodeURIComponent(password)}@127.0.0.1:${port}/${path}`;
}

/** Standard output and error of a program that ends by itself. */
async function run(...argv: string[]): Promise<string> {
  const child = Bun.spawn(argv, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: PLAYER_MAX_MS,
    killSignal: "SIGKILL",
  });
  const output = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return output.join("");
}

function probe(path: string, ...options: string[]): Promise<string> {
  const what = ["-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0"];
  return run("ffprobe", "-v", "error", ...options, ...what, "-i", path);
}

describe("the RTSP server of a hub", () => {
  test.each(["lobby", "lobby/sub", "door"])(
    "%s is read over TCP and UDP",
    async (path) => {
      for (const transport of ["tcp", "udp"]) {
        const said = await probe(address(path), "-rtsp_transport", transport);
        expect(said.trim()).toContain("h264,640,360");
      }
      expect((await cameras.counted("demo-1")).plays).toBe(1);
      const idle = async (): Promise<boolean> => (await cameraOf(hub, "door")).state === "idle";
      await until("nobody holds the camera on demand", idle, 10_000);
    },
    90_000,
  );

  test("a wrong password, an unknown camera and one that nobody sends are refused in words", async () => {
    expect(await probe(address("lobby", "wrong"))).toContain("401");
    expect(await probe(address("nothing"))).toContain("404");
    expect(await probe(address("pushed"))).toContain("503");
    expect(hub.log()).not.toContain(PASSWORD);
    expect(hub.log()).not.toContain(encodeURIComponent(PASSWORD));
  }, 60_000);

  test("what is sent to it plays in the browser and arrives in Python", async () => {
    const offered = await fetch(`${hub.http}/whep/pushed`, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: "v=0",
    });
    expect(await offered.text()).toContain("publish to the hub's RTSP server");
    const picture = "testsrc2=size=320x240:rate=25";
    const encoder = ["-c:v", "libx264", "-tune", "zerolatency", "-profile:v", "baseline"];
    const source = ["-re", "-f", "lavfi", "-i", picture, ...encoder, "-g", "25", "-b:v", "500k"];
    const target = ["-f", "rtsp", "-rtsp_transport", "tcp", address("pushed")];
    const sender = Bun.spawn(["ffmpeg", "-v", "error", ...source, ...target], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    try {
      await untilState(hub, "pushed", "live", 15_000);
      await using watcher = await browser.watcher(hub.http);
      await watcher.join("pushed", "pushed");
      const decoded = async (): Promise<number> =>
        (await watcher.counts("pushed"))["framesDecoded"] ?? 0;
      await until("a second of pictures", async () => (await decoded()) > 25, 15_000);
      await using worker = subscribe(hub.framebus, ["pushed"]);
      const frame = await worker.next(15_000);
      expect([frame.width, frame.height, frame.damaged]).toEqual([320, 240, false]);
    } finally {
      sender.kill("SIGKILL");
      await sender.exited;
    }
    const gone = async (): Promise<boolean> => (await cameraOf(hub, "pushed")).state !== "live";
    await until("its end is seen", gone, 10_000);
  }, 90_000);

  test("a camera that is stopped lets go of who sends it and who reads it; started, it is free", async () => {
    const push = (): Bun.Subprocess => {
      const picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-g", "25"];
      const target = ["-f", "rtsp", "-rtsp_transport", "tcp", address("pushed")];
      const argv = ["ffmpeg", "-v", "quiet", ...picture, "-c:v", "libx264", "-tune", "zerolatency"];
      return Bun.spawn([...argv, ...target], { stdio: ["ignore", "ignore", "ignore"] });
    };
    const api = async (id: string, what: string): Promise<void> => {
      const { status } = await fetch(`${hub.http}/api/v1/cameras/${id}/${what}`, {
        method: "POST",
      });
      expect(status).toBe(200);
    };
    const read = ["-rtsp_transport", "tcp", "-i", address("pushed"), "-f", "null", "-"];
    const first = push();
    let second: Bun.Subprocess | null = null;
    let reader: Bun.Subprocess | null = null;
    try {
      await untilState(hub, "pushed", "live", 15_000);
      reader = Bun.spawn(["ffmpeg", "-v", "quiet", ...read], {
        stdio: ["ignore", "ignore", "ignore"],
      });
      const reads = async (): Promise<boolean> =>
        /^onepull_rtsp_readers\{[^}]*pushed[^}]*\} 1$/m.test(
          await (await fetch(`${hub.http}/metrics`)).text(),
        );
      await until("it is read", reads, 15_000);
      await api("pushed", "stop");
      const ended = () => first.exitCode !== null && reader?.exitCode !== null;
      await until("both were told", ended, 10_000);
      await api("pushed", "start");
      second = push();
      await untilState(hub, "pushed", "live", 15_000);
    } finally {
      for (const child of [first, second, reader]) child?.kill("SIGKILL");
    }
  }, 90_000);
});
