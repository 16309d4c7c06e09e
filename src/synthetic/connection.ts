/** One client's RTSP connection: drives the protocol engine and sends what its camera has. */
import { randomBytes } from "node:crypto";
import type { Socket } from "bun";
import { assert } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import { Outbox } from "../rtsp/outbox.ts";
import { ServerConnection } from "../rtsp/server.ts";
import type { ServerEvent, ServerOptions } from "../rtsp/server-event.ts";
import type { Pair } from "../rtsp/transport.ts";
import { type Camera, type CameraConnection, VIDEO_CONTROL } from "./camera.ts";
import { TcpReceiver, UdpReceiver } from "./receivers.ts";

/** What all connections share. */
export interface Site {
  /** By name, which is also the path. */
  readonly cameras: ReadonlyMap<string, Camera>;
  /** The session description of every camera. */
  readonly description: string;
  readonly authentication: ServerOptions["authentication"];
}

/** What the client set up, and maybe plays. */
interface Session {
  readonly camera: Camera;
  readonly receiver: TcpReceiver | UdpReceiver;
  leave: (() => void) | null;
}

type SetupEvent = Extract<ServerEvent, { readonly kind: "setup" }>;

/** Owned by the socket: `closed` frees everything. */
export class Connection implements CameraConnection {
  readonly #socket: Socket<Connection>;
  readonly #site: Site;
  readonly #engine: ServerConnection;
  readonly #outbox: Outbox;
  /** Cameras that know this connection. */
  readonly #cameras = new Set<Camera>();
  #session: Session | null = null;
  #deadline: Millis = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(socket: Socket<Connection>, site: Site) {
    this.#socket = socket;
    this.#site = site;
    this.#outbox = new Outbox((bytes) => socket.write(bytes));
    this.#engine = new ServerConnection({
      now: monotonicMs(),
      token: () => randomBytes(16).toString("hex"),
      // What clients report of their reception is of no use to a camera that cannot adapt.
      sink: () => undefined,
      ...(site.authentication && { authentication: site.authentication }),
    });
    this.#pump();
  }

  /** Takes bytes from the socket, borrowed. */
  receive(bytes: Uint8Array): void {
    this.#engine.handle(bytes, monotonicMs());
    this.#pump();
  }

  /** The socket takes bytes again. */
  drain(): void {
    this.#outbox.drain();
  }

  /** Time has passed. */
  tick(now: Millis): void {
    if (now < this.#deadline) return;
    this.#engine.handle(null, now);
    this.#pump();
  }

  /** Ends the connection at once, without a word. */
  drop(): void {
    this.#socket.terminate();
    this.closed();
  }

  /** The socket is gone. Idempotent. */
  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endSession();
    for (const camera of this.#cameras) camera.connections.delete(this);
  }

  #pump(): void {
    while (!this.#closed) {
      const out = this.#engine.poll();
      if (out.kind === "wait") {
        this.#deadline = out.until;
        return;
      }
      if (out.kind === "event") this.#onEvent(out.event);
      else if (!this.#outbox.message(out.bytes)) this.drop();
    }
  }

  #onEvent(event: ServerEvent): void {
    switch (event.kind) {
      case "describe":
        this.#onDescribe(event.path);
        break;
      case "setup":
        this.#onSetup(event);
        break;
      case "play":
        this.#onPlay();
        break;
      case "announce":
      case "record":
        this.#engine.refuse(405);
        break;
      case "pause":
        this.#session?.leave?.();
        break;
      case "teardown":
        this.#endSession();
        break;
      case "closed":
        this.#endSession();
        if (this.#outbox.waiting > 0) this.drop();
        else this.#socket.end();
        break;
      default:
        event satisfies never;
    }
  }

  #onDescribe(path: string): void {
    const camera = this.#find(path);
    if (camera === null) return;
    camera.counters.describes++;
    this.#engine.describe(this.#site.description);
  }

  #onSetup({ path, control, transport }: SetupEvent): void {
    const camera = this.#find(path);
    if (camera === null) return;
    if (control !== "" && control !== VIDEO_CONTROL) this.#engine.refuse(404);
    // There is one track, under two names.
    else if (this.#session !== null) this.#engine.refuse(459);
    else if (transport.lower === "tcp") {
      const receiver = new TcpReceiver(this.#outbox, transport.channels);
      this.#session = { camera, receiver, leave: null };
      this.#engine.setup({ ssrc: camera.ssrc });
    } else void this.#setupUdp(camera, transport.clientPort);
  }

  async #setupUdp(camera: Camera, clientPort: Pair): Promise<void> {
    const { localAddress: from, remoteAddress: to } = this.#socket;
    const alive = () => this.#engine.alive(monotonicMs());
    const receiver = await UdpReceiver.open({ from, to, clientPort }, alive);
    if (this.#closed) {
      receiver?.close();
      return;
    }
    if (receiver === null) this.#engine.refuse(461);
    else {
      this.#session = { camera, receiver, leave: null };
      this.#engine.setup({ ssrc: camera.ssrc, serverPort: receiver.serverPort });
    }
    this.#pump();
  }

  #onPlay(): void {
    const session = this.#session;
    assert(session !== null, "what is played was set up");
    if (!session.camera.on) {
      this.drop();
      return;
    }
    session.camera.counters.plays++;
    this.#engine.play(session.camera.starts());
    session.leave = session.camera.join(session.receiver);
  }

  #endSession(): void {
    this.#session?.leave?.();
    this.#session?.receiver.close();
    this.#session = null;
  }

  /** The camera under `path`. `null` when there is none that answers; the client is served then. */
  #find(path: string): Camera | null {
    const camera = this.#site.cameras.get(path.slice(1));
    if (camera === undefined) {
      this.#engine.refuse(404);
      return null;
    }
    if (!camera.on) {
      this.drop();
      return null;
    }
    this.#cameras.add(camera);
    camera.connections.add(this);
    return camera;
  }
}
