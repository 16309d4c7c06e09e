// Sources that only libav can read, each from a server of its kind.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ticksBetween } from "../../src/core/units.ts";
import { type AvUnit, readSource } from "../../src/ingest/av-reader.ts";
import { monotonicMs } from "../../src/native/clock.ts";
import { nalUnits } from "../../src/rtp/annex-b.ts";
import type { TrackFormat } from "../../src/rtp/track-format.ts";
import { avSource } from "../../src/source/av-source.ts";
import type { TrackKind } from "../../src/stream/unit-wire.ts";
import { CLIP_PICTURES, convert, makeClip, makePlaylist, send } from "../harness/media-server.ts";

let folder = "";
let clip = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sources-"));
  clip = makeClip(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

interface Heard {
  readonly kind: TrackKind;
  readonly bytes: Uint8Array;
  readonly timestamp: number;
  readonly gapBefore: boolean;
  readonly at: number;
}

/** Reads until there are so many units of video; tries again while the server is not up yet. */
async function read(source: string, pictures = 40) {
  const deadline = AbortSignal.timeout(20_000);
  for (;;) {
    try {
      return await readOnce(source, pictures, deadline);
    } catch (thrown) {
      if (deadline.aborted || !String(thrown).includes("refuses")) throw thrown;
      await Bun.sleep(50);
    }
  }
}

async function readOnce(source: string, pictures: number, deadline: AbortSignal) {
  const enough = new AbortController();
  const units: Heard[] = [];
  let formats: readonly TrackFormat[] = [];
  let seen = 0;
  const take = (kind: TrackKind, { b, start, end, timestamp, gapBefore }: AvUnit): void => {
    units.push({ kind, bytes: b.slice(start, end), timestamp, gapBefore, at: monotonicMs() });
    if (kind === "video" && ++seen === pictures) enough.abort();
  };
  const described = (of: readonly TrackFormat[]): void => {
    formats = of;
  };
  const receiver = { described, unit: take };
  const tls = { verify: true, fingerprint: null, authorities: null };
  const settings = { transport: "auto", timeoutMs: 5_000, tls } as const;
  const signal = AbortSignal.any([enough.signal, deadline]);
  await readSource(avSource(source, settings), receiver, signal);
  const of = (kind: TrackKind) => units.filter((unit) => unit.kind === kind);
  return { formats, video: of("video"), audio: of("audio") };
}

type Result = Awaited<ReturnType<typeof read>>;

/** H.264 with two B-frames in a row, and AAC, as the clip has them. */
function expectClip({ formats, video, audio }: Result): void {
  expect(formats.map(({ codec }) => codec)).toEqual(["h264", "aac"]);
  const types = video.map(({ bytes }) => nalUnits(bytes).map((nal) => (nal[0] ?? 0) & 0x1f));
  // Each unit is one picture, and keyframes bring their parameter sets.
  for (const of of types) expect(of.filter((type) => type === 1 || type === 5).length).toBe(1);
  const keyframes = types.filter((of) => of.includes(5));
  expect(keyframes.length).toBeGreaterThan(0);
  for (const of of keyframes) expect(of).toContain(7);
  expectPictureTimes(video);
  expectSound(audio);
}

/** In the order of decoding, so that B-frames lie behind what they refer to. */
function expectPictureTimes(video: readonly Heard[]): void {
  const steps = video.slice(1).map((unit, i) => ticksBetween(unit.timestamp, video[i]!.timestamp));
  expect(steps.some((step) => step < 0)).toBe(true);
  const shown = video.map(({ timestamp }) => timestamp).sort((a, b) => ticksBetween(a, b));
  const apart = shown.slice(1).map((timestamp, i) => ticksBetween(timestamp, shown[i]!));
  // Containers that count in milliseconds are off by one of them; the last pictures lack B-frames.
  const regular = apart.filter((step) => Math.abs(step - 3_600) <= 90);
  expect(regular.length).toBeGreaterThanOrEqual(apart.length - 4);
}

function expectSound(audio: readonly Heard[]): void {
  expect(audio.length).toBeGreaterThan(20);
  for (const { bytes } of audio) expect([bytes[0], bytes[1]]).not.toEqual([0xff, 0xf1]);
  const steps = audio.slice(1).map((unit, i) => ticksBetween(unit.timestamp, audio[i]!.timestamp));
  expect(steps.filter((step) => step !== 1_024).length).toBeLessThanOrEqual(2);
}

/** Serves what ffmpeg writes to its standard output, to each client from a process of its own. */
function serve(contentType: string, output: readonly string[]): string {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: (request) => {
      const path = new URL(request.url).pathname;
      if (path === "/forbidden") return new Response("", { status: 403 });
      if (path !== "/live") return new Response("", { status: 404 });
      const { authorization } = Object.fromEntries(request.headers);
      if (authorization !== `Basic ${btoa("admin:p@ss")}`) {
        const headers = { "WWW-Authenticate": 'Basic realm="camera"' };
        return new Response("", { status: 401, headers });
      }
      return new Response(owned(send(clip, [...output, "-"])).stdout, {
        headers: { "Content-Type": contentType },
      });
    },
  });
  stack.defer(() => server.stop(true));
  return `http://admin:p%40ss@127.0.0.1:${server.port}/live`;
}

function owned<T extends Bun.Subprocess>(child: T): T {
  stack.defer(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  return child;
}

/** MPEG-TS without the packet of this stream that comes at this place. */
function withoutPacket(b: Uint8Array, stream: number, place: number): Uint8Array<ArrayBuffer> {
  const packets = Array.from({ length: b.length / 188 }, (_, i) => b.slice(i * 188, i * 188 + 188));
  const those = packets.filter((packet) => (((packet[1]! & 0x1f) << 8) | packet[2]!) === stream);
  return Uint8Array.from(
    packets.filter((packet) => packet !== those[place]).flatMap((p) => [...p]),
  );
}

/** A port that nobody has at this moment. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

const COPY = ["-c", "copy"];

describe("over HTTP", () => {
  test("MPEG-TS, with a password", async () => {
    expectClip(await read(serve("video/mp2t", [...COPY, "-f", "mpegts"])));
  });

  test("MPEG-TS with a hole: the picture is left out, and the next one says so", async () => {
    const whole = await Bun.file(convert(clip, "whole.ts", COPY)).bytes();
    const holed = withoutPacket(whole, 0x100, 40);
    const fetch = () => new Response(holed);
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
    stack.defer(() => server.stop(true));
    const { video } = await read(`http://127.0.0.1:${server.port}/`, CLIP_PICTURES);
    expect(video.length).toBe(CLIP_PICTURES - 1);
    expect(video.filter(({ gapBefore }) => gapBefore).length).toBe(1);
  });

  test("FLV", async () => {
    expectClip(await read(serve("video/x-flv", [...COPY, "-f", "flv"])));
  });

  test("Motion JPEG", async () => {
    const type = "multipart/x-mixed-replace;boundary=ffmpeg";
    const output = ["-an", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "mpjpeg"];
    const { formats, video } = await read(serve(type, output));
    expect(formats.map(({ codec }) => codec)).toEqual(["mjpeg"]);
    for (const { bytes } of video) {
      expect([bytes[0], bytes[1], bytes.at(-2), bytes.at(-1)]).toEqual([0xff, 0xd8, 0xff, 0xd9]);
    }
  });

  test("a playlist (HLS), in real time and not by whole segments", async () => {
    const files = makePlaylist(clip);
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => new Response(Bun.file(join(files, new URL(request.url).pathname))),
    });
    stack.defer(() => server.stop(true));
    const result = await read(`http://127.0.0.1:${server.port}/index.m3u8`);
    expectClip(result);
    const [first, last] = [result.video[0]!, result.video.at(-1)!];
    expect(last.at - first.at).toBeGreaterThan(1_200);
  });

  const refusals = [
    { path: "/live", user: "admin:hunter2@", code: "camera_unauthorized" },
    { path: "/forbidden", user: "", code: "camera_unauthorized" },
    { path: "/yard?token=hunter2", user: "", code: "camera_not_found" },
  ];
  test.each(refusals)("$path with $user is $code, in words without it", async (refusal) => {
    const url = serve("video/mp2t", []).replace(/admin:.*@/, refusal.user);
    const reading = read(url.replace("/live", refusal.path));
    const fault = await reading.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(fault).toMatchObject({ code: refusal.code });
    expect(String(fault)).not.toContain("hunter2");
  });

  test("a page: no video, and libav says so", async () => {
    const fetch = () => new Response("<html>hello</html>");
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
    stack.defer(() => server.stop(true));
    const reading = read(`http://127.0.0.1:${server.port}/`);
    await expect(reading).rejects.toMatchObject({ code: "camera_protocol" });
  });

  test("a playlist of this machine's files opens none of them", async () => {
    const fetch = () =>
      new Response(
        `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://${clip}\n#EXT-X-ENDLIST\n`,
      );
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
    stack.defer(() => server.stop(true));
    await expect(read(`http://127.0.0.1:${server.port}/a.m3u8`)).rejects.toThrow();
  });
});

describe("over other protocols", () => {
  test("RTMP", async () => {
    const url = `rtmp://127.0.0.1:${freePort()}/live/key`;
    owned(send(clip, [...COPY, "-f", "flv", "-listen", "1", url]));
    expectClip(await read(url));
  });

  test("SRT", async () => {
    const url = `srt://127.0.0.1:${freePort()}`;
    owned(send(clip, [...COPY, "-f", "mpegts", `${url}?mode=listener`]));
    expectClip(await read(url));
  });

  test("MPEG-TS over TCP", async () => {
    const url = `tcp://127.0.0.1:${freePort()}`;
    owned(send(clip, [...COPY, "-f", "mpegts", `${url}?listen=1`]));
    expectClip(await read(url));
  });

  test("MPEG-TS over UDP", async () => {
    const url = `udp://127.0.0.1:${freePort()}`;
    const reading = read(url);
    owned(send(clip, [...COPY, "-f", "mpegts", `${url}?pkt_size=1316`]));
    expectClip(await reading);
  });
});

describe("files", () => {
  test("in real time, over and over, with timestamps that go on", async () => {
    const since = monotonicMs();
    const { video } = await read(clip, CLIP_PICTURES + 30);
    const took = monotonicMs() - since;
    expect(took).toBeGreaterThan((CLIP_PICTURES + 20) * 40);
    const shown = video.map(({ timestamp }) => timestamp).sort((a, b) => ticksBetween(a, b));
    const longest = Math.max(...shown.slice(1).map((t, i) => ticksBetween(t, shown[i]!)));
    expect(longest).toBeLessThan(4 * 3_600);
    expect(ticksBetween(shown.at(-1)!, shown[0]!)).toBeGreaterThan(CLIP_PICTURES * 3_600);
  });

  test("once, to their end", async () => {
    const { video } = await read(`${clip}#once`, Number.POSITIVE_INFINITY);
    expect(video.length).toBe(CLIP_PICTURES);
  });

  const others = [
    {
      name: "h265.mp4",
      output: ["-c:v", "libx265", "-x265-params", "log-level=none", "-an"],
      codecs: ["h265"],
    },
    { name: "vp8.webm", output: ["-c:v", "libvpx", "-c:a", "libopus"], codecs: ["vp8", "opus"] },
    {
      name: "g711.mkv",
      output: ["-c:v", "copy", "-c:a", "pcm_alaw", "-ar", "8000"],
      codecs: ["h264", "pcma"],
    },
  ];
  test.each(others)("$name", async ({ name, output, codecs }) => {
    const { formats, video, audio } = await read(convert(clip, name, output), 30);
    expect<string[]>(formats.map(({ codec }) => codec)).toEqual(codecs);
    expect(video.length).toBe(30);
    if (codecs.length > 1) expect(audio.length).toBeGreaterThan(20);
  });

  test("MPEG-2 video is refused in words that say what to do", async () => {
    const path = convert(clip, "mpeg2.ts", ["-c:v", "mpeg2video"]);
    const reading = read(path);
    await expect(reading).rejects.toMatchObject({ code: "track_unsupported" });
    await expect(reading).rejects.toThrow("mpeg2video; the hub takes H.264");
  });

  test("a file that is not there", async () => {
    await expect(read("/nowhere/clip.mp4")).rejects.toMatchObject({ code: "camera_not_found" });
  });
});
