// The same parts in one process, wired by functions: what the processes are is no secret of theirs.
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LightViewer } from "../../bench/light/viewer.ts";
import { openBus } from "../../src/children/bus.ts";
import { openDecode } from "../../src/children/decode.ts";
import { openMedia } from "../../src/children/media.ts";
import { readMessage } from "../../src/framebus/header.ts";
import { ZmqContext } from "../../src/native/zmq.ts";
import type { Tell } from "../../src/process/child.ts";
import type { BusEvents, DecodeEvents, MediaEvents } from "../../src/process/protocol.ts";
import type { CameraState } from "../../src/stream/camera-state.ts";
import { SyntheticCameras } from "../../src/synthetic/synthetic.ts";
import { Log } from "../../src/telemetry/log.ts";
import { until } from "../harness/hub.ts";

const log = new Log({ level: "warn", format: "text" }, {});
const basics = { log: { level: "warn", format: "text" } } as const;

/** Calls the listener of the event that is told. */
function listen<E extends object>(listeners: Partial<{ [K in keyof E]: (carries: E[K]) => void }>) {
  return (<K extends keyof E>(name: K, carries: E[K]) => listeners[name]?.(carries)) as Tell<
    E & Record<string, unknown>
  >;
}

test("camera to viewer and to worker without a second process", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "onepull-one-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const cameras = stack.use(
    await SyntheticCameras.open(
      { count: 1, width: 320, height: 180, bitrate: 300_000, gopSeconds: 1 },
      new AbortController().signal,
    ),
  );
  const frames = `ipc://${join(folder, "frames")}`;
  const intake = `ipc://${join(folder, "intake")}`;
  const unitSocket = join(folder, "units.sock");

  const states: CameraState[] = [];
  const media = await openMedia(
    {
      ...basics,
      transcode: { camerasMax: 1, hardware: false, folder },
      webrtc: { addresses: ["127.0.0.1"], port: 0 },
    },
    listen<MediaEvents>({ state: ({ state }) => states.push(state) }),
    log,
  );
  stack.defer(() => media.close());
  let demand: readonly string[] = [];
  const bus = await openBus(
    { ...basics, endpoints: [frames], intake },
    listen<BusEvents>({
      demand: ({ topics }) => {
        demand = topics.map(({ topic }) => topic);
      },
    }),
    log,
  );
  stack.defer(() => bus.close());
  const decode = await openDecode(
    { ...basics, unitSocket, shmDir: folder, intake },
    listen<DecodeEvents>({}),
    log,
  );
  stack.defer(() => decode.close());

  // However quickly it is opened and closed, the camera has one connection in the end.
  const settings = {
    transport: "auto",
    puller: "auto",
    tls: { verify: true, fingerprint: null },
  } as const;
  const main = { source: cameras.url(0), ...settings };
  const spec = { id: "one" as const, main, sub: null, kept: ["main" as const], lingerMs: 0 };
  await Promise.all([
    media.handlers.openCamera(spec),
    media.handlers.openCamera(spec),
    media.handlers.closeCamera({ camera: "one" }),
    media.handlers.openCamera(spec),
    media.handlers.openCamera(spec),
  ]);
  await until("the camera is live", () => states.at(-1)?.at === "live", 10_000);

  expect(cameras.stats().cameras[0]?.connections).toBe(1);

  const offer = (sdp: string): Promise<{ sdp: string }> | { sdp: string } =>
    media.handlers.offer({ camera: "one", stream: "main", sdp, latency: "default" });
  const viewer = await LightViewer.connect(async (sdp) => (await offer(sdp)).sdp, {
    verifyEvery: 1,
  });
  stack.defer(() => viewer.close());
  await until("a second of packets", () => viewer.counters.verified > 40, 10_000);
  expect(viewer.counters).toMatchObject({ gaps: 0, notAuthentic: 0 });

  using context = new ZmqContext();
  const worker = context.open("sub", { conflate: true });
  worker.subscribe(new TextEncoder().encode("one/shm\0"));
  worker.connect(frames);
  await until("the bus hears of it", () => demand.includes("one/shm"), 5_000);
  await decode.handlers.decode({ camera: "one", topics: demand });
  await media.handlers.feed({ camera: "one", socket: unitSocket });
  const message = new Uint8Array(4_096);
  let length = -1;
  const receive = (): boolean => {
    length = worker.receive(message);
    return length > 0;
  };
  await until("a frame", receive, 10_000);
  const { header } = readMessage(message.subarray(0, length));
  expect(header).toMatchObject({ camera: "one", width: 320, height: 180, damaged: false });
  expect(existsSync(header.path)).toBe(true);
}, 60_000);
