import { describe, expect, test } from "bun:test";
import { monotonicMs } from "../native/clock.ts";
import { writeInterleavedHeader } from "../rtsp/interleaved.ts";
import { h264Format, writeSdp } from "../rtsp/sdp.ts";
import type { CameraState } from "../stream/camera-state.ts";
import { Stream } from "../stream/stream.ts";
import { Log } from "../telemetry/log.ts";
import { Client } from "./fixtures/client.ts";
import { PPS, SPS } from "./fixtures/feed.ts";
import { Site } from "./site.ts";

const SDP_TYPE: [string, string] = ["Content-Type", "application/sdp"];
const RECORD: [string, string] = ["Transport", "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"];
const OTHER: [string, string] = ["Transport", "RTP/AVP/TCP;unicast;interleaved=2-3;mode=record"];
const video = { kind: "video", control: "streamid=0", format: h264Format(96, SPS, PPS) } as const;
const odd = {
  kind: "application",
  control: "streamid=1",
  format: {
    payloadType: 98,
    encoding: "VND.ODD",
    clockHz: 90_000,
    channels: 1,
    parameters: new Map(),
  },
} as const;
const ANNOUNCED = writeSdp("pushed", [video, odd]);

interface Rig {
  readonly site: Site;
  readonly stream: Stream;
  readonly states: CameraState[];
  /** Of the place that is published to. */
  publish(client: Client): Promise<number>;
}

function rig(): Rig {
  const stream = new Stream();
  const states: CameraState[] = [];
  const site = new Site({
    address: "127.0.0.1",
    port: 0,
    acquire: async () => ({ stream, release: () => {} }),
    publish: ({ path }) => {
      if (path !== "push") return null;
      return { stream, onState: (state) => states.push(state) };
    },
    authorize: null,
    log: new Log({ level: "error", format: "text" }, {}),
    timing: { readyMs: 60 },
  });
  const publish = async (client: Client): Promise<number> => {
    const announced = await client.status("ANNOUNCE", "/push", [SDP_TYPE], ANNOUNCED);
    if (announced !== 200) return announced;
    await client.ask("SETUP", "/push/streamid=0", [RECORD]);
    await client.ask("SETUP", "/push/streamid=1", [OTHER]);
    return client.status("RECORD", "/push");
  };
  return { site, stream, states, publish };
}

/** A keyframe in one packet, as it goes on the connection. */
function keyframe(sequence: number, channel = 0, payloadType = 96): Uint8Array {
  const b = new Uint8Array(4 + 16);
  const at = writeInterleavedHeader(b, 0, channel, 16);
  b.set([0x80, 0x80 | payloadType, 0, sequence], at);
  b.set([0x65, 0x88, 1, 2], at + 12);
  return b;
}

describe("a publisher", () => {
  test("is live with its first keyframe, and ended when it says so", async () => {
    const { site, stream, states, publish } = rig();
    const client = new Client(site);
    expect(await publish(client)).toBe(200);
    expect(site.publishers.paths).toEqual(["push"]);
    client.send(keyframe(1));
    expect(stream.video?.keyframe).toBe(0);
    expect(stream.video?.parameterSets).toEqual([SPS, PPS]);
    // What cannot be forwarded is taken and left alone.
    client.send(keyframe(1, 2, 98));
    client.send(keyframe(2, 0, 98));
    expect(stream.video?.counters.packets).toBe(1);
    expect(await client.status("TEARDOWN", "/push")).toBe(200);
    expect(states.map(({ at }) => at)).toEqual(["connecting", "live", "ended"]);
    expect(site.publishers.paths).toEqual([]);
  });

  test("is read back from the ring", async () => {
    const { site, publish } = rig();
    const [client, reader] = [new Client(site), new Client(site)];
    await publish(client);
    client.send(keyframe(1));
    await reader.play("/push");
    for (let i = 0; i < 100 && reader.packets.length < 3; i++) await Bun.sleep(2);
    client.send(keyframe(2));
    expect(reader.packets.map(({ payload }) => payload.slice(0, 2))).toEqual([
      "67",
      "68",
      "65",
      "67",
      "68",
      "65",
    ]);
  });

  test("whose connection is lost leaves the camera reconnecting", async () => {
    const { site, states, publish } = rig();
    const client = new Client(site);
    await publish(client);
    client.send(keyframe(1));
    client.terminate();
    expect(states.at(-1)).toMatchObject({ at: "reconnecting", cause: { code: "camera_closed" } });
  });

  test("of a camera that is taken away is disconnected, and the place is free", async () => {
    const { site, stream, publish } = rig();
    const [client, next] = [new Client(site), new Client(site)];
    await publish(client);
    client.send(keyframe(1));
    expect([client.connection.path, next.connection.path]).toEqual(["push", null]);
    client.connection.endStream();
    expect([client.ended, site.publishers.paths]).toEqual([true, []]);
    client.send(keyframe(2));
    expect(stream.video?.counters.packets).toBe(1);
    expect(await publish(next)).toBe(200);
  });

  test("who is silent is stalled, and live again when it goes on", async () => {
    const { site, states, publish } = rig();
    const client = new Client(site);
    await publish(client);
    client.send(keyframe(1));
    client.connection.tick(monotonicMs() + 5_000);
    client.connection.tick(monotonicMs() + 6_000);
    expect(states.slice(2)).toMatchObject([{ at: "stalled", cause: { code: "camera_stalled" } }]);
    client.send(keyframe(2));
    expect(states.at(-1)?.at).toBe("live");
  });

  test("is not pushed aside while it sends; when it is silent, it is", async () => {
    const { site, states, publish } = rig();
    const [first, second] = [new Client(site), new Client(site)];
    await publish(first);
    first.send(keyframe(1));
    const refused = await second.ask("ANNOUNCE", "/push", [SDP_TYPE], ANNOUNCED);
    expect([refused.status, refused.reason]).toEqual([403, "Somebody Else Publishes Here"]);

    const impatient = new Site({ ...site.options, timing: { silentMs: 0 } });
    const [third, fourth] = [new Client(impatient), new Client(impatient)];
    expect(await publish(third)).toBe(200);
    expect(await publish(fourth)).toBe(200);
    expect([third.ended, fourth.ended]).toEqual([true, false]);
    expect(impatient.publishers.paths).toEqual(["push"]);
    expect(states.filter(({ at }) => at === "reconnecting" || at === "ended")).toEqual([]);
  });

  test("over UDP: what was overtaken is waited for, and then given up", async () => {
    const { site, stream } = rig();
    const client = new Client(site);
    const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
    using closing = new DisposableStack();
    closing.defer(() => socket.close());
    const over = `RTP/AVP;unicast;client_port=${socket.port}-${socket.port + 1};mode=record`;
    await client.ask("ANNOUNCE", "/push", [SDP_TYPE], ANNOUNCED);
    const { headers } = await client.ask("SETUP", "/push/streamid=0", [["Transport", over]]);
    const port = Number(/server_port=(\d+)/.exec(headers.get("Transport") ?? "")?.[1]);
    expect(await client.status("RECORD", "/push")).toBe(200);
    for (const sequence of [1, 3, 2, 5]) {
      socket.send(keyframe(sequence).subarray(4), port, "127.0.0.1");
    }
    const packets = () => stream.video?.counters.packets ?? 0;
    for (let i = 0; i < 1_000 && packets() < 4; i++) await Bun.sleep(2);
    expect([packets(), stream.video?.lost, stream.video?.counters.late]).toEqual([4, 1, 0]);
    client.terminate();
    await site.pairs[Symbol.asyncDispose]();
  });

  test.each([
    ["where nothing is to be published", "/lobby", ANNOUNCED, 404],
    ["with nothing that can be forwarded", "/push", writeSdp("x", [odd]), 415],
    ["with no description", "/push", "hello", 400],
  ])("is refused %s", async (_name, path, sdp, status) => {
    const { site, states } = rig();
    const client = new Client(site);
    expect(await client.status("ANNOUNCE", path, [SDP_TYPE], sdp)).toBe(status);
    expect([states, site.publishers.paths]).toEqual([[], []]);
  });

  test("sets up what it announced, once, and nothing else", async () => {
    const { site } = rig();
    const client = new Client(site);
    await client.ask("ANNOUNCE", "/push", [SDP_TYPE], ANNOUNCED);
    expect(await client.status("SETUP", "/push/streamid=7", [RECORD])).toBe(404);
    expect(await client.status("SETUP", "/push/streamid=0", [RECORD])).toBe(200);
    expect(await client.status("SETUP", "/push/streamid=0", [RECORD])).toBe(455);
    expect(await client.status("DESCRIBE", "/push")).toBe(455);
  });
});
