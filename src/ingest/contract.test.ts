// What every puller promises, asked of both: the RTSP client of the hub, and libav in a process.
import { afterEach, describe, expect, test } from "bun:test";
import { Secret } from "../core/secret.ts";
import { ticksBetween } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import type { CameraState } from "../stream/camera-state.ts";
import type { Unit } from "../stream/sinks.ts";
import { Stream } from "../stream/stream.ts";
import { avPuller } from "./av-session.ts";
import { type CameraOptions, TestCamera } from "./fixtures/camera.ts";
import { ScriptedCamera } from "./fixtures/scripted.ts";
import { Pull, type PullerName, type PullOptions } from "./ingest.ts";
import { hash } from "./primitives.ts";
import type { PullTiming } from "./timing.ts";

/** A process has to start on a machine that is busy with other things. */
const PATIENCE_MS = 20_000;

const FAST: Partial<PullTiming> = {
  connectMs: 2_000,
  replyMs: 1_000,
  firstPacketMs: 4_000,
  keyframeMs: 4_000,
  stallMs: 1_000,
  stalledMs: 500,
  lost: { firstMs: 10, maxMs: 50 },
  refused: { firstMs: 20, maxMs: 50 },
};

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

const camera = (options: CameraOptions = {}) => stack.use(new TestCamera(options));

async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = monotonicMs() + PATIENCE_MS;
  while (!holds()) {
    if (monotonicMs() > deadline) throw new Error(`never happened: ${what}`);
    await Bun.sleep(5);
  }
}

type Seen = Omit<Unit, "bytes">;

/** A pull that has begun, and all that is seen of it. */
function begin(puller: PullerName, source: string, options: Partial<PullOptions> = {}) {
  const stream = new Stream();
  const states: CameraState[] = [];
  const units: Seen[] = [];
  stream.onChange = () =>
    stream.video?.attachUnits(
      { unit: ({ bytes: _bytes, ...facts }) => units.push(facts), ended: () => {} },
      monotonicMs(),
    );
  const pull = stack.use(
    new Pull({
      camera: "lobby",
      source: new Secret(source),
      transport: "tcp",
      stream,
      onState: (state) => states.push(state),
      random: Math.random,
      timing: FAST,
      puller,
      ffmpeg: avPuller({ transport: "auto", tls: { verify: true, fingerprint: null } }),
      ...options,
    }),
  );
  pull.start();
  const failure = async () => {
    await until(() => states.some((state) => "cause" in state), "a failure");
    const state = states.find((each) => "cause" in each);
    return { at: state?.at ?? "", ...(state && "cause" in state ? state.cause : null) };
  };
  return {
    pull,
    stream,
    states,
    units,
    failure,
    live: () => until(() => pull.state.at === "live", "live"),
    /** The states in order, each once. */
    path: () => states.map(({ at }) => at).filter((at, i, all) => at !== all[i - 1]),
  };
}

const password = new Secret("p@ss:/#%word");
const authentication = {
  realm: "cam",
  passwordOf: (user: string) => (user === "admin" ? password : null),
  hash,
};

describe.each<PullerName>(["native", "ffmpeg"])("the %s puller", (puller) => {
  test("goes live, and says so once", async () => {
    const { live, path, stream, pull } = begin(puller, camera().source());
    await live();
    expect(path()).toEqual(["connecting", "live"]);
    expect(stream.video?.format.codec).toBe("h264");
    expect(stream.video?.picture).not.toBeNull();
    expect(pull.counters).toMatchObject({ attempts: 1, connects: 1, reconnects: 0, bugs: 0 });
  });

  test("begins with a keyframe; timestamps grow by what the camera says", async () => {
    const { live, units } = begin(puller, camera().source());
    await live();
    await until(() => units.length > 30, "pictures");
    expect(units[0]).toMatchObject({ keyframe: true, damaged: false });
    const steps = units
      .slice(1)
      .map((unit, i) => ticksBetween(unit.timestamp, units[i]!.timestamp));
    expect(new Set(steps)).toEqual(new Set([3_000]));
  });

  test("over UDP too", async () => {
    const { live, pull } = begin(puller, camera().source(), {
      transport: "udp",
      ffmpeg: avPuller({ transport: "udp", tls: { verify: true, fingerprint: null } }),
    });
    await live();
    expect(pull.transport).toBe("udp");
  });

  test("video and audio, each to its own track", async () => {
    const cam = stack.use(new ScriptedCamera());
    const { live, stream } = begin(puller, cam.source());
    await live();
    await until(() => (stream.audio?.counters.units ?? 0) > 3, "sound");
    expect(stream.audio?.format).toMatchObject({ codec: "pcma", clockHz: 8_000, channels: 1 });
    expect(stream.video?.counters.malformed).toBe(0);
    expect(stream.audio?.counters.malformed).toBe(0);
  });

  test("leaves the camera, within a second", async () => {
    const cam = camera();
    const { live, pull, path } = begin(puller, cam.source());
    await live();
    const since = monotonicMs();
    await pull.close();
    expect(monotonicMs() - since).toBeLessThan(1_000);
    expect(path()).toEqual(["connecting", "live", "idle"]);
    await until(() => cam.clients === 0, "the camera is alone");
    // node-av 6.1.1 interrupts libav before it closes, which cannot say TEARDOWN then.
    if (puller === "native") await until(() => cam.kinds.includes("teardown"), "TEARDOWN");
  });

  test("closes within a second while it still connects", async () => {
    const silent = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: () => {}, error: () => {} },
    });
    stack.defer(() => silent.stop(true));
    const { pull } = begin(puller, `rtsp://127.0.0.1:${silent.port}/cam`);
    await Bun.sleep(300);
    const since = monotonicMs();
    await pull.close();
    expect(monotonicMs() - since).toBeLessThan(1_000);
  });

  test.each(["p%40ss%3A%2F%23%25word", "p@ss:/#%word"])("the password %p", async (written) => {
    const cam = camera({ server: { authentication } });
    await begin(puller, cam.source(`admin:${written}@`)).live();
  });

  test("a wrong password: refused, in words without it", async () => {
    const cam = camera({ server: { authentication } });
    const { failure, states, pull } = begin(puller, cam.source("admin:hunter2@"));
    expect(await failure()).toMatchObject({ at: "refused", code: "camera_unauthorized" });
    expect(JSON.stringify(states) + Bun.inspect(pull)).not.toContain("hunter2");
  });

  test("a path that does not exist", async () => {
    const { failure } = begin(puller, camera().source().replace("/cam", "/yard"));
    expect(await failure()).toMatchObject({ at: "refused", code: "camera_not_found" });
  });

  test("an address that is none, in words without it", async () => {
    const { failure, states } = begin(puller, "rtsp://admin:hunter2@:x/");
    expect(await failure()).toMatchObject({ at: "refused", code: "request_invalid" });
    expect(JSON.stringify(states)).not.toContain("hunter2");
  });

  test("nobody listens: tried again until somebody does", async () => {
    const gone = camera();
    gone[Symbol.dispose]();
    const { failure, live, path } = begin(puller, gone.source("admin:hunter2@"));
    const { at, code, ...words } = await failure();
    expect([at, code]).toEqual(["reconnecting", "camera_unreachable"]);
    expect(JSON.stringify(words)).not.toContain("hunter2");
    camera({ port: gone.port });
    await live();
    expect(path()).toEqual(["connecting", "reconnecting", "live"]);
  });

  test("a camera that is away and comes back goes on on the same timeline", async () => {
    const cam = camera();
    const { live, units, path, pull } = begin(puller, cam.source());
    await live();
    await until(() => units.length > 3, "pictures");
    const before = units.length;
    cam.drop();
    await until(() => path().length >= 4 && units.length > before + 3, "live again");
    expect(path()).toEqual(["connecting", "live", "reconnecting", "live"]);
    expect(pull.counters.reconnects).toBe(1);
    const sequences = units.map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.map((_, i) => (sequences[0] ?? 0) + i));
    const steps = units
      .slice(1)
      .map((unit, i) => ticksBetween(unit.timestamp, units[i]!.timestamp));
    expect(Math.min(...steps)).toBeGreaterThan(0);
  });

  test("a camera that falls silent is stalled, and pulled anew", async () => {
    const cam = camera();
    const { live, path, states } = begin(puller, cam.source());
    await live();
    cam.sends = "nothing";
    await until(() => path().includes("stalled"), "stalled");
    await until(() => path().includes("reconnecting"), "given up");
    expect(states.find(({ at }) => at === "stalled")).toMatchObject({
      cause: { code: "camera_stalled" },
    });
    cam.sends = "keyframes";
    await live();
  });

  test("a camera without keyframes is not live", async () => {
    const cam = camera();
    cam.sends = "slices";
    const { failure, pull } = begin(puller, cam.source(), {
      timing: { ...FAST, keyframeMs: 500 },
    });
    expect(await failure()).toMatchObject({ at: "reconnecting", code: "camera_stalled" });
    expect(pull.state.at).not.toBe("live");
  });
});
