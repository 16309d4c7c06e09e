import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../core/secret.ts";
import { parameterSets, parseSdp } from "../rtsp/sdp.ts";
import { Client, until } from "./fixtures/client.ts";
import type { recordJson } from "./frame-log.ts";
import type { SyntheticOptions } from "./options.ts";
import { SyntheticCameras } from "./synthetic.ts";

const { signal } = new AbortController();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "onepull-cameras-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** Small cameras with a keyframe every 10 frames of 50 a second. */
async function cameras(more: Partial<SyntheticOptions> = {}): Promise<SyntheticCameras> {
  const video = { width: 160, height: 90, fps: 50, gopSeconds: 0.2, bitrate: 200_000 };
  return await SyntheticCameras.open({ ...video, clipFolder: folder, ...more }, signal);
}

const TRANSPORTS = ["tcp", "udp"] as const;

describe.each(TRANSPORTS)("a client over %s", (transport) => {
  test("gets one gapless RTP stream", async () => {
    await using running = await cameras();
    await using client = await Client.connect(running.url(0));
    const play = await client.play(transport);
    await until(() => client.timestamps().length > 25, "frames");
    const [first] = client.packets;
    expect(play.headers.get("RTP-Info")).toBe(
      `url=${client.url}/video;seq=${first?.header.sequence};rtptime=${first?.header.timestamp}`,
    );
    for (const [i, { header }] of client.packets.entries()) {
      expect(header.sequence).toBe(((first?.header.sequence ?? 0) + i) & 0xffff);
      expect(header.ssrc).toBe(first?.header.ssrc ?? -1);
      expect(header.payloadType).toBe(96);
      const next = client.packets[i + 1];
      if (next) expect(header.marker).toBe(header.timestamp !== next.header.timestamp);
    }
  });

  test("can tell from the sender report when each frame was written", async () => {
    await using running = await cameras();
    await using client = await Client.connect(running.url(0));
    await client.play(transport);
    await until(() => client.timestamps().length > 5 && client.reports.length > 0, "frames");
    if (transport === "tcp") expect(client.order[0]).toBe("rtcp");
    const [report] = client.reports;
    const written = running.frames("camera-1") ?? [];
    const reported = written.find(({ rtpTimestamp }) => rtpTimestamp === report?.timestamp);
    expect(report?.ssrc).toBe(client.packets[0]?.header.ssrc ?? -1);
    expect(Math.abs((reported?.unixMs ?? 0) - (report?.wallClock ?? 1))).toBeLessThan(0.01);
    for (const timestamp of client.timestamps()) {
      expect(written.some(({ rtpTimestamp }) => rtpTimestamp === timestamp)).toBe(true);
    }
  });

  test("is counted while it is there, and after", async () => {
    await using running = await cameras({ count: 2 });
    const stats = () => running.stats().cameras[1];
    {
      await using client = await Client.connect(running.url(1));
      await client.play(transport);
      await until(() => client.packets.length > 20, "packets");
      expect(stats()).toMatchObject({ name: "camera-2", describes: 1, plays: 1 });
      expect(stats()).toMatchObject({ playing: 1, connections: 1, droppedFrames: 0 });
      expect(stats()?.bytes).toBeGreaterThan(1_000);
      expect(stats()?.frames).toBeGreaterThan(5);
    }
    await until(() => stats()?.playing === 0 && stats()?.connections === 0, "the end");
    expect(stats()).toMatchObject({ describes: 1, plays: 1 });
    expect(running.stats().cameras[0]).toMatchObject({ describes: 0, plays: 0, frames: 0 });
  });

  test("stops with PAUSE, goes on with PLAY, ends with TEARDOWN", async () => {
    await using running = await cameras();
    await using client = await Client.connect(running.url(0));
    await client.play(transport);
    const playing = () => running.stats().cameras[0]?.playing;
    expect(playing()).toBe(1);
    expect((await client.request("PAUSE")).status).toBe(200);
    expect(playing()).toBe(0);
    const paused = client.packets.length;
    expect((await client.request("PLAY")).status).toBe(200);
    await until(() => client.packets.length > paused + 5, "more packets");
    expect((await client.request("TEARDOWN")).status).toBe(200);
    expect(playing()).toBe(0);
    expect(running.stats().cameras[0]?.plays).toBe(2);
  });
});

describe("SyntheticCameras", () => {
  test("gives all clients of a camera the same packets", async () => {
    await using running = await cameras();
    await using first = await Client.connect(running.url(0));
    await using second = await Client.connect(running.url(0));
    await using third = await Client.connect(running.url(0));
    await first.play("tcp");
    await second.play("tcp", "4-5");
    await third.play("udp");
    await until(() => third.packets.length > 30, "packets");
    expect(first.channels).toEqual(new Set([0, 1]));
    expect(second.channels).toEqual(new Set([4, 5]));
    const key = third.packets[5]?.bytes.toHex();
    for (const { packets } of [first, second]) {
      const start = packets.findIndex(({ bytes }) => bytes.toHex() === key);
      expect(start).toBeGreaterThanOrEqual(0);
      const same = packets.slice(start, start + 20).map(({ bytes }) => bytes.toHex());
      expect(same).toEqual(third.packets.slice(5, 25).map(({ bytes }) => bytes.toHex()));
    }
  });

  test("gives every camera another stream", async () => {
    await using running = await cameras({ count: 3 });
    const seen = new Set<number>();
    for (const index of [0, 1, 2]) {
      await using client = await Client.connect(running.url(index));
      await client.play("tcp");
      await until(() => client.packets.length > 0, "a packet");
      seen.add(client.packets[0]?.header.ssrc ?? -1);
    }
    expect(seen.size).toBe(3);
  });

  test("describes the stream with its parameter sets", async () => {
    await using running = await cameras({ parameterSets: "out of band" });
    await using client = await Client.connect(running.url(0));
    const { body } = await client.request("DESCRIBE");
    const [media] = parseSdp(new TextDecoder().decode(body)).media;
    const [format] = media?.formats ?? [];
    expect(media?.control).toBe("video");
    expect(format).toMatchObject({ payloadType: 96, encoding: "H264", clockHz: 90_000 });
    expect(format && parameterSets(format).map((nal) => nal[0]! & 0x1f)).toEqual([7, 8]);
  });

  test("starts with a keyframe, or wherever it is", async () => {
    const gop = { fps: 25, gopSeconds: 10 };
    await using live = await cameras(gop);
    await using waiting = await cameras({ ...gop, gopSeconds: 0.4, startWithKeyframe: true });
    // The parameter sets and the first slice tell a keyframe.
    const typeOf = ({ bytes }: { bytes: Uint8Array }) => bytes[12]! & 0x1f;
    await using joiner = await Client.connect(live.url(0));
    await until(() => live.stats().pace.turns > 3, "the first keyframe to pass");
    await joiner.play("tcp");
    await until(() => joiner.packets.length > 0, "a packet");
    expect(joiner.packets.map(typeOf)).not.toContain(7);
    for (let i = 0; i < 3; i++) {
      await using client = await Client.connect(waiting.url(0));
      const play = await client.play("tcp");
      expect(play.headers.get("RTP-Info")).toBeNull();
      await until(() => client.packets.length > 0, "a packet");
      expect(client.packets[0] && typeOf(client.packets[0])).toBe(7);
    }
  });

  test("keeps the pace", async () => {
    await using running = await cameras({ count: 4 });
    await using client = await Client.connect(running.url(2));
    await client.play("tcp");
    await until(() => (running.frames("camera-3")?.length ?? 0) > 100, "two seconds");
    const frames = running.frames("camera-3") ?? [];
    const [first, last] = [frames[0], frames.at(-1)];
    const ticks = ((last?.rtpTimestamp ?? 0) - (first?.rtpTimestamp ?? 0)) >>> 0;
    const elapsedMs = (last?.monotonicMs ?? 0) - (first?.monotonicMs ?? 0);
    // RTP time and real time stay together, whatever the machine is busy with.
    expect(Math.abs(ticks / 90 - elapsedMs)).toBeLessThan(200);
    const unixElapsed = (last?.unixMs ?? 0) - (first?.unixMs ?? 0);
    expect(Math.abs(unixElapsed - elapsedMs)).toBeLessThan(200);
    for (const [i, { frame }] of frames.entries()) {
      expect(frame).toBe(((first?.frame ?? 0) + i) % 500);
    }
  });

  test("tells only frames after a moment", async () => {
    await using running = await cameras();
    await using client = await Client.connect(running.url(0));
    await client.play("tcp");
    const all = () => running.frames("camera-1") ?? [];
    await until(() => all().length > 5, "frames");
    const moment = all()[2]?.monotonicMs ?? 0;
    expect(running.frames("camera-1", moment)?.[0]).toEqual(all()[3]!);
    expect(running.frames("camera-9")).toBeNull();
  });

  test("refuses what there is not", async () => {
    await using running = await cameras();
    await using client = await Client.connect(running.url(0).replace("camera-1", "camera-2"));
    expect((await client.request("DESCRIBE")).status).toBe(404);
    await using other = await Client.connect(running.url(0));
    const offer = ["Transport", "RTP/AVP/TCP;unicast;interleaved=0-1"] as const;
    expect((await other.request("DESCRIBE")).status).toBe(200);
    expect((await other.request("SETUP", "/audio", [offer])).status).toBe(404);
    expect((await other.request("SETUP", "/video", [offer])).status).toBe(200);
  });

  test("lets in who knows the password", async () => {
    const login = { user: "ann", password: new Secret("s3cret") };
    await using running = await cameras({ login });
    expect(running.url(0)).not.toContain("ann");
    const basic = (text: string) => [["Authorization", `Basic ${btoa(text)}`]] as const;
    await using stranger = await Client.connect(running.url(0));
    expect((await stranger.request("DESCRIBE")).status).toBe(401);
    await using wrong = await Client.connect(running.url(0), basic("ann:secret"));
    expect((await wrong.request("DESCRIBE")).status).toBe(401);
    await using client = await Client.connect(running.url(0), basic("ann:s3cret"));
    await client.play("tcp");
    await until(() => client.packets.length > 0, "a packet");
    expect(running.stats().cameras[0]).toMatchObject({ describes: 1, plays: 1 });
  });

  test("goes on when a UDP client is gone without a word", async () => {
    await using running = await cameras();
    await using gone = await Client.connect(running.url(0));
    await using client = await Client.connect(running.url(0));
    await gone.play("udp");
    await client.play("udp");
    gone.closeUdp();
    const received = client.packets.length;
    await until(() => client.packets.length > received + 50, "packets");
    expect(running.stats().cameras[0]?.droppedFrames).toBeGreaterThan(0);
  });

  test("ends all connections when it is closed, once", async () => {
    const running = await cameras();
    await using client = await Client.connect(running.url(0));
    await client.play("udp");
    await running.close();
    await running.close();
    await until(() => client.closed, "the end of the connection");
    await expect(Client.connect(running.url(0))).rejects.toThrow();
  });

  test("says which port is taken", async () => {
    await using running = await cameras();
    const second = cameras({ port: running.port });
    await expect(second).rejects.toMatchObject({ code: "config_invalid" });
    await expect(second).rejects.toThrow(String(running.port));
  });

  test("writes every frame into the log file", async () => {
    const logFile = join(folder, "frames.jsonl");
    const running = await cameras({ logFile });
    await using client = await Client.connect(running.url(0));
    await client.play("tcp");
    await until(() => client.timestamps().length > 20, "frames");
    await running.close();
    const lines = (await readFile(logFile, "utf8")).trim().split("\n");
    const written = (running.frames("camera-1") ?? []).map((record) => ({
      camera: "camera-1",
      frame: record.frame,
      rtp_timestamp: record.rtpTimestamp,
      monotonic_ms: record.monotonicMs,
      unix_ms: record.unixMs,
    }));
    expect(lines.map((line) => JSON.parse(line))).toEqual(written);
    expect(running.stats().logDropped).toBe(0);
    const nowhere = cameras({ logFile: join(folder, "no", "such", "folder") });
    await expect(nowhere).rejects.toMatchObject({ code: "config_invalid" });
  });
});

describe("the control interface", () => {
  async function controlled() {
    const running = await cameras({ count: 2, controlPort: 0 });
    const ask = async (method: string, path: string) => {
      const url = `http://127.0.0.1:${running.controlPort}${path}`;
      const response = await fetch(url, { method, signal: AbortSignal.timeout(5_000) });
      return { status: response.status, body: await response.json() };
    };
    return { running, ask };
  }

  test("tells what is known of the cameras", async () => {
    const { running, ask } = await controlled();
    await using _ = running;
    await using client = await Client.connect(running.url(0));
    await client.play("tcp");
    await until(() => client.timestamps().length > 3, "frames");
    // What the interface promises; the expectations below check it.
    const records = async (path: string) =>
      (await ask("GET", path)).body as ReturnType<typeof recordJson>[];
    const { body } = await ask("GET", "/cameras");
    expect(body).toMatchObject({
      cameras: [
        {
          name: "camera-1",
          url: running.url(0),
          on: true,
          plays: 1,
          playing: 1,
          dropped_frames: 0,
        },
        { name: "camera-2", url: running.url(1), plays: 0, frames: 0 },
      ],
      pace: { skipped_intervals: expect.any(Number), lateness_ms_p99: expect.any(Number) },
    });
    const frames = await records("/frames/camera-1");
    expect(frames[0]).toMatchObject({ camera: "camera-1", rtp_timestamp: client.timestamps()[0] });
    const later = await records(`/frames/camera-1?since=${frames[1]?.monotonic_ms}`);
    expect(later[0]).toEqual(frames[2]!);
  });

  test("switches a camera off and on", async () => {
    const { running, ask } = await controlled();
    await using _ = running;
    await using client = await Client.connect(running.url(0));
    await using neighbour = await Client.connect(running.url(1));
    await client.play("tcp");
    await neighbour.play("tcp");
    expect(await ask("POST", "/cameras/camera-1/off")).toMatchObject({ status: 200 });
    await until(() => client.closed, "the connection to be dropped");
    expect(running.stats().cameras[0]).toMatchObject({ on: false, playing: 0, connections: 0 });
    await using again = await Client.connect(running.url(0));
    await expect(again.request("DESCRIBE")).rejects.toThrow("connection closed");
    await ask("POST", "/cameras/camera-1/on");
    await using back = await Client.connect(running.url(0));
    await back.play("tcp");
    await until(() => back.packets.length > 0, "a packet");
    expect(neighbour.closed).toBe(false);
  });

  test("says what is wrong", async () => {
    const { running, ask } = await controlled();
    await using _ = running;
    expect((await ask("GET", "/frames/nobody")).status).toBe(404);
    expect((await ask("POST", "/cameras/nobody/off")).status).toBe(404);
    expect((await ask("GET", "/frames/camera-1?since=now")).status).toBe(400);
    expect((await ask("GET", "/elsewhere")).status).toBe(404);
    await expect(cameras({ controlPort: running.controlPort })).rejects.toMatchObject({
      code: "config_invalid",
    });
  });
});
