/**
 * The composition root: what runs, who talks to whom, and in which order it ends. START HERE.
 *
 *   camera ─RTSP→ media ─┬─ SRTP → browsers          (children/media.ts)
 *                        └─ access units → decode ─ pixels in /dev/shm     (children/decode.ts)
 *                                            └─ descriptors → bus → workers (children/bus.ts)
 *   hub: HTTP, registry, placement, supervision
 *
 * @module
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { createApi } from "./api/api.ts";
import { loadAssets } from "./api/assets.ts";
import type { Hub as HubForApi, ProcessReport, ViewerAnswer, ViewerOffer } from "./api/hub.ts";
import { Cameras } from "./cameras/cameras.ts";
import { CameraStore } from "./cameras/store.ts";
import { Vitals } from "./cameras/vitals.ts";
import type { BusOptions } from "./children/bus.ts";
import type { DecodeOptions } from "./children/decode.ts";
import type { MediaOptions } from "./children/media.ts";
import type { Config } from "./config/schema.ts";
import { Fault } from "./core/fault.ts";
import type { UnixMs } from "./core/units.ts";
import { Placement } from "./decode/placement.ts";
import { parseTopic } from "./framebus/topic.ts";
import { monotonicMs, unixMs } from "./native/clock.ts";
import { processStats, STATS_INTERVAL_MS } from "./process/child.ts";
import { Instance } from "./process/instance.ts";
import { announcedAddresses, freePort, isFree } from "./process/ports.ts";
import type {
  BusEvents,
  BusMethods,
  DecodeEvents,
  DecodeMethods,
  MediaEvents,
  MediaMethods,
  RtspSpec,
} from "./process/protocol.ts";
import { Child } from "./process/supervisor.ts";
import { LagMeter } from "./telemetry/lag.ts";
import type { Log } from "./telemetry/log.ts";

type Media = Child<MediaMethods, MediaEvents, MediaOptions>;
type Bus = Child<BusMethods, BusEvents, BusOptions>;
type Decode = Child<DecodeMethods, DecodeEvents, DecodeOptions>;

const entryOf = (name: string): string => join(import.meta.dir, "children", `${name}.ts`);

/** Offers and camera descriptions are a few kilobytes; routes set tighter bounds of their own. */
const REQUEST_BYTES_MAX = 256 << 10;

/** Where a running hub can be reached. */
export interface HubAddresses {
  readonly http: string;
  /** The RTSP server; a camera's name follows. */
  readonly rtsp: string;
  /** ZeroMQ endpoints of the frame bus. */
  readonly framebus: { readonly ipc: string; readonly tcp: string };
}

export class Hub implements HubForApi, AsyncDisposable {
  readonly version = manifest.version;
  readonly vitals = new Vitals();
  readonly cameras: Cameras;
  readonly addresses: HubAddresses;
  readonly #config: Config;
  readonly #log: Log;
  readonly #instance: Instance;
  readonly #lag = new LagMeter();
  readonly #placement: Placement;
  readonly #media: Media;
  readonly #bus: Bus;
  readonly #decode = new Map<string, Decode>();
  readonly #timer: ReturnType<typeof setInterval>;
  /** All topics that anyone subscribes to. */
  #topics: readonly string[] = [];
  #stack = new AsyncDisposableStack();

  private constructor(config: Config, log: Log, instance: Instance, store: CameraStore) {
    this.#config = config;
    this.#log = log;
    this.#instance = instance;
    const { framebus, rtsp } = config;
    this.addresses = {
      rtsp: `rtsp://${bracketed(rtsp.address)}:${rtsp.port}/`,
      http: `http://${bracketed(config.http.address)}:${config.http.port}`,
      framebus: {
        ipc: `ipc://${join(instance.runtimeDir, "frames")}`,
        tcp: `tcp://${bracketed(framebus.address)}:${framebus.port}`,
      },
    };
    this.#placement = new Placement({
      startGroup: (group) => void this.#decode.set(group, this.#startDecode(group)),
      stopGroup: (group) => this.#stopDecode(group),
      decode: async (group, camera, topics) => {
        await this.#decode.get(group)?.call("decode", { camera, topics });
      },
      feed: async (camera, group) => {
        const socket = group === null ? null : this.#unitSocket(group);
        await this.#media.call("feed", { camera, socket });
      },
    });
    this.#media = this.#startMedia();
    this.#bus = this.#startBus();
    this.cameras = new Cameras(
      config.cameras,
      store,
      {
        open: (spec) => this.#tellMedia("openCamera", spec),
        close: (camera) => this.#tellMedia("closeCamera", { camera }),
      },
      unixMs,
    );
    this.#timer = setInterval(() => this.#tick(), STATS_INTERVAL_MS);
  }

  /**
   * Starts everything. All or nothing: what was opened is closed when a step fails.
   *
   * @throws Fault `already_running`, `port_taken`, `config_invalid`
   */
  static async open(wanted: Config, log: Log): Promise<Hub> {
    await using stack = new AsyncDisposableStack();
    const config = await withPorts(wanted);
    const instance = stack.use(await Instance.open(config.instance));
    // Media opens it, and could only log that it is taken.
    if (!(await isFree("tcp", config.rtsp.port))) throw portTaken(config.rtsp, "rtsp");
    if (config.data !== ":memory:") mkdirSync(config.data, { recursive: true });
    const database = config.data === ":memory:" ? config.data : join(config.data, "onepull.db");
    const store = stack.use(new CameraStore(database));
    const assets = await loadAssets();
    const hub = new Hub(config, log, instance, store);
    stack.defer(() => hub.#stop());
    const api = createApi(hub, assets, log);
    const { address, port } = config.http;
    const server = serve(address, port, (request) => api.fetch(request));
    stack.defer(() => server.stop(true));
    hub.#stack = stack.move();
    log.info("hub is up", {
      http: hub.addresses.http,
      rtsp: hub.addresses.rtsp,
      version: hub.version,
    });
    return hub;
  }

  /** Ends everything, newest first: no new requests, then the processes, then what they used. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#lag[Symbol.dispose]();
    const children = [this.#media, this.#bus, ...this.#decode.values()];
    await Promise.all(children.map((child) => child.stop()));
  }

  now(): UnixMs {
    return unixMs();
  }

  processes(): readonly ProcessReport[] {
    const children = [this.#media, this.#bus, ...this.#decode.values()];
    return [
      { name: "hub", up: true, pid: process.pid, restarts: 0 },
      ...children.map(({ name, up, pid, restarts }) => ({ name, up, pid, restarts })),
    ];
  }

  async offer(camera: string, offer: ViewerOffer): Promise<ViewerAnswer> {
    const { enabled } = this.cameras.get(camera);
    if (!enabled) throw new Fault("camera_not_live", `\`${camera}\` is stopped; start it first.`);
    return this.#media.call("offer", { camera, ...offer });
  }

  async endViewer(camera: string, session: string): Promise<boolean> {
    return (await this.#media.call("endViewer", { camera, session })).found;
  }

  #startMedia(): Media {
    const { http, transcode, webrtc, log } = this.#config;
    return new Child<MediaMethods, MediaEvents, MediaOptions>({
      name: "media",
      entry: entryOf("media"),
      options: {
        log,
        transcode: {
          camerasMax: transcode.cameras_max,
          hardware: transcode.hardware,
          folder: this.#instance.runtimeDir,
        },
        webrtc: {
          addresses: announcedAddresses(webrtc.addresses, http.address),
          port: webrtc.port,
        },
      },
      listeners: {
        state: ({ camera, stream, state }) => this.cameras.tell(camera, stream, state),
        stats: (stats) => {
          this.vitals.tellMedia(stats, monotonicMs());
          for (const camera of stats.feedsLost) this.#placement.feedLost(camera);
        },
      },
      onUp: () => {
        this.cameras.openAll();
        // Last: who comes back to it at once finds the cameras there.
        this.#tellMedia("openRtsp", this.#rtspSpec());
        this.#placement.mediaUp(monotonicMs());
      },
      onDown: () => {
        this.vitals.forget("media");
        this.cameras.lostAll();
        this.#placement.mediaDown();
      },
      log: this.#log,
    });
  }

  #rtspSpec(): RtspSpec {
    const { address, port, users } = this.#config.rtsp;
    const list = Object.entries(users).map(([user, password]) => {
      return { user, password: password.reveal() };
    });
    return { address, port, users: list.length > 0 ? list : null };
  }

  #startBus(): Bus {
    const { log } = this.#config;
    return new Child<BusMethods, BusEvents, BusOptions>({
      name: "bus",
      entry: entryOf("bus"),
      options: {
        log,
        endpoints: [this.addresses.framebus.ipc, this.addresses.framebus.tcp],
        intake: this.#intake(),
      },
      listeners: {
        demand: ({ topics }) => {
          this.#topics = topics.map(({ topic }) => topic);
          this.#demand();
        },
        stats: (stats) => this.vitals.tellBus(stats),
      },
      // Subscribers come back by themselves; decoding lingers meanwhile.
      onUp: () => {
        this.#topics = [];
        this.#demand();
      },
      onDown: () => this.vitals.forget("bus"),
      log: this.#log,
    });
  }

  #startDecode(name: string): Decode {
    return new Child<DecodeMethods, DecodeEvents, DecodeOptions>({
      name,
      entry: entryOf("decode"),
      options: {
        log: this.#config.log,
        unitSocket: this.#unitSocket(name),
        shmDir: this.#instance.shmDir,
        intake: this.#intake(),
      },
      listeners: { stats: (stats) => this.vitals.tellDecode(name, stats) },
      onUp: () => this.#placement.groupUp(name, monotonicMs()),
      onDown: () => {
        this.vitals.forget(name);
        this.#placement.groupDown(name);
      },
      log: this.#log,
    });
  }

  #stopDecode(name: string): void {
    const child = this.#decode.get(name);
    this.#decode.delete(name);
    this.vitals.forget(name);
    void child?.stop();
  }

  /** Where decode processes hand their frames to the bus. */
  #intake(): string {
    return `ipc://${join(this.#instance.runtimeDir, "intake")}`;
  }
  /** Where the media process hands access units to a decode process. */
  #unitSocket(group: string): string {
    return join(this.#instance.runtimeDir, `${group}.sock`);
  }

  /** What is subscribed to, of cameras that exist. */
  #demand(): void {
    const byCamera = new Map<string, string[]>();
    for (const topic of this.#topics) {
      const { camera } = parseTopic(topic);
      if (!this.cameras.has(camera)) continue;
      byCamera.set(camera, [...(byCamera.get(camera) ?? []), topic]);
    }
    this.#placement.demand(byCamera, monotonicMs());
  }

  #tellMedia<K extends "openCamera" | "closeCamera" | "openRtsp">(
    method: K,
    takes: MediaMethods[K]["takes"],
  ): void {
    // While the process is away nothing is lost: it is told of every camera when it is up.
    if (!this.#media.up) return;
    this.#media.call(method, takes).catch((error: unknown) => {
      this.#log.error("media refused", { method, message: String(error) });
    });
  }

  #tick(): void {
    this.vitals.processes.set("hub", processStats(this.#lag));
    // Cameras come and go by the API too; this lets time pass for the placement as well.
    this.#demand();
  }
}

/** Ports that the system shall choose are chosen here, so that restarted processes keep them. */
async function withPorts(config: Config): Promise<Config> {
  const { http, webrtc, rtsp, framebus } = config;
  return {
    ...config,
    http: { ...http, port: http.port || (await freePort("tcp")) },
    webrtc: { ...webrtc, port: webrtc.port || (await freePort("udp")) },
    rtsp: { ...rtsp, port: rtsp.port || (await freePort("tcp")) },
    framebus: { ...framebus, port: framebus.port || (await freePort("tcp")) },
  };
}

function serve(
  hostname: string,
  port: number,
  fetch: (request: Request) => Response | Promise<Response>,
): Bun.Server<undefined> {
  try {
    return Bun.serve({ hostname, port, fetch, maxRequestBodySize: REQUEST_BYTES_MAX });
  } catch (error) {
    throw portTaken({ address: hostname, port }, "http", error);
  }
}

function portTaken(
  { address, port }: { readonly address: string; readonly port: number },
  section: string,
  cause?: unknown,
): Fault {
  const message = `Port ${port} on ${address} is taken: end what uses it, or set \`${section}.port\`.`;
  return new Fault("port_taken", message, { cause });
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
