import { afterEach, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { Secret } from "../core/secret.ts";
import { videoFormat } from "../rtp/track-format.ts";
import type { CameraState } from "../stream/camera-state.ts";
import { Stream } from "../stream/stream.ts";
import { type CameraOptions, TestCamera, until, VIDEO } from "./fixtures/camera.ts";
import { Pull, type PullOptions } from "./ingest.ts";
import { hash } from "./primitives.ts";
import type { PullTiming } from "./timing.ts";

const FAST: Partial<PullTiming> = {
  connectMs: 1_000,
  replyMs: 300,
  firstPacketMs: 300,
  keyframeMs: 300,
  firstDatagramMs: 200,
  stallMs: 2_000,
  stalledMs: 100,
  reportMs: 30,
  lost: { firstMs: 10, maxMs: 50 },
  refused: { firstMs: 20, maxMs: 50 },
};

const stack: AsyncDisposableStack[] = [];
afterEach(async () => {
  await stack.pop()?.disposeAsync();
});

/** Closed after the test, pulls before cameras. */
function owned<T extends Disposable | AsyncDisposable>(resource: T): T {
  if (stack.length === 0) stack.push(new AsyncDisposableStack());
  stack[0]?.use(resource);
  return resource;
}

const camera = (options: CameraOptions = {}) => owned(new TestCamera(options));

interface Rig {
  readonly pull: Pull;
  readonly stream: Stream;
  readonly states: CameraState[];
  /** The states in order, each once. */
  readonly path: () => string[];
  readonly live: () => Promise<void>;
  /** Waits for a failure and returns its cause. */
  readonly failure: () => Promise<{ at: string; code: string; message: string }>;
}

function pull(source: string, options: Partial<PullOptions> = {}): Rig {
  const stream = new Stream();
  const states: CameraState[] = [];
  const rig = owned(
    new Pull({
      camera: "lobby",
      source: new Secret(source),
      transport: "tcp",
      stream,
      onState: (state) => states.push(state),
      random: Math.random,
      timing: FAST,
      ...options,
    }),
  );
  rig.start();
  return {
    pull: rig,
    stream,
    states,
    path: () => states.map(({ at }) => at).filter((at, i, all) => at !== all[i - 1]),
    live: () => until(() => rig.state.at === "live", "live"),
    failure: async () => {
      await until(() => states.some((state) => "cause" in state), "a failure");
      const [state] = states.filter((s) => "cause" in s);
      return { at: state?.at ?? "", ...(state?.cause ?? { code: "", message: "" }) };
    },
  };
}

/** Accepts connections and does nothing but this. */
function server(
  opened: (socket: { write(bytes: string): unknown; end(): unknown }) => void,
): string {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => opened(socket), data: () => {}, error: () => {} },
  });
  owned({ [Symbol.dispose]: () => listener.stop(true) });
  return `rtsp://127.0.0.1:${listener.port}/cam`;
}

describe("a camera that works", () => {
  test("over TCP: live, with packets, parameter sets and leave taken", async () => {
    const cam = camera();
    const { pull: p, stream, path, live } = pull(cam.source());
    await live();
    expect(path()).toEqual(["connecting", "live"]);
    expect(stream.video!.counters.packets).toBeGreaterThan(0);
    expect(stream.video?.picture?.width).toBeGreaterThan(0);
    expect(p.counters).toMatchObject({ attempts: 1, connects: 1, reconnects: 0, bugs: 0 });
    await p.close();
    expect(path()).toEqual(["connecting", "live", "idle"]);
    await until(() => cam.kinds.includes("teardown"), "TEARDOWN");
  });

  test("over UDP: live, reports keep the session alive", async () => {
    const cam = camera();
    const { live } = pull(cam.source(), { transport: "udp" });
    await live();
    // The camera's firewall is opened for RTP and RTCP, then reports name the camera's SSRC.
    await until(() => cam.datagrams.length >= 4, "reports");
    expect(cam.datagrams.some((hex) => hex.startsWith("8000") && hex.length === 24)).toBe(true);
    expect(cam.datagrams.some((hex) => hex.startsWith("80c90001"))).toBe(true);
    const report = cam.datagrams.find((hex) => hex.startsWith("81c90007"));
    expect(report?.slice(16, 24)).toBe("00001234");
  });

  test("over UDP: packets of strangers are counted, not taken", async () => {
    const cam = camera();
    cam.sends = "nothing";
    const { pull: p, stream } = pull(cam.source(), {
      transport: "udp",
      timing: { ...FAST, firstPacketMs: 5_000 },
    });
    await until(() => cam.kinds.includes("play"), "PLAY");
    const setup = cam.events.find((event) => event.kind === "setup");
    const to = setup?.kind === "setup" && setup.transport.lower === "udp" && setup.transport;
    if (!to) throw new Error("not set up over UDP");
    const stranger = createSocket("udp4");
    owned({ [Symbol.dispose]: () => stranger.close() });
    await new Promise<void>((bound) => stranger.bind(0, "127.0.0.2", bound));
    const packet = new Uint8Array([0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x65, 0x88]);
    for (let i = 0; i < 3; i++) stranger.send(packet, to.clientPort[0], "127.0.0.1");
    cam.sends = "keyframes";
    await until(() => p.state.at === "live", "live");
    await p.close();
    expect(p.counters.strangers).toBe(3);
    expect(stream.video!.counters.malformed).toBe(0);
  });

  const password = new Secret("p@ss:/#%word");
  const authentication = {
    realm: "cam",
    passwordOf: (user: string) => (user === "admin" ? password : null),
    hash,
  };
  test.each(["p%40ss%3A%2F%23%25word", "p@ss:/#%word"])("with the password %p", async (written) => {
    const cam = camera({ server: { authentication } });
    await pull(cam.source(`admin:${written}@`)).live();
  });

  test("with a wrong password: refused, asked again, in words without a secret", async () => {
    const cam = camera({ server: { authentication } });
    const { states, failure, pull: p } = pull(cam.source("admin:hunter2@"));
    expect(await failure()).toMatchObject({ at: "refused", code: "camera_unauthorized" });
    await until(() => cam.connections >= 3, "three attempts");
    expect(JSON.stringify(states)).not.toContain("hunter2");
    expect(Bun.inspect(p)).not.toContain("hunter2");
  });

  test("with a password that nobody gave", async () => {
    const cam = camera({ server: { authentication } });
    const { message } = await pull(cam.source()).failure();
    expect(message).toContain("asks for a user name and password");
  });

  test("other formats of the track are not taken for video", async () => {
    const cam = camera();
    const sdp = cam.sdp.replace("RTP/AVP 96", "RTP/AVP 97 96");
    Object.defineProperty(cam, "sdp", { value: `${sdp}a=rtpmap:97 rtx/90000\r\n` });
    await pull(cam.source()).live();
  });
});

describe("a camera that says no", () => {
  test("the path does not exist", async () => {
    const { failure } = pull(camera().source().replace("/cam", "/yard"));
    expect(await failure()).toMatchObject({ at: "refused", code: "camera_not_found" });
  });

  test("another codec", async () => {
    const mpeg4 = { ...VIDEO, format: { ...VIDEO.format, encoding: "MP4V-ES" } };
    const { failure } = pull(camera({ media: [mpeg4] }).source());
    const { at, code, message } = await failure();
    expect({ at, code }).toEqual({ at: "refused", code: "track_unsupported" });
    expect(message).toContain("offers video MP4V-ES");
  });

  test("no UDP", async () => {
    const cam = camera({ server: { transports: ["tcp"] } });
    const { message } = await pull(cam.source(), { transport: "udp" }).failure();
    expect(message).toContain("does not send over UDP: set `transport: tcp`");
  });

  test("an address that is none", async () => {
    const { failure, states } = pull("rtsp://admin:hunter2@:x/");
    expect(await failure()).toMatchObject({ at: "refused", code: "request_invalid" });
    expect(JSON.stringify(states)).not.toContain("hunter2");
  });
});

describe("a camera that is not there", () => {
  test("nobody listens: tried again until somebody does", async () => {
    const gone = camera();
    gone[Symbol.dispose]();
    const { failure, live, path, pull: p } = pull(gone.source());
    const { at, code, message } = await failure();
    expect({ at, code }).toEqual({ at: "reconnecting", code: "camera_unreachable" });
    expect(message).toContain(`refuses connections on port ${gone.port}`);
    camera({ port: gone.port });
    await live();
    expect(path()).toEqual(["connecting", "reconnecting", "live"]);
    expect(p.counters.attempts).toBeGreaterThan(1);
  });

  test("a name that nobody knows", async () => {
    const { code, message } = await pull("rtsp://no-such-camera.invalid/cam").failure();
    expect(code).toBe("camera_unreachable");
    expect(message).toContain("no-such-camera.invalid is not known");
  });
});

describe("what is no camera", () => {
  test("a web server", async () => {
    const web = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hello") });
    owned({ [Symbol.asyncDispose]: () => web.stop(true) });
    const { code, message } = await pull(`rtsp://127.0.0.1:${web.port}/cam`).failure();
    expect(code).toBe("camera_protocol");
    expect(message).toContain("this is HTTP");
  });

  test("random bytes", async () => {
    const { code, message } = await pull(server((s) => s.write("\x01\x02\x03"))).failure();
    expect(code).toBe("camera_protocol");
    expect(message).toContain('expected RTSP, got "\\x01');
  });

  test("silence", async () => {
    const { code, message } = await pull(server(() => {})).failure();
    expect(code).toBe("camera_timeout");
    expect(message).toContain("is connected but did not answer OPTIONS");
  });

  test("a door that is closed at once: never tried in a tight loop", async () => {
    let opened = 0;
    const source = server((socket) => {
      opened++;
      socket.end();
    });
    const { failure, states } = pull(source, {
      timing: { ...FAST, lost: { firstMs: 40, maxMs: 80 } },
    });
    expect(await failure()).toMatchObject({ at: "reconnecting", code: "camera_closed" });
    await until(() => states.length > 5, "five attempts");
    const first = states[1];
    const last = states.at(-1);
    if (!first || !last || !("attempt" in last)) throw new Error("it is failing");
    expect(opened).toBeLessThanOrEqual(last.attempt + 1);
    // Each wait is at least half of what was asked for.
    expect(last.nextAttempt - first.since).toBeGreaterThan(5 * 20);
  });
});

describe("a camera that stops", () => {
  test("the connection is lost: live again, on the same timeline", async () => {
    const cam = camera();
    const { live, path, pull: p, stream, states } = pull(cam.source());
    await live();
    const before = stream.video!.newestTimestamp;
    cam.drop();
    await until(() => p.counters.reconnects === 1 && p.state.at === "live", "live again");
    expect(path()).toEqual(["connecting", "live", "reconnecting", "live"]);
    expect(states[2]).toMatchObject({ cause: { code: "camera_closed" }, attempt: 1 });
    await until(() => stream.video!.newestTimestamp > before, "time goes on");
  });

  test.each(["tcp", "udp"] as const)(
    "it sends nothing more over %s: stalled",
    async (transport) => {
      const cam = camera();
      const timing = { ...FAST, stallMs: 200 };
      const { live, failure, pull: p } = pull(cam.source(), { transport, timing });
      await live();
      cam.sends = "nothing";
      const { at, code, message } = await failure();
      expect({ at, code }).toEqual({ at: "stalled", code: "camera_stalled" });
      expect(message).toContain("stopped sending video");
      await until(() => p.state.at === "reconnecting", "reconnecting");
      await until(() => cam.kinds.includes("teardown"), "TEARDOWN");
      cam.sends = "keyframes";
      await until(() => p.state.at === "live", "live again");
    },
  );

  test("it never begins", async () => {
    const cam = camera();
    cam.sends = "nothing";
    const { code, message } = await pull(cam.source()).failure();
    expect(code).toBe("camera_stalled");
    expect(message).toContain("has sent no video");
  });

  test("it sends what cannot be shown: not live", async () => {
    const cam = camera();
    cam.sends = "slices";
    const { failure, path } = pull(cam.source());
    const { code, message } = await failure();
    expect(code).toBe("camera_stalled");
    expect(message).toContain("no keyframe");
    expect(path()).toEqual(["connecting", "reconnecting"]);
  });
});

describe("redirects", () => {
  const redirecting = (to: () => string) =>
    server((socket) => socket.write(`RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: ${to()}\r\n\r\n`));

  test("are followed", async () => {
    const cam = camera();
    await pull(redirecting(() => cam.source())).live();
  });

  test("are not followed for ever", async () => {
    const source: string = redirecting(() => source);
    const { failure, pull: p } = pull(source);
    expect(await failure()).toMatchObject({ code: "camera_protocol", at: "reconnecting" });
    expect(p.counters.attempts).toBeGreaterThanOrEqual(4);
  });

  test("to nowhere", async () => {
    const { message } = await pull(redirecting(() => "http://x/")).failure();
    expect(message).toContain("redirects to what is no RTSP address");
  });
});

describe("closing", () => {
  test("twice, and before the start, and never again", async () => {
    const { pull: p, states } = pull(camera().source());
    await Promise.all([p.close(), p.close(), p[Symbol.asyncDispose]()]);
    p.start();
    expect(p.state.at).toBe("idle");
    expect(states.map(({ at }) => at)).toEqual(["connecting", "idle"]);
  });

  test("while the camera says nothing", async () => {
    const { pull: p } = pull(
      server(() => {}),
      { timing: { ...FAST, replyMs: 60_000 } },
    );
    await until(() => p.counters.attempts === 1, "an attempt");
    await p.close();
    expect(p.state.at).toBe("idle");
  });

  test("while waiting for the next attempt", async () => {
    const rig = pull("rtsp://admin@:x/", {
      timing: { refused: { firstMs: 60_000, maxMs: 60_000 } },
    });
    await rig.failure();
    await rig.pull.close();
    expect(rig.path()).toEqual(["connecting", "refused", "idle"]);
  });
});

test("a bug in a consumer costs this camera a connection, and is counted", async () => {
  const cam = camera();
  const stream = new Stream();
  let thrown = 0;
  stream.describe([videoFormat("h264")]);
  stream.video!.attachPackets({
    ended: () => {},
    packets: () => {
      if (thrown++ === 0) throw new Error("broken invariant: it holds");
    },
  });
  const { pull: p, states } = pull(cam.source(), { stream });
  await until(() => p.state.at === "live", "live after all");
  expect(p.counters.bugs).toBe(1);
  expect(states.some((state) => "cause" in state && state.cause.code === "internal")).toBe(true);
});
