/**
 * Which cameras there are, which of them should run, and how each one is doing.
 *
 * @module
 */
import * as z from "zod";
import { problemsOf } from "../config/load.ts";
import { CameraConfig, CameraName } from "../config/schema.ts";
import { Fault } from "../core/fault.ts";
import type { Secret } from "../core/secret.ts";
import type { CameraSpec, StreamName, UpstreamSpec } from "../process/protocol.ts";
import { isPublished, refuseLocal } from "../source/source.ts";
import type { CameraState } from "../stream/camera-state.ts";
import type { CameraStore } from "./store.ts";

/** More than any machine can pull; bounds what an API client can make the hub keep. */
const CAMERAS_MAX = 5_000;

/** What the API takes to add a camera. */
const NewCamera = z.strictObject({ id: CameraName, ...CameraConfig.shape });
/** What the API takes to change one: any of its settings, without their defaults. */
const { source, sub, transport, puller, tls, on_demand, linger_s, preload } = CameraConfig.shape;
const ChangedCamera = z
  .strictObject({
    source,
    sub: sub.unwrap(),
    transport: transport.unwrap(),
    puller: puller.unwrap(),
    tls: tls.unwrap(),
    on_demand: on_demand.unwrap(),
    linger_s: linger_s.unwrap(),
    preload: preload.unwrap(),
  })
  .partial();

/** One camera as the registry knows it. */
export interface Camera {
  readonly id: string;
  /** From the configuration file, which the API cannot change, or added by the API. */
  readonly origin: "config" | "api";
  readonly config: CameraConfig;
  /** False after `stop`, until `start`. */
  readonly enabled: boolean;
  readonly state: CameraState;
  /** Of its smaller stream; `null` when it has none. */
  readonly sub: CameraState | null;
}

/** What the registry has done when a camera should run or should not. */
export interface CameraActions {
  open(spec: CameraSpec): void;
  close(id: string): void;
}

export class Cameras {
  readonly #cameras = new Map<string, Camera>();
  readonly #store: CameraStore;
  readonly #actions: CameraActions;
  readonly #now: () => number;

  /**
   * Configured cameras win over stored ones of the same name.
   *
   * @param now Unix milliseconds
   */
  constructor(
    configured: Readonly<Record<string, CameraConfig>>,
    store: CameraStore,
    actions: CameraActions,
    now: () => number,
  ) {
    this.#store = store;
    this.#actions = actions;
    this.#now = now;
    const stopped = store.stopped();
    const keep = (id: string, origin: Camera["origin"], config: CameraConfig): void => {
      const enabled = !stopped.has(id);
      this.#cameras.set(id, { id, origin, config, enabled, ...this.#idle(config) });
    };
    for (const { id, config } of store.cameras()) {
      keep(id, "api", CameraConfig.parse(JSON.parse(config)));
    }
    for (const [id, config] of Object.entries(configured)) keep(id, "config", config);
  }

  list(): Camera[] {
    return [...this.#cameras.values()].sort((a, b) => compareNames(a.id, b.id));
  }

  has(id: string): boolean {
    return this.#cameras.has(id);
  }

  /** @throws Fault `camera_unknown` */
  get(id: string): Camera {
    const camera = this.#cameras.get(id);
    if (camera) return camera;
    throw new Fault("camera_unknown", `There is no camera \`${id}\`; see GET /api/v1/cameras.`);
  }

  /**
   * Adds a camera and starts it. `body` is what came over the wire.
   *
   * @throws Fault `request_invalid`, `camera_exists`, `limit_reached`
   */
  add(body: unknown): Camera {
    const { id, ...config } = checked(NewCamera, body);
    refuseLocal(config.source.reveal());
    if (config.sub) refuseLocal(config.sub.reveal());
    if (this.#cameras.has(id)) {
      throw new Fault("camera_exists", `There is a camera \`${id}\` already; remove it first.`);
    }
    if (this.#cameras.size >= CAMERAS_MAX) {
      throw new Fault("limit_reached", `A hub has at most ${CAMERAS_MAX} cameras.`);
    }
    this.#keep(id, config);
    const camera: Camera = { id, origin: "api", config, enabled: true, ...this.#idle(config) };
    this.#cameras.set(id, camera);
    this.#actions.open(specOf(camera));
    return camera;
  }

  /**
   * Changes settings of a camera that was added by the API; a running one is pulled anew. `body` is
   * what came over the wire.
   *
   * @throws Fault `request_invalid`, `camera_unknown`, `camera_configured`
   */
  change(id: string, body: unknown): Camera {
    const camera = this.#own(id);
    const changes = checked(ChangedCamera, body);
    const given = Object.entries(changes).filter(([, value]) => value !== undefined);
    for (const changed of [changes.source, changes.sub]) {
      if (changed) refuseLocal(changed.reveal());
    }
    const config: CameraConfig = { ...camera.config, ...Object.fromEntries(given) };
    this.#keep(id, config);
    const changed = this.#change(camera, { config, ...this.#idle(config) });
    if (changed.enabled) this.#actions.open(specOf(changed));
    return changed;
  }

  /** @throws Fault `camera_unknown`, `camera_configured` */
  remove(id: string): void {
    this.#own(id);
    this.#store.remove(id);
    this.#cameras.delete(id);
    this.#actions.close(id);
  }

  /** Lets the camera run; remembered across restarts. @throws Fault `camera_unknown` */
  start(id: string): Camera {
    const camera = this.get(id);
    if (camera.enabled) return camera;
    this.#store.setStopped(id, false);
    const started = this.#change(camera, { enabled: true });
    this.#actions.open(specOf(started));
    return started;
  }

  /** Ends the camera's pull and its viewers; remembered across restarts. @throws Fault `camera_unknown` */
  stop(id: string): Camera {
    const camera = this.get(id);
    if (!camera.enabled) return camera;
    this.#store.setStopped(id, true);
    this.#actions.close(id);
    return this.#change(camera, { enabled: false, ...this.#idle(camera.config) });
  }

  /** The media process is new: it has to be told of every camera that should run. */
  openAll(): void {
    for (const camera of this.#cameras.values()) {
      if (camera.enabled) this.#actions.open(specOf(camera));
    }
  }

  /** The media process is gone, and with it every pull. */
  lostAll(): void {
    const cause = { code: "process_down", message: "The media process is restarting." } as const;
    for (const camera of this.#cameras.values()) {
      if (!camera.enabled) continue;
      const now = this.#now();
      const lost = {
        at: "reconnecting",
        since: now,
        cause,
        attempt: 0,
        nextAttempt: now,
      } as const;
      this.#change(camera, { state: lost, sub: camera.sub && lost });
    }
  }

  /** A camera's pull tells its state; one of a camera that is gone or stopped is too late. */
  tell(id: string, stream: StreamName, state: CameraState): void {
    const camera = this.#cameras.get(id);
    if (!camera?.enabled) return;
    this.#change(camera, stream === "main" ? { state } : { sub: state });
  }

  /** Other cameras that have the source of this one, and so its connection. */
  sharing({ id, config }: Camera): string[] {
    const source = config.source.reveal();
    if (isPublished(source)) return [];
    return this.list()
      .filter((other) => other.id !== id && other.enabled)
      .filter((other) => other.config.source.reveal() === source)
      .map((other) => other.id);
  }

  /** A camera that the API may change. */
  #own(id: string): Camera {
    const camera = this.get(id);
    if (camera.origin === "api") return camera;
    const message = `\`${id}\` is in the configuration file: change it there, or stop it here.`;
    throw new Fault("camera_configured", message);
  }

  #keep(id: string, config: CameraConfig): void {
    const { source, sub } = config;
    const stored = { ...config, source: source.reveal(), sub: sub?.reveal() ?? null };
    this.#store.put({ id, config: JSON.stringify(stored) });
  }

  #change(camera: Camera, change: Partial<Camera>): Camera {
    const changed = { ...camera, ...change };
    this.#cameras.set(camera.id, changed);
    return changed;
  }

  #idle({ sub }: CameraConfig): Pick<Camera, "state" | "sub"> {
    const idle = { at: "idle", since: this.#now() } as const;
    return { state: idle, sub: sub && idle };
  }
}

function specOf({ id, config }: Camera): CameraSpec {
  const { transport, puller, tls } = config;
  const upstream = (source: Secret, path: string): UpstreamSpec => {
    const text = source.reveal();
    // Each camera's own: cameras of one source share it.
    const own = isPublished(text) ? `publish://${path}` : text;
    return { source: own, transport, puller, tls };
  };
  return {
    id,
    main: upstream(config.source, id),
    sub: config.sub && upstream(config.sub, `${id}/sub`),
    kept: keptOf(config),
    lingerMs: config.linger_s * 1_000,
  };
}

function keptOf({ on_demand, preload }: CameraConfig): StreamName[] {
  if (preload) return ["main", "sub"];
  return on_demand ? [] : ["main"];
}

/** `camera-2` before `camera-10`. */
const compareNames = new Intl.Collator("en", { numeric: true }).compare;

/** @throws Fault `request_invalid` with every problem in words */
function checked<S extends z.ZodType>(schema: S, body: unknown): z.infer<S> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap((issue) =>
    problemsOf(issue, schema).map(
      ({ path, words }) => `${path.map(String).join(".") || "body"}: ${words}`,
    ),
  );
  throw new Fault("request_invalid", problems.join("; "));
}
