// Whatever a camera or a person does wrong gets its own state and words; others keep running.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { CameraReport } from "../../src/api/report.ts";
import { freePort } from "../../src/process/ports.ts";
import { openCameras, type TestCameras } from "../harness/cameras.ts";
import { cameraOf, type HubProcess, startHub, until, untilState } from "../harness/hub.ts";

const stack = new AsyncDisposableStack();
let good: TestCameras;
let locked: TestCameras;
let hub: HubProcess;
let noise: Bun.TCPSocketListener;
let web: Bun.Server<undefined>;
let silent: Bun.TCPSocketListener;
let closedPort = 0;

beforeAll(async () => {
  good = stack.use(await openCameras(1));
  const login = ["--user", "admin", "--password", "right"];
  locked = stack.use(await openCameras(1, login));
  closedPort = await freePort("tcp");
  noise = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket) => {
        socket.write(crypto.getRandomValues(new Uint8Array(2_000)));
      },
    },
  });
  silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  web = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("no camera") });
  hub = stack.use(await startHub(good.sources));
  await untilState(hub, "demo-1", "live", 10_000);
}, 200_000);
afterAll(async () => {
  await stack.disposeAsync();
  noise.stop(true);
  silent.stop(true);
  await web.stop(true);
});

async function add(id: string, source: string): Promise<Response> {
  return fetch(`${hub.http}/api/v1/cameras`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id, source }),
  });
}

const lockedAddress = (credentials: string): string =>
  (locked.sources["demo-1"] ?? "").replace("rtsp://", `rtsp://${credentials}@`);

/** What each wrong camera must come to. Addresses are known only once the servers run. */
const cases: readonly {
  readonly id: string;
  readonly source: () => string;
  readonly state: CameraReport["state"];
  readonly code: string;
  readonly words: RegExp;
}[] = [
  {
    id: "wrong-password",
    source: () => lockedAddress("admin:wr0ng-secret"),
    state: "refused",
    code: "camera_unauthorized",
    words: /user name or password/,
  },
  {
    id: "no-password",
    source: () => locked.sources["demo-1"] ?? "",
    state: "refused",
    code: "camera_unauthorized",
    words: /user name|password|credentials/,
  },
  {
    id: "unknown-path",
    source: () => (good.sources["demo-1"] ?? "").replace("demo-1", "nowhere"),
    state: "refused",
    code: "camera_not_found",
    words: /nowhere/,
  },
  {
    id: "closed-port",
    source: () => `rtsp://127.0.0.1:${closedPort}/cam`,
    state: "reconnecting",
    code: "camera_unreachable",
    words: /127\.0\.0\.1/,
  },
  {
    id: "garbage",
    source: () => `rtsp://127.0.0.1:${noise.port}/cam`,
    state: "reconnecting",
    code: "camera_protocol",
    words: /RTSP/,
  },
  {
    id: "web-server",
    source: () => `rtsp://127.0.0.1:${web.port}/cam`,
    state: "reconnecting",
    code: "camera_protocol",
    words: /HTTP/,
  },
  {
    id: "silent",
    source: () => `rtsp://127.0.0.1:${silent.port}/cam`,
    state: "reconnecting",
    code: "camera_timeout",
    words: /answer/,
  },
  {
    id: "no-such-host",
    source: () => "rtsp://no-such-host.invalid/cam",
    state: "reconnecting",
    code: "camera_unreachable",
    words: /no-such-host\.invalid/,
  },
];

describe("cameras that cannot work", () => {
  test("each gets its own state, code and words; the good one does not notice", async () => {
    const before = await cameraOf(hub, "demo-1");
    for (const { id, source } of cases) expect((await add(id, source())).status).toBe(201);
    for (const { id, state, code, words } of cases) {
      const camera = await untilState(hub, id, state, 20_000);
      expect({ id, code: camera.cause?.code }).toEqual({ id, code });
      expect(camera.cause?.message).toMatch(words);
      console.log(`${id}: ${camera.cause?.message}`);
      expect(JSON.stringify(camera)).not.toContain("wr0ng-secret");
    }
    const started = performance.now();
    await Bun.sleep(1_000);
    await until(
      "the good camera goes on",
      async () => {
        const { counters, state } = await cameraOf(hub, "demo-1");
        return state === "live" && counters.frames - before.counters.frames > 50;
      },
      5_000 - (performance.now() - started),
    );
    const after = await cameraOf(hub, "demo-1");
    expect(after.counters).toMatchObject({ connects: 1, damaged_frames: 0, lost_packets: 0 });
    expect(hub.log()).not.toContain("wr0ng-secret");
  }, 60_000);

  test("a viewer of one is told why, and when to come again", async () => {
    const response = await fetch(`${hub.http}/whep/wrong-password`, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: "v=0\r\n",
    });
    expect(response.status).toBe(409);
    expect(response.headers.get("retry-after")).toBe("1");
    const { detail } = (await response.json()) as { detail: string };
    expect(detail).toContain("user name or password");
  }, 20_000);

  test("mended ones come back: stop, remove, add again", async () => {
    const removed = await fetch(`${hub.http}/api/v1/cameras/wrong-password`, { method: "DELETE" });
    expect(removed.status).toBe(204);
    expect((await add("wrong-password", lockedAddress("admin:right"))).status).toBe(201);
    await untilState(hub, "wrong-password", "live", 10_000);
    await fetch(`${hub.http}/api/v1/cameras/wrong-password/stop`, { method: "POST" });
    expect((await cameraOf(hub, "wrong-password")).state).toBe("idle");
    await until(
      "the camera has nobody left",
      async () => (await locked.counted("demo-1")).connections === 0,
      5_000,
    );
    await fetch(`${hub.http}/api/v1/cameras/wrong-password/start`, { method: "POST" });
    await untilState(hub, "wrong-password", "live", 10_000);
  }, 60_000);
});

describe("offers that cannot be answered", () => {
  test.each([
    ["nothing", "", 400],
    ["garbage", "\u0000\u0001 not an offer", 400],
    ["no video", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", 400],
  ])("%s", async (_name, body, status) => {
    const response = await fetch(`${hub.http}/whep/demo-1`, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body,
    });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    const { detail } = (await response.json()) as { detail: string };
    expect(detail.length).toBeGreaterThan(10);
  });
});
