/**
 * Synthetic cameras: an RTSP server with any number of cameras that show the same clip, each at
 * another place of it and with a clock of its own. For demonstrations, tests and benches.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { TCPSocketListener } from "bun";
import { assert, Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import { h264Format, writeSdp } from "../rtsp/sdp.ts";
import type { ServerOptions } from "../rtsp/server-event.ts";
import { Camera, VIDEO_CONTROL } from "./camera.ts";
import { type Clip, openClip } from "./clip.ts";
import { Connection } from "./connection.ts";
import { type ControlServer, openControl } from "./control.ts";
import { FrameFile } from "./frame-file.ts";
import type { FrameRecord } from "./frame-log.ts";
import { type SyntheticOptions, syntheticOptions } from "./options.ts";
import { PAYLOAD_TYPE, UnitPackets } from "./packets.ts";
import { Schedule } from "./schedule.ts";
import type { SyntheticStats } from "./stats.ts";

/** How often connections are asked whether their time is up. */
const SWEEP_INTERVAL_MS = 1_000;
/** Keyframes of neighbours lie so many frames apart, so that they do not come all at once. */
const PHASE_STEP_FRAMES = 7;

/** Running cameras; `close` ends them. */
export class SyntheticCameras implements AsyncDisposable {
  readonly #options: SyntheticOptions;
  readonly #cameras: readonly Camera[];
  readonly #byName: ReadonlyMap<string, Camera>;
  readonly #file: FrameFile | null;
  readonly #resources = new AsyncDisposableStack();
  readonly #connections = new Set<Connection>();
  readonly #schedule: Schedule;
  #listener: TCPSocketListener<Connection> | null = null;
  #control: ControlServer | null = null;
  #timer: NodeJS.Timeout | null = null;

  private constructor(options: SyntheticOptions, clip: Clip, file: FrameFile | null) {
    const units = clip.units.map((unit) => new UnitPackets(unit));
    this.#options = options;
    this.#file = file;
    this.#cameras = Array.from({ length: options.count }, (_, index) => {
      return new Camera({
        name: `${options.prefix}${index + 1}`,
        units,
        phase: (index * PHASE_STEP_FRAMES) % units.length,
        fps: options.fps,
        startWithKeyframe: options.startWithKeyframe,
        onFrame: file && ((record) => file.add(record)),
      });
    });
    this.#byName = new Map(this.#cameras.map((camera) => [camera.name, camera]));
    this.#schedule = new Schedule(options.count, options.fps, monotonicMs());
  }

  /**
   * Makes the clip, or finds it in the cache, and starts the cameras.
   *
   * @throws Fault native_unavailable without an encoder, config_invalid for a port or log file that
   * cannot be had
   */
  static async open(
    given: Partial<SyntheticOptions>,
    signal: AbortSignal,
  ): Promise<SyntheticCameras> {
    const options = syntheticOptions(given);
    const { width, height, fps, bitrate, profile, parameterSets } = options;
    const gopFrames = Math.max(1, Math.round(options.gopSeconds * fps));
    const video = { width, height, fps, bitrate, gopFrames, profile, parameterSets };
    const clip = await openClip(video, options.clipFolder, options, signal);
    await using stack = new AsyncDisposableStack();
    const file = options.logFile === null ? null : await FrameFile.open(options.logFile);
    if (file !== null) stack.use(file);
    const cameras = new SyntheticCameras(options, clip, file);
    cameras.#start(clip, stack);
    cameras.#resources.use(stack.move());
    return cameras;
  }

  /** The RTSP address of a camera, counted from 0, without credentials. */
  url(index: number): string {
    const camera = this.#cameras[index];
    assert(camera !== undefined, "addresses are asked of cameras there are");
    return this.#urlOf(camera);
  }

  /** The RTSP port. */
  get port(): number {
    return this.#listener?.port ?? 0;
  }

  /** The port of the control interface, `null` when there is none. */
  get controlPort(): number | null {
    return this.#control?.port ?? null;
  }

  stats(): SyntheticStats {
    const cameras = this.#cameras.map((camera) => ({
      name: camera.name,
      url: this.#urlOf(camera),
      on: camera.on,
      connections: camera.connections.size,
      playing: camera.playing,
      ...camera.counters,
    }));
    return { cameras, pace: this.#schedule.pace(), logDropped: this.#file?.dropped ?? 0 };
  }

  /** The last frames that a camera wrote later than `since`; `null` when there is no such camera. */
  frames(name: string, since: Millis = Number.NEGATIVE_INFINITY): FrameRecord[] | null {
    return this.#byName.get(name)?.log.records(since) ?? null;
  }

  /** Switches a camera on, or off as by a power cut. False when there is no such camera. */
  switch(name: string, on: boolean): boolean {
    const camera = this.#byName.get(name);
    camera?.switch(on);
    return camera !== undefined;
  }

  /** Drops all clients and frees the ports. Idempotent. */
  async close(): Promise<void> {
    await this.#resources.disposeAsync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(clip: Clip, stack: AsyncDisposableStack): void {
    const format = h264Format(PAYLOAD_TYPE, clip.sps, clip.pps);
    const video = { kind: "video", control: VIDEO_CONTROL, format } as const;
    const description = writeSdp("onepull synthetic camera", [video]);
    const authentication = authenticationOf(this.#options);
    const site = { cameras: this.#byName, description, authentication };
    const listener = this.#listen((socket) => new Connection(socket, site));
    this.#listener = listener;
    stack.defer(() => {
      for (const connection of [...this.#connections]) connection.drop();
      listener.stop(true);
    });
    if (this.#options.controlPort !== null) {
      this.#control = openControl(this, this.#options.controlPort);
      stack.use(this.#control);
    }
    const sweep = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    stack.defer(() => clearInterval(sweep));
    stack.defer(() => clearTimeout(this.#timer ?? undefined));
    this.#run();
  }

  #listen(accept: (socket: Bun.Socket<Connection>) => Connection): TCPSocketListener<Connection> {
    const { host, port } = this.#options;
    try {
      return Bun.listen<Connection>({
        hostname: host,
        port,
        socket: {
          open: (socket) => {
            socket.setNoDelay(true);
            socket.data = accept(socket);
            this.#connections.add(socket.data);
          },
          data: (socket, bytes) => socket.data.receive(bytes),
          drain: (socket) => socket.data.drain(),
          close: (socket) => {
            socket.data.closed();
            this.#connections.delete(socket.data);
          },
          error: (socket) => socket.data.drop(),
        },
      });
    } catch (cause) {
      const todo = "Choose another port, or end who has it.";
      throw new Fault("config_invalid", `Cannot listen on ${host}:${port}. ${todo}`, { cause });
    }
  }

  /** Takes all turns that are due, then sleeps until the next. */
  #run(): void {
    const now = monotonicMs();
    while (this.#schedule.advance(now)) {
      this.#cameras[this.#schedule.camera]?.tick(this.#schedule.interval);
    }
    const waitMs = this.#schedule.due - monotonicMs();
    this.#timer = setTimeout(() => this.#run(), Math.max(0, Math.ceil(waitMs)));
  }

  #sweep(): void {
    const now = monotonicMs();
    for (const connection of this.#connections) connection.tick(now);
  }

  #urlOf(camera: Camera): string {
    const host = this.#options.host.includes(":") ? `[${this.#options.host}]` : this.#options.host;
    return `rtsp://${host}:${this.port}/${encodeURIComponent(camera.name)}`;
  }
}

function authenticationOf({ login }: SyntheticOptions): ServerOptions["authentication"] {
  if (login === null) return undefined;
  return {
    realm: "onepull",
    passwordOf: (user) => (user === login.user ? login.password : null),
    hash: (algorithm, text) =>
      createHash(algorithm === "MD5" ? "md5" : "sha256")
        .update(text)
        .digest("hex"),
  };
}
