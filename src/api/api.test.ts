import { beforeEach, describe, expect, test } from "bun:test";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { Cameras } from "../cameras/cameras.ts";
import { CameraStore } from "../cameras/store.ts";
import { Vitals } from "../cameras/vitals.ts";
import { parseConfig } from "../config/load.ts";
import { Fault } from "../core/fault.ts";
import type { MediaStats } from "../process/protocol.ts";
import { Log } from "../telemetry/log.ts";
import { createApi } from "./api.ts";
import type { Hub } from "./hub.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const SECRET = "rtsp://admin:hunter2@10.0.0.9/stream1";

let app: OpenAPIHono;
let hub: Hub & { cameras: Cameras };
let lines: string[];
let done: string[];

beforeEach(() => {
  lines = [];
  done = [];
  const log = new Log({ level: "debug", format: "json", write: (line) => lines.push(line) }, {});
  const { cameras } = parseConfig(`cameras: { lobby: { source: "${SECRET}" } }`, "test.yaml");
  const actions = {
    open: ({ id }: { id: string }) => done.push(`open ${id}`),
    close: (id: string) => done.push(`close ${id}`),
  };
  hub = {
    cameras: new Cameras(cameras, new CameraStore(":memory:"), actions, () => NOW),
    vitals: new Vitals(),
    version: "1.2.3",
    now: () => NOW,
    processes: () => [{ name: "media", up: true, pid: 7, restarts: 0 }],
    offer: async (camera, { sdp, latency, stream }) => {
      if (sdp === "bug") throw new TypeError("x is undefined");
      if (camera !== "lobby") throw new Fault("camera_not_live", "not yet");
      return { session: "s1", sdp: `answer ${latency}`, stream };
    },
    endViewer: async (_camera, session) => session === "s1",
  };
  app = createApi(hub, new Map([["/", { type: "text/html", body: "<!doctype html>" }]]), log);
});

const json = (body: unknown): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});
const sdp = (body: string, more: Record<string, string> = {}): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/sdp", ...more },
  body,
});

async function expectProblem(response: Response, status: number, code: string): Promise<string> {
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = (await response.json()) as { type: string; status: number; detail: string };
  expect([problem.type, problem.status]).toEqual([`urn:onepull:fault:${code}`, status]);
  return problem.detail;
}

/** What the media process would tell after `seconds`, at 25 fps and 4 Mbps. */
function mediaStats(seconds: number): MediaStats {
  const video = {
    codec: "h264" as const,
    clockHz: 90_000,
    channels: 1,
    late: 0,
    packets: 400 * seconds,
    bytes: 500_000 * seconds,
    units: 25 * seconds,
    keyframes: seconds,
    damagedUnits: 0,
    lost: 3,
    malformed: 0,
    ringBytes: 1 << 20,
    width: 1920,
    height: 1080,
    profileLevelId: "42c028",
    clock: {
      timestamp: 90_000,
      captured: NOW,
      source: "rtcp" as const,
      cameraOffsetMs: -1.26,
      cameraSteps: 0,
      ignoredReports: 0,
    },
  };
  const main = {
    puller: "native" as const,
    transport: "tcp",
    connects: 2,
    reconnects: 1,
    video,
    audio: null,
  };
  const camera = { camera: "lobby", main, sub: null };
  const viewer = {
    session: "s1",
    camera: "lobby",
    connected: true,
    since: NOW,
    packets: 1,
    bytes: 1,
    retransmitted: 0,
    roundTripMs: null,
    lostFraction: null,
  };
  return {
    process: { pid: 7, lagMs: { mean: 0.5, max: 2, p99: 1.5 }, cpuMs: 1_500, rssBytes: 5e7 },
    cameras: [camera],
    viewers: [viewer],
    egress: {
      crypto: "ffi",
      send: "gso",
      packets: 10,
      bytes: 100,
      dropped: 0,
      refused: 0,
      systemCalls: 2,
      retransmitted: 0,
      handshakes: 1,
      handshakeFailures: 0,
    },
    bugs: 1,
    rtsp: {
      read: [{ path: "lobby", readers: 2, packets: 5, bytes: 50, droppedUnits: 1 }],
      published: [],
      connections: 2,
      refused: 0,
    },
    transcoding: [],
    feedsLost: [],
  };
}

describe("cameras", () => {
  test("the list and one camera, never with its credentials", async () => {
    const list = await (await app.request("/api/v1/cameras")).text();
    const one = await (await app.request("/api/v1/cameras/lobby")).text();
    expect(JSON.parse(list)).toEqual({ cameras: [JSON.parse(one)] });
    expect(JSON.parse(one)).toMatchObject({
      id: "lobby",
      origin: "config",
      source: "rtsp://10.0.0.9/stream1",
      state: "idle",
      since: "2026-01-02T03:04:05.678Z",
      cause: null,
      video: null,
    });
    expect(list + one + lines.join("")).not.toContain("hunter2");
  });

  test("figures and rates, once the media process has told them", async () => {
    hub.vitals.tellMedia(mediaStats(1), 1_000);
    hub.vitals.tellMedia(mediaStats(3), 3_000);
    expect(await (await app.request("/api/v1/cameras/lobby")).json()).toMatchObject({
      video: { codec: "h264", width: 1920, height: 1080, fps: 25, bitrate_bps: 4_000_000 },
      clock: {
        rtp_timestamp: 90_000,
        captured_at_unix_ms: NOW,
        source: "rtcp",
        camera_offset_ms: -1.3,
      },
      viewers: 1,
      counters: { packets: 1_200, lost_packets: 3, connects: 2 },
    });
  });

  test("why a camera is not live", async () => {
    hub.cameras.openAll();
    hub.cameras.tell("lobby", "main", {
      at: "refused",
      since: NOW,
      cause: { code: "camera_unauthorized", message: "check `source`" },
      attempt: 2,
      nextAttempt: NOW + 1_000,
    });
    expect(await (await app.request("/api/v1/cameras/lobby")).json()).toMatchObject({
      state: "refused",
      cause: { code: "camera_unauthorized", message: "check `source`" },
      attempt: 2,
      next_attempt_at: "2026-01-02T03:04:06.678Z",
    });
  });

  test("add, stop, start, remove", async () => {
    const added = await app.request("/api/v1/cameras", json({ id: "gate", source: SECRET }));
    expect(added.status).toBe(201);
    expect(added.headers.get("location")).toBe("/api/v1/cameras/gate");
    expect(await added.json()).toMatchObject({ id: "gate", origin: "api", transport: "auto" });
    const post = (path: string) => app.request(`/api/v1/cameras/gate${path}`, { method: "POST" });
    expect(await (await post("/stop")).json()).toMatchObject({ enabled: false, state: "idle" });
    expect(await (await post("/start")).json()).toMatchObject({ enabled: true });
    const removed = await app.request("/api/v1/cameras/gate", { method: "DELETE" });
    expect([removed.status, await removed.text()]).toEqual([204, ""]);
    expect(done).toEqual(["open gate", "close gate", "open gate", "close gate"]);
    await expectProblem(await app.request("/api/v1/cameras/gate"), 404, "camera_unknown");
  });

  test("change: what is given changes, the rest stays, and it is pulled anew", async () => {
    await app.request("/api/v1/cameras", json({ id: "gate", source: SECRET }));
    const change = (id: string, body: unknown) =>
      app.request(`/api/v1/cameras/${id}`, { ...json(body), method: "PATCH" });
    expect(await (await change("gate", { transport: "udp" })).json()).toMatchObject({
      transport: "udp",
      source: "rtsp://10.0.0.9/stream1",
    });
    expect(await (await change("gate", { source: "rtsp://h/2" })).json()).toMatchObject({
      transport: "udp",
      source: "rtsp://h/2",
    });
    expect(done).toEqual(["open gate", "open gate", "open gate"]);
    await expectProblem(await change("gate", { id: "x" }), 400, "request_invalid");
    await expectProblem(await change("gate", { source: "x" }), 400, "request_invalid");
    await expectProblem(await change("gate", { sub: "file:/x" }), 400, "request_invalid");
    await expectProblem(await change("lobby", { transport: "udp" }), 409, "camera_configured");
    await expectProblem(await change("nobody", {}), 404, "camera_unknown");
  });

  test.each([
    ["no JSON", { method: "POST", body: "x" }, 415, "media_type", "Content-Type"],
    ["broken JSON", { ...json(0), body: "{" }, 400, "request_invalid", "not JSON"],
    [
      "a misspelt key",
      json({ id: "a", sorce: "x" }),
      400,
      "request_invalid",
      "did you mean `source`",
    ],
    ["a bad name", json({ id: "a/b", source: SECRET }), 400, "request_invalid", "id: must be"],
    ["no address", json({ id: "a", source: "gopher://x" }), 400, "request_invalid", "rtsp://"],
    ["a local file", json({ id: "a", source: "/etc/passwd" }), 400, "request_invalid", "file only"],
    ["one that exists", json({ id: "lobby", source: SECRET }), 409, "camera_exists", "lobby"],
    ["a huge body", json({ id: "a".repeat(1e5) }), 400, "request_invalid", "larger than"],
  ])("adding %s is refused in words", async (_name, init, status, code, words) => {
    const detail = await expectProblem(await app.request("/api/v1/cameras", init), status, code);
    expect(detail).toContain(words);
    expect(detail).not.toContain("hunter2");
    expect(done).toEqual([]);
  });

  test("a camera of the configuration file cannot be removed", async () => {
    const response = await app.request("/api/v1/cameras/lobby", { method: "DELETE" });
    await expectProblem(response, 409, "camera_configured");
  });
});

describe("whep", () => {
  test("an offer is answered, its session ended once", async () => {
    const response = await app.request("/whep/lobby?latency=lowest", sdp("offer"));
    expect([response.status, await response.text()]).toEqual([201, "answer lowest"]);
    expect(response.headers.get("content-type")).toBe("application/sdp");
    expect(response.headers.get("location")).toBe("/whep/lobby/s1");
    expect((await app.request("/whep/lobby/s1", { method: "DELETE" })).status).toBe(200);
    const again = await app.request("/whep/lobby/s2", { method: "DELETE" });
    await expectProblem(again, 404, "session_unknown");
  });

  test("what cannot be answered says why, and when to try again", async () => {
    const early = await app.request("/whep/gate", sdp("offer"));
    expect(early.headers.get("retry-after")).toBe("1");
    await expectProblem(early, 409, "camera_not_live");
    const wrong = await app.request("/whep/lobby", { ...sdp("x"), headers: {} });
    await expectProblem(wrong, 415, "media_type");
    const query = await app.request("/whep/lobby?latency=none", sdp("offer"));
    await expectProblem(query, 400, "request_invalid");
    const method = await app.request("/whep/lobby");
    expect(method.headers.get("allow")).toBe("POST");
    await expectProblem(method, 405, "method_not_allowed");
  });

  test("pages of other origins may not call it for their visitors", async () => {
    const init = sdp("offer", { origin: "https://evil.example", host: "127.0.0.1:8080" });
    await expectProblem(await app.request("/whep/lobby", init), 400, "request_invalid");
  });

  test("a bug is logged with its stack and not shown", async () => {
    const detail = await expectProblem(
      await app.request("/whep/lobby", sdp("bug")),
      500,
      "internal",
    );
    expect(detail).not.toContain("undefined");
    expect(lines.join("")).toContain("x is undefined");
  });
});

describe("health and metrics", () => {
  test("ready only when every process is up", async () => {
    expect((await app.request("/readyz")).status).toBe(200);
    hub.processes = () => [{ name: "media", up: false, pid: null, restarts: 3 }];
    const response = await app.request("/readyz");
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ status: "starting", version: "1.2.3" });
    expect((await app.request("/healthz")).status).toBe(200);
  });

  test("metrics carry what was told, and counters do not add up twice", async () => {
    hub.vitals.tellMedia(mediaStats(1), 1_000);
    hub.vitals.tellMedia(mediaStats(3), 3_000);
    await app.request("/metrics");
    const text = await (await app.request("/metrics")).text();
    for (const line of [
      'onepull_camera_up{camera="lobby"} 0',
      'onepull_camera_fps{camera="lobby"} 25',
      'onepull_camera_packets_total{camera="lobby"} 1200',
      'onepull_camera_reconnects_total{camera="lobby"} 1',
      'onepull_camera_viewers{camera="lobby"} 1',
      "onepull_webrtc_packets_total 10",
      "onepull_bugs_total 1",
      'onepull_process_cpu_seconds_total{process="media"} 1.5',
      'onepull_event_loop_lag_max_seconds{process="media"} 0.002',
    ]) {
      expect(text).toContain(line);
    }
  });

  test("the dashboard, the description and what is not there", async () => {
    expect(await (await app.request("/")).text()).toBe("<!doctype html>");
    expect((await app.request("/openapi.json")).status).toBe(200);
    await expectProblem(await app.request("/nothing"), 404, "route_unknown");
  });
});
