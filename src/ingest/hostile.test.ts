// Cameras that mean harm, or are merely broken: each costs its own pull, in bounded time and memory.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Secret } from "../core/secret.ts";
import { reply } from "../rtsp/fixtures/client-rig.ts";
import { Stream } from "../stream/stream.ts";
import { until } from "./fixtures/camera.ts";
import {
  ScriptedCamera,
  type ScriptedClient,
  type ScriptedOptions,
  SDP_AV,
} from "./fixtures/scripted.ts";
import { Pull } from "./ingest.ts";
import type { PullTiming } from "./timing.ts";

const FAST: Partial<PullTiming> = {
  connectMs: 1_000,
  replyMs: 300,
  firstPacketMs: 400,
  firstDatagramMs: 200,
  keyframeMs: 400,
  stallMs: 300,
  stalledMs: 100,
  lost: { firstMs: 20, maxMs: 50 },
  refused: { firstMs: 20, maxMs: 50 },
};
/** Whatever a camera sends, a pull of it may hold this much beside its ring. */
const GROWTH_BYTES_MAX = 64 << 20;

function pullOf(camera: ScriptedCamera) {
  const stream = new Stream();
  const causes: { code: string; message: string }[] = [];
  const pull = new Pull({
    camera: "lobby",
    source: new Secret(camera.source()),
    stream,
    onState: (state) => {
      if ("cause" in state) causes.push(state.cause);
    },
    random: Math.random,
    timing: FAST,
  });
  pull.start();
  return { pull, stream, causes };
}

// Two that behave run all the time; nothing that happens to the others may touch them.
const well: ReturnType<typeof pullOf>[] = [];
const wellCameras = [new ScriptedCamera(), new ScriptedCamera()];
beforeAll(async () => {
  for (const camera of wellCameras) well.push(pullOf(camera));
  await until(() => well.every(({ pull }) => pull.state.at === "live"), "live");
});
afterAll(async () => {
  await Promise.all(well.map(({ pull }) => pull.close()));
  for (const camera of wellCameras) camera[Symbol.dispose]();
});

function memoryInUse(): number {
  Bun.gc(true);
  return process.memoryUsage.rss();
}

/** The first failure of a pull of this camera. */
async function failure(options: ScriptedOptions): Promise<{ code: string; message: string }> {
  const memory = memoryInUse();
  const before = well.map(({ stream }) => stream.video?.counters.packets ?? 0);
  const camera = new ScriptedCamera(options);
  const { pull, causes } = pullOf(camera);
  try {
    await until(() => causes.length > 0, "a failure");
    const packets = () => well.map(({ stream }) => stream.video?.counters.packets ?? 0);
    await until(() => packets().every((count, i) => count > (before[i] ?? 0)), "the others go on");
  } finally {
    await pull.close();
    camera[Symbol.dispose]();
  }
  expect(well.map(({ pull: other }) => other.counters)).toMatchObject([
    { reconnects: 0, bugs: 0 },
    { reconnects: 0, bugs: 0 },
  ]);
  expect(pull.counters.bugs).toBe(0);
  // Garbage of whatever ran before counts as well until it is collected.
  await until(() => memoryInUse() - memory < GROWTH_BYTES_MAX, "memory is bounded");
  return causes[0] ?? { code: "", message: "" };
}

const at = (method: string, answer: string | Uint8Array): ScriptedOptions => ({
  script: (request) => (request.method === method ? answer : undefined),
});
const ok = "RTSP/1.0 200 OK\r\nCSeq: 2\r\n";

describe("responses", () => {
  const cases: [name: string, options: ScriptedOptions, code: string, says: string][] = [
    [
      "a header of 1 MB",
      at("DESCRIBE", `${ok}X: ${"a".repeat(1 << 20)}`),
      "camera_protocol",
      "does not end",
    ],
    [
      "a line of 1 MB",
      at("OPTIONS", `RTSP/1.0 200 ${"a".repeat(1 << 20)}`),
      "camera_protocol",
      "does not end",
    ],
    [
      "100,000 headers",
      at("DESCRIBE", ok + "X: a\r\n".repeat(100_000)),
      "camera_protocol",
      "does not end",
    ],
    [
      "a negative length",
      at("DESCRIBE", `${ok}Content-Length: -1\r\n\r\n`),
      "camera_protocol",
      "is no length",
    ],
    [
      "a huge length",
      at("DESCRIBE", `${ok}Content-Length: 99999999\r\n\r\n`),
      "camera_protocol",
      "too long",
    ],
    [
      "a length beyond numbers",
      at("DESCRIBE", `${ok}Content-Length: 1e99\r\n\r\n`),
      "camera_protocol",
      "is no length",
    ],
    [
      "a body that never comes",
      at("DESCRIBE", `${ok}Content-Length: 900000\r\n\r\nv=0\r\n`),
      "camera_timeout",
      "DESCRIBE",
    ],
    [
      "a description without its length",
      at("DESCRIBE", `${ok}\r\n${SDP_AV}`),
      "camera_protocol",
      "session description",
    ],
    [
      "10,000 media",
      { sdp: `v=0\r\n${"m=video 0 RTP/AVP 96\r\n".repeat(10_000)}` },
      "camera_protocol",
      "media",
    ],
    [
      "a description of 1 MB",
      { sdp: `v=0\r\n${"a=x:y\r\n".repeat(140_000)}` },
      "track_unsupported",
      "nothing",
    ],
    [
      "nothing but 100 Continue",
      at("OPTIONS", "RTSP/1.0 100 Continue\r\n\r\n".repeat(10_000)),
      "camera_timeout",
      "OPTIONS",
    ],
    ["bytes of zero", at("DESCRIBE", new Uint8Array(1 << 20)), "camera_protocol", "expected RTSP"],
    ["blank lines", at("DESCRIBE", "\r\n".repeat(1 << 19)), "camera_timeout", "DESCRIBE"],
  ];
  test.each(cases)("%s", async (_name, options, code, says) => {
    const cause = await failure(options);
    expect(cause.code).toBe(code);
    expect(cause.message).toContain(says);
  });
});

describe("drops that never fill a bucket", () => {
  /** Sends the text again and again, a piece each few milliseconds. */
  const drip = (text: string, bytes: number) => (client: ScriptedClient) => {
    let sent = 0;
    const timer = setInterval(() => {
      const from = sent % text.length;
      sent += bytes;
      if (client.socket.write(text.slice(from, from + bytes)) < 0) clearInterval(timer);
    }, 5);
    timer.unref();
  };
  const silent: ScriptedOptions["script"] = () => null;

  test("a response byte by byte: the deadline is for all of it", async () => {
    const opened = drip(`RTSP/1.0 200 OK\r\nX: ${"a".repeat(10_000)}`, 1);
    const began = performance.now();
    const cause = await failure({ script: silent, opened });
    expect(cause).toMatchObject({ code: "camera_timeout" });
    expect(performance.now() - began).toBeGreaterThan(250);
  });

  test("a description without an end", async () => {
    const head = `${ok}Content-Length: 1000000\r\n\r\n`;
    const endless = drip("a=endless:description\r\n", 100);
    const cause = await failure({
      script: (request, client) => {
        if (request.method !== "DESCRIBE") return undefined;
        endless(client);
        return head;
      },
    });
    expect(cause).toMatchObject({ code: "camera_timeout" });
  });

  test("requests to the client, and an ear that is shut", async () => {
    const ask = "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(50_000);
    const cause = await failure({
      script: silent,
      opened: (client) => {
        client.socket.pause();
        client.socket.write(ask);
      },
    });
    expect(cause.code).toBe("camera_timeout");
  });
});

describe("the connection is reset", () => {
  test.each(["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])("at %s", async (method) => {
    const cause = await failure({
      script: (request, client) => {
        if (request.method !== method) return undefined;
        client.socket.terminate();
        return null;
      },
    });
    expect(cause.code).toBe("camera_closed");
  });

  test("in the middle of a response, and of a packet", async () => {
    for (const part of ["RTSP/1.0 2", "$\0\x05"]) {
      const cause = await failure({
        opened: (client) => {
          client.socket.write(part);
          client.socket.end();
        },
        script: () => null,
      });
      expect(cause.code).toBe("camera_closed");
    }
  });

  test("quirk: right after PLAY: tried again, never in a tight loop", async () => {
    const camera = new ScriptedCamera({
      script: (request, client) => {
        if (request.method !== "PLAY") return undefined;
        client.socket.write(reply(request));
        client.socket.end();
        return null;
      },
    });
    const { pull } = pullOf(camera);
    const began = performance.now();
    await until(() => pull.counters.attempts >= 6, "attempts");
    await pull.close();
    camera[Symbol.dispose]();
    // 10 ms, 20, 25, 25, 25 at least.
    expect(performance.now() - began).toBeGreaterThan(80);
  });
});

describe("after PLAY", () => {
  /** What the camera does once it plays, in place of good packets. */
  const playing = (then: (client: ScriptedClient) => void): ScriptedOptions => ({
    script: (request, client) => {
      if (request.method !== "PLAY") return undefined;
      client.socket.write(client.good(request));
      then(client);
      return null;
    },
  });

  test("garbage", async () => {
    const cause = await failure(playing(({ socket }) => void socket.write("\x01\x02".repeat(99))));
    expect(cause.code).toBe("camera_protocol");
  });

  test("a packet whose length goes beyond what comes", async () => {
    const cause = await failure(playing(({ socket }) => void socket.write("$\0\x7f\x7fabc")));
    expect(cause.code).toBe("camera_stalled");
  });

  test("packets of channels that nobody asked for", async () => {
    const flood = playing((client) => {
      for (let i = 0; i < 2_000; i++) client.interleave(200 + (i % 50), new Uint8Array(1_000));
    });
    expect((await failure(flood)).code).toBe("camera_stalled");
  });

  test("a keyframe that never is complete", async () => {
    let sequence = 0;
    const fragment = new Uint8Array(60_000).fill(0x55);
    fragment.set([0x7c, 0x05]);
    const cause = await failure(
      playing((client) => {
        const timer = setInterval(() => {
          client.interleave(0, client.packet(96, fragment, false, sequence++));
          if (sequence > 300) clearInterval(timer);
        }, 2);
      }),
    );
    expect(cause.code).toBe("camera_stalled");
  });

  test("truncated packets and the largest there can be, between good ones: live all the same", async () => {
    const camera = new ScriptedCamera({
      script: (request, client) => {
        if (request.method === "PLAY") {
          client.onVideo = (packet, send) => {
            for (let length = 0; length < 12; length++) send(packet.subarray(0, length));
            send(packet);
          };
          for (const channel of [0, 1]) client.interleave(channel, new Uint8Array(65_535));
        }
        return undefined;
      },
    });
    const { pull, stream, causes } = pullOf(camera);
    await until(() => pull.state.at === "live", "live");
    expect(stream.video?.counters.malformed).toBeGreaterThan(5);
    expect(causes).toEqual([]);
    expect(pull.counters.bugs).toBe(0);
    await pull.close();
    camera[Symbol.dispose]();
  });
});

test("two cameras that redirect to each other", async () => {
  const moved = (to: () => string): ScriptedOptions => ({
    script: (request) => reply(request, 302, [["Location", to()]]),
  });
  using other: ScriptedCamera = new ScriptedCamera(moved(() => first.source()));
  using first: ScriptedCamera = new ScriptedCamera(moved(() => other.source()));
  const { pull, causes } = pullOf(first);
  await until(() => causes.length > 0, "a failure");
  await pull.close();
  expect(causes[0]?.message).toContain("redirected more than 3 times");
});

test("quirk: a redirection that names only the path", async () => {
  using camera = new ScriptedCamera({
    script: (request) =>
      request.uri.endsWith("/cam") ? reply(request, 302, [["Location", "/new"]]) : undefined,
  });
  const { pull } = pullOf(camera);
  await until(() => pull.state.at === "live", "live");
  await pull.close();
  expect(camera.requests.at(-1)?.uri).toContain("/new");
});
