import { afterEach, describe, expect, test } from "bun:test";
import { Fault } from "../core/fault.ts";
import { Secret } from "../core/secret.ts";
import { reply } from "../rtsp/fixtures/client-rig.ts";
import type { CameraState } from "../stream/camera-state.ts";
import { Stream } from "../stream/stream.ts";
import { until } from "./fixtures/camera.ts";
import { ScriptedCamera, type ScriptedClient, type ScriptedOptions } from "./fixtures/scripted.ts";
import { Pull, type PullOptions } from "./ingest.ts";
import type { OpenSession } from "./puller.ts";
import type { PullTiming } from "./timing.ts";

const FAST: Partial<PullTiming> = {
  connectMs: 1_000,
  replyMs: 500,
  firstPacketMs: 1_000,
  firstDatagramMs: 200,
  keyframeMs: 1_000,
  stallMs: 200,
  stalledMs: 200,
  reportMs: 20,
  lost: { firstMs: 10, maxMs: 50 },
  refused: { firstMs: 20, maxMs: 50 },
};

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

const camera = (options: ScriptedOptions = {}) => stack.use(new ScriptedCamera(options));

function pull(source: string, options: Partial<PullOptions> = {}) {
  const stream = new Stream();
  const states: CameraState[] = [];
  const p = stack.use(
    new Pull({
      camera: "lobby",
      source: new Secret(source),
      stream,
      onState: (state) => states.push(state),
      random: Math.random,
      timing: FAST,
      ...options,
    }),
  );
  p.start();
  return {
    pull: p,
    stream,
    states,
    live: () => until(() => p.state.at === "live", "live"),
    at: (at: CameraState["at"]) => until(() => states.some((state) => state.at === at), at),
    cause: () => states.find((state) => "cause" in state)?.cause,
  };
}

/** Answers SETUP over this transport with 461. */
const without =
  (lower: "tcp" | "udp"): NonNullable<ScriptedOptions["script"]> =>
  (request) => {
    const overTcp = request.headers.get("Transport")?.includes("TCP") === true;
    if (request.method !== "SETUP" || overTcp !== (lower === "tcp")) return undefined;
    return reply(request, 461);
  };

describe("the other transport", () => {
  test("quirk: no TCP: UDP is taken, and tried first the next time", async () => {
    const cam = camera({ script: without("tcp") });
    const { pull: p, live } = pull(cam.source());
    await live();
    expect(p.transport).toBe("udp");
    expect(p.counters.fallbacks).toBe(1);
    for (const client of cam.clients) client.socket.terminate();
    await until(() => p.counters.reconnects === 1 && p.state.at === "live", "live again");
    expect(p.counters.fallbacks).toBe(1);
    // On the same connection: some cameras are busy with the one before for a while.
    expect(cam.connections).toBe(2);
  });

  test("is not tried where the configuration names one", async () => {
    const cam = camera({ script: without("tcp") });
    const { pull: p, at, cause } = pull(cam.source(), { transport: "tcp" });
    await at("refused");
    expect(cause()?.message).toContain("set `transport: udp`");
    expect(p.counters.fallbacks).toBe(0);
  });

  test("neither: refused", async () => {
    const cam = camera({
      script: (request) => (request.method === "SETUP" ? reply(request, 461) : undefined),
    });
    const timing = { ...FAST, refused: { firstMs: 60_000, maxMs: 60_000 } };
    const { at, cause } = pull(cam.source(), { timing });
    await at("refused");
    expect(cause()).toMatchObject({ code: "track_unsupported" });
    expect(cause()?.message).toContain("sends neither over TCP nor over UDP");
    expect(cam.methods).toEqual(["OPTIONS", "DESCRIBE", "SETUP", "SETUP"]);
  });

  test("UDP that brings nothing: back to TCP", async () => {
    let refused = false;
    const cam = camera({
      script: (request, client) => {
        const overTcp = request.headers.get("Transport")?.includes("TCP") === true;
        if (request.method === "SETUP" && overTcp && !refused) {
          refused = true;
          return reply(request, 461);
        }
        if (request.method === "SETUP") client.sends.video = client.sends.audio = overTcp;
        return undefined;
      },
    });
    const { pull: p, live } = pull(cam.source());
    await live();
    expect(p.transport).toBe("tcp");
    expect(p.counters.fallbacks).toBe(2);
    expect([p.counters.connects, p.counters.reconnects]).toEqual([1, 0]);
  });
});

describe("tracks", () => {
  test("video and audio, each to its own", async () => {
    const cam = camera();
    const { stream, live } = pull(cam.source());
    await live();
    await until(() => (stream.audio?.counters.units ?? 0) > 1, "sound");
    expect(stream.video?.counters.packets).toBeGreaterThan(0);
    expect(stream.video?.counters.malformed).toBe(0);
    expect(cam.methods).toEqual(["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY"]);
  });

  test("over UDP as well, each to its own ports", async () => {
    const { pull: p, stream, live } = pull(camera().source(), { transport: "udp" });
    await live();
    await until(() => (stream.audio?.counters.units ?? 0) > 1, "sound");
    expect(p.transport).toBe("udp");
  });

  test("quirk: every SETUP is answered with the same channels", async () => {
    const cam = camera({
      script: (request, client) => {
        if (request.method !== "SETUP") return undefined;
        client.setUp(0);
        return reply(request, 200, [
          ["Session", "1"],
          ["Transport", "RTP/AVP/TCP;unicast;interleaved=0-1"],
        ]);
      },
    });
    const { stream, live } = pull(cam.source());
    await live();
    await until(() => (stream.audio?.counters.units ?? 0) > 1, "sound");
    expect(stream.video?.counters.malformed).toBe(0);
  });

  test("the audio track is refused: the video comes all the same", async () => {
    const cam = camera({
      script: (request) =>
        request.method === "SETUP" && request.uri.endsWith("audio")
          ? reply(request, 500)
          : undefined,
    });
    const { stream, live } = pull(cam.source());
    await live();
    expect(stream.audio).toBeNull();
  });

  test("quirk: the camera hangs up where audio is asked for: video alone", async () => {
    const cam = camera({
      script: (request, client) => {
        if (request.method !== "SETUP" || !request.uri.endsWith("audio")) return undefined;
        client.socket.end();
        return null;
      },
    });
    const { pull: p, stream, live, states } = pull(cam.source());
    await live();
    expect(stream.audio).toBeNull();
    expect(states.map((state) => state.at)).toEqual(["connecting", "live"]);
    expect(p.counters.fallbacks).toBe(1);
  });

  test("the camera hung up by chance: audio is asked for again; twice in a row: no more", async () => {
    let hangUps = 1;
    let asked = 0;
    const cam = camera({
      script: (request, client) => {
        if (request.method !== "SETUP" || !request.uri.endsWith("audio")) return undefined;
        asked++;
        if (hangUps-- <= 0) return undefined;
        client.socket.end();
        return null;
      },
    });
    const { pull: p, stream } = pull(cam.source());
    const again = async (connects: number) => {
      for (const client of cam.clients) client.socket.terminate();
      const back = () => p.counters.connects === connects && p.state.at === "live";
      await until(back, "live again");
    };
    await again(1);
    expect(stream.audio).toBeNull();
    await again(2);
    expect(stream.audio).not.toBeNull();
    hangUps = 2;
    await again(3);
    await again(4);
    expect([stream.audio, asked]).toEqual([null, 4]);
    await again(5);
    expect([stream.audio, asked]).toEqual([null, 4]);
  });

  test("quirk: reports are the only sign of life that is taken, over TCP as well", async () => {
    const cam = camera();
    const { live } = pull(cam.source());
    await live();
    await until(() => cam.reports.some((hex) => hex.startsWith("81c90007")), "a report");
    const report = cam.reports.find((hex) => hex.startsWith("81c90007"));
    expect(report?.slice(16, 24)).toBe("00001234");
  });

  test("quirk: the SSRC changes in the middle of the stream", async () => {
    const cam = camera();
    const { stream, live } = pull(cam.source());
    await live();
    const before = stream.video?.newestTimestamp ?? 0;
    for (const client of cam.clients) {
      client.ssrc = 0x5678;
      client.sequence = 7;
    }
    await until(() => (stream.video?.newestTimestamp ?? 0) > before + 9_000, "time goes on");
    expect(stream.video?.lost).toBe(0);
    expect(stream.video?.counters.late).toBe(0);
  });
});

describe("video that stops", () => {
  test("while audio flows: stalled, live again when it comes back in time", async () => {
    const cam = camera();
    const {
      pull: p,
      live,
      at,
      cause,
    } = pull(cam.source(), {
      timing: { ...FAST, stalledMs: 60_000 },
    });
    await live();
    for (const client of cam.clients) client.sends.video = false;
    await at("stalled");
    expect(cause()).toMatchObject({ code: "camera_stalled" });
    expect(cause()?.message).toContain("its audio goes on");
    const { state } = p;
    expect(state.at === "stalled" && state.nextAttempt - state.since).toBeGreaterThan(50_000);
    for (const client of cam.clients) client.sends.video = true;
    await until(() => p.state.at === "live", "live again");
    expect(p.counters.connects).toBe(1);
  });

  test("for good: connected anew", async () => {
    const cam = camera();
    const { pull: p, live, at, states } = pull(cam.source());
    await live();
    for (const client of cam.clients) client.sends.video = false;
    await at("reconnecting");
    await until(() => p.counters.connects === 2 && p.state.at === "live", "live again");
    const path = states.map((state) => state.at);
    expect(path).toEqual(["connecting", "live", "stalled", "reconnecting", "live"]);
  });
});

/** Exchanges every fourth packet with the one after it, and loses every fiftieth. */
function shuffle(): NonNullable<ScriptedClient["onVideo"]> {
  let kept: Uint8Array | null = null;
  let count = 0;
  return (packet, send) => {
    count++;
    if (count % 50 === 0) return;
    if (kept === null && count % 4 === 0) {
      kept = packet;
      return;
    }
    send(packet);
    if (kept !== null) send(kept);
    kept = null;
  };
}

test("over UDP: packets that overtake each other are put in order, lost ones are counted", async () => {
  const cam = camera({
    script: (request, client) => {
      if (request.method === "PLAY") client.onVideo = shuffle();
      return undefined;
    },
  });
  const { pull: p, stream, live } = pull(cam.source(), { transport: "udp" });
  await live();
  await until(() => (stream.video?.lost ?? 0) >= 2, "loss");
  await p.close();
  expect(p.counters.reordered).toBeGreaterThan(10);
  expect(stream.video?.counters.late).toBe(0);
  const { units = 0, damagedUnits = 0 } = stream.video?.counters ?? {};
  // One packet in fifty, three packets to a picture.
  expect(damagedUnits).toBeLessThan(units / 8);
});

describe("other pullers", () => {
  const ends: OpenSession = ({ stream, onPlaying, onLive }) => ({
    packets: 1,
    transport: null,
    run: async () => {
      stream.describe([]);
      onPlaying();
      onLive();
      return { kind: "ended" };
    },
    close: async () => {},
  });

  test("a source that is no RTSP goes to the other one; a file ends", async () => {
    const { pull: p, at, states } = pull("file:///clip.mp4", { ffmpeg: ends });
    await at("ended");
    expect(p.puller).toBe("ffmpeg");
    expect(states.map((state) => state.at)).toEqual(["connecting", "live", "ended"]);
  });

  test("what the native one cannot do goes to the other one at once", async () => {
    const sdp = "v=0\r\ns=x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\n";
    const { pull: p, at, states } = pull(camera({ sdp }).source(), { ffmpeg: ends });
    await at("ended");
    expect(p.puller).toBe("ffmpeg");
    expect(states.map((state) => state.at)).toEqual(["connecting", "live", "ended"]);
  });

  test("when the other one cannot either, the native one is asked again", async () => {
    const asked: string[] = [];
    const fails: OpenSession = () => ({
      packets: 0,
      transport: null,
      run: async () => {
        asked.push("ffmpeg");
        return { kind: "failed", fault: new Fault("camera_unreachable", "something") };
      },
      close: async () => {},
    });
    const cam = camera({ sdp: "v=0\r\ns=x\r\n" });
    const { at, pull: p, cause } = pull(cam.source(), { ffmpeg: fails });
    await at("refused");
    // What the native client says is what a person can do something about.
    expect(cause()?.message).toContain("offers nothing");
    await until(() => cam.connections >= 2 && asked.length >= 2, "both again");
    expect(p.state.at).toBe("refused");
  });

  test("none but the native one: said as it is", async () => {
    const { at, cause } = pull("rtmp://127.0.0.1/x");
    await at("refused");
    expect(cause()).toMatchObject({ code: "request_invalid" });
  });
});
