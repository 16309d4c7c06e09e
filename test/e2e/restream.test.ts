// The hub as an RTSP server, to real players and a real publisher: pictures carry their numbers.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Secret } from "../../src/core/secret.ts";
import { Pull } from "../../src/ingest/ingest.ts";
import { Restream } from "../../src/restream/restream.ts";
import type { CameraState } from "../../src/stream/camera-state.ts";
import { Stream } from "../../src/stream/stream.ts";
import { readFrameNumber } from "../../src/synthetic/pattern.ts";
import { SyntheticCameras } from "../../src/synthetic/synthetic.ts";
import { Log } from "../../src/telemetry/log.ts";
import { until } from "../harness/hub.ts";

const SIZE = { width: 640, height: 360 };
const PICTURE_BYTES = SIZE.width * SIZE.height;
/** More than a group of pictures. */
const PICTURES = 60;
/** Frames of the looped clip. */
const CLIP_FRAMES = 250;
const PLAYER_MAX_MS = 30_000;
const LOGIN = { user: "viewer", password: "p@ss:/#%word" };
const PYTHON = join(import.meta.dir, "../python");

const log = new Log({ level: "warn", format: "text" }, {});
const stack = new AsyncDisposableStack();
const pushed = new Stream();
const states: CameraState[] = [];
let cameras: SyntheticCameras;
let restream: Restream;
let leases = 0;

beforeAll(async () => {
  cameras = stack.use(
    await SyntheticCameras.open({ ...SIZE, bitrate: 1_000_000 }, new AbortController().signal),
  );
  const stream = new Stream();
  const pull = stack.use(
    new Pull({
      camera: "lobby",
      source: new Secret(cameras.url(0)),
      transport: "tcp",
      stream,
      onState: () => {},
      random: Math.random,
      log,
    }),
  );
  pull.start();
  const streams = new Map([
    ["lobby", stream],
    ["lobby/sub", stream],
    ["pushed", pushed],
  ]);
  restream = stack.use(
    await Restream.open({
      address: "127.0.0.1",
      port: 0,
      acquire: async ({ path }) => {
        const found = streams.get(path);
        if (found === undefined) return null;
        leases++;
        return { stream: found, release: () => void leases-- };
      },
      publish: ({ path }) => {
        if (path !== "pushed") return null;
        const over = new AbortController().signal;
        return { stream: pushed, over, onState: (state) => states.push(state) };
      },
      authorize: [{ user: LOGIN.user, password: new Secret(LOGIN.password) }],
      log,
    }),
  );
}, 60_000);
afterAll(() => stack.disposeAsync(), 30_000);

function address(path: string, password = LOGIN.password): string {
  const login = `${LOGIN.user}:${encodeURIComponent(password)}`;
  return `rtsp://${login}@127.0.0.1:${restream.port}/${path}`;
}

/** Runs a player to its end, for as long as it may take. */
async function run(argv: readonly string[]): Promise<{ output: Buffer; errors: string }> {
  const child = Bun.spawn([...argv], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: PLAYER_MAX_MS,
    killSignal: "SIGKILL",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).arrayBuffer(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { output: Buffer.from(output), errors };
}

async function ended(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
}

/** What ffprobe says. */
interface Probed {
  readonly streams: readonly { readonly codec_name: string; readonly start_time: string }[];
  readonly packets: readonly { readonly stream_index: number }[];
}

/** The numbers in pictures of one byte per pixel, one behind another. */
function numbersIn(luma: Uint8Array): (number | null)[] {
  return Array.from({ length: Math.floor(luma.length / PICTURE_BYTES) }, (_, i) => {
    const picture = luma.subarray(i * PICTURE_BYTES, (i + 1) * PICTURE_BYTES);
    return readFrameNumber(picture, SIZE.width, SIZE.height, SIZE.width, 1);
  });
}

/** Nothing is missing, doubled or unreadable, and the clip goes round. */
function expectConsecutive(numbers: readonly (number | null)[], count: number): void {
  const first = numbers[0] ?? 0;
  const expected = Array.from({ length: numbers.length }, (_, i) => (first + i) % CLIP_FRAMES);
  expect(numbers).toEqual(expected);
  expect(numbers.length).toBeGreaterThanOrEqual(count);
}

function ffmpeg(transport: string, url: string, count: number): string[] {
  const input = ["-rtsp_transport", transport, "-i", url];
  const output = ["-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"];
  return ["ffmpeg", "-v", "error", ...input, "-frames:v", String(count), ...output];
}

describe("codecs: pushed, and read back with their sound", () => {
  const cases: [name: string, codecs: string, video: string, audio: string][] = [
    ["H.264 and AAC", "-c:v libx264 -tune zerolatency -g 25 -c:a aac", "h264", "aac"],
    ["H.265 and Opus", "-c:v libx265 -tune zerolatency -g 25 -c:a libopus", "hevc", "opus"],
    [
      "MJPEG and G.711",
      "-c:v mjpeg -huffman default -c:a pcm_alaw -ar 8000 -ac 1",
      "mjpeg",
      "pcm_alaw",
    ],
  ];
  test.each(cases)(
    "%s",
    async (_name, codecs, video, audio) => {
      states.length = 0;
      const url = address("pushed");
      const publisher = Bun.spawn(
        [
          ...["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=320x184:rate=25"],
          ...["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-pix_fmt", "yuvj420p"],
          ...[...codecs.split(" "), "-f", "rtsp", "-rtsp_transport", "tcp", url],
        ],
        { stdio: ["pipe", "ignore", "ignore"], timeout: PLAYER_MAX_MS, killSignal: "SIGKILL" },
      );
      await using _end = { [Symbol.asyncDispose]: () => ended(publisher) };
      await until("the pushed stream is live", () => states.at(-1)?.at === "live", 15_000);
      // Sound and picture have reported the time by then.
      await Bun.sleep(500);
      const shown = [
        "-show_entries",
        "stream=codec_name,start_time",
        "-show_entries",
        "packet=stream_index",
      ];
      const probe = ["ffprobe", "-v", "error", "-of", "json", ...shown, "-read_intervals", "%+2"];
      const { output } = await run([...probe, url]);
      const { streams, packets } = JSON.parse(output.toString()) as Probed;
      expect(streams.map(({ codec_name }) => codec_name)).toEqual([video, audio]);
      const [picture = 0, sound = 0] = streams.map(({ start_time }) => Number(start_time));
      expect(Math.abs(picture - sound)).toBeLessThan(0.2);
      const count = (index: number): number =>
        packets.filter(({ stream_index }) => stream_index === index).length;
      expect(count(0)).toBeGreaterThan(40);
      expect(count(1)).toBeGreaterThan(40);
      publisher.stdin.write("q");
      publisher.stdin.end();
      expect(await publisher.exited).toBe(0);
      await until("the hub knows of the end", () => states.at(-1)?.at === "ended", 5_000);
    },
    60_000,
  );
});

describe.each(["tcp", "udp"] as const)("players over %s", (transport) => {
  test("ffprobe and ffmpeg, with Digest", async () => {
    const url = address("lobby");
    const probe = ["ffprobe", "-v", "error", "-rtsp_transport", transport, "-of", "json"];
    const { output } = await run([...probe, "-show_streams", url]);
    expect(JSON.parse(output.toString())).toMatchObject({
      streams: [{ codec_name: "h264", ...SIZE, avg_frame_rate: "25/1" }],
    });
    const decoded = await run(ffmpeg(transport, url, PICTURES));
    expect(decoded.errors).toBe("");
    expectConsecutive(numbersIn(decoded.output), PICTURES);
  }, 60_000);

  test("GStreamer", async () => {
    const source = ["rtspsrc", `location=rtsp://127.0.0.1:${restream.port}/lobby/sub`];
    const login = [`user-id=${LOGIN.user}`, `user-pw=${LOGIN.password}`];
    const decode = "rtph264depay ! avdec_h264 ! videoconvert ! video/x-raw,format=GRAY8";
    const { output, errors } = await run([
      ...["gst-launch-1.0", "-q", ...source, ...login, `protocols=${transport}`, "!"],
      ...decode.split(" "),
      ...["!", "identity", `eos-after=${PICTURES + 1}`, "!", "fdsink", "fd=1"],
    ]);
    expect(errors).toBe("");
    expectConsecutive(numbersIn(output), PICTURES);
  }, 60_000);

  test("OpenCV", async () => {
    const script = join(PYTHON, "opencv-player.py");
    const argv = ["/usr/bin/python3", script, address("lobby"), transport, String(PICTURES)];
    const { output } = await run(argv);
    expectConsecutive(JSON.parse(output.toString()) as number[], PICTURES);
  }, 60_000);

  test("ffmpeg pushes a stream to the hub; it is read back while it comes", async () => {
    states.length = 0;
    const publisher = Bun.spawn(
      [
        ...["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", cameras.url(0)],
        ...["-c", "copy", "-f", "rtsp", "-rtsp_transport", transport, address("pushed")],
      ],
      { stdio: ["pipe", "ignore", "ignore"], timeout: PLAYER_MAX_MS * 2, killSignal: "SIGKILL" },
    );
    await using _end = { [Symbol.asyncDispose]: () => ended(publisher) };
    await until("the pushed stream is live", () => states.at(-1)?.at === "live", 15_000);
    const { output } = await run(ffmpeg(transport, address("pushed"), PICTURES));
    expectConsecutive(numbersIn(output), PICTURES);

    const input = ["-f", "lavfi", "-i", "testsrc=size=320x180:rate=25", "-c:v", "libx264"];
    const second = ["ffmpeg", "-v", "error", ...input, "-f", "rtsp", address("pushed")];
    expect((await run(second)).errors).toContain("403 Somebody Else Publishes Here");

    publisher.stdin.write("q");
    publisher.stdin.end();
    expect(await publisher.exited).toBe(0);
    await until("the hub knows of the end", () => states.at(-1)?.at === "ended", 5_000);
    expect(states.map(({ at }) => at)).toEqual(["connecting", "live", "ended"]);
  }, 90_000);
});

test("no camera, wrong password: players are told", async () => {
  const none = await run(ffmpeg("tcp", address("garage"), 1));
  expect(none.errors).toContain("404 Not Found");
  const wrong = await run(ffmpeg("tcp", address("lobby", "guess"), 1));
  expect(wrong.errors).toContain("401 Unauthorized");
}, 60_000);

test("a player that is killed is gone; whatever read, the camera was pulled once", async () => {
  const player = Bun.spawn(ffmpeg("udp", address("lobby"), 1_000), {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const readers = (): number =>
    restream.stats().read.find(({ path }) => path === "lobby")?.readers ?? 0;
  await until("it plays", () => readers() === 1, 15_000);
  player.kill("SIGKILL");
  await until("it is gone", () => readers() === 0 && leases === 0, 5_000);
  // The pushes of the tests above read the camera too, each for itself.
  expect(cameras.stats().cameras[0]).toMatchObject({ connections: 1, playing: 1, plays: 3 });
  expect(restream.stats()).toMatchObject({ bugs: 0, refused: 0, stalled: 0, published: [] });
}, 30_000);
