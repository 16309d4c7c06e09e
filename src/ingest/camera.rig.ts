/** A camera for tests: an RTSP server on 127.0.0.1 that sends tiny H.264 pictures. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import type { Socket, TCPSocketListener } from "bun";
import { monotonicMs } from "../native/clock.ts";
import { writeU16, writeU32 } from "../rtp/header.ts";
import { writeInterleavedHeader } from "../rtsp/interleaved.ts";
import { h264Format, type OfferedMedia, writeSdp } from "../rtsp/sdp.ts";
import { ServerConnection } from "../rtsp/server.ts";
import type { ServerEvent, ServerOptions } from "../rtsp/server-event.ts";
import { token } from "./primitives.ts";

const SPS = Uint8Array.fromHex("6742c01ed90141fb0110000003001000000303c0f162e480");
const PPS = Uint8Array.fromHex("68cb83cb20");
const IDR = new Uint8Array([0x65, 0x88, 1, 2, 3]);
const SLICE = new Uint8Array([0x41, 0x9a, 1, 2]);
const FRAME_INTERVAL_MS = 10;

export const VIDEO: OfferedMedia = {
  kind: "video",
  control: "video",
  format: h264Format(96, SPS, PPS),
};

export interface CameraOptions {
  readonly port?: number;
  readonly media?: readonly OfferedMedia[];
  readonly server?: Partial<ServerOptions>;
}

export class TestCamera implements Disposable {
  /** What it sends; changed by tests while it runs. */
  sends: "keyframes" | "slices" | "nothing" = "keyframes";
  readonly events: ServerEvent[] = [];
  /** RTCP and punches that arrived over UDP, as hex. */
  readonly datagrams: string[] = [];
  connections = 0;
  readonly port: number;
  readonly #options: CameraOptions;
  readonly #listener: TCPSocketListener<Connection>;
  readonly #open = new Set<Connection>();
  readonly #timer: Timer;

  constructor(options: CameraOptions = {}) {
    this.#options = options;
    this.#listener = Bun.listen<Connection>({
      hostname: "127.0.0.1",
      port: options.port ?? 0,
      socket: {
        open: (socket) => {
          this.connections++;
          socket.data = new Connection(this, socket, options);
          this.#open.add(socket.data);
        },
        data: (socket, bytes) => socket.data.handle(bytes),
        close: (socket) => this.#forget(socket.data),
        error: () => {},
      },
    });
    this.port = this.#listener.port;
    this.#timer = setInterval(() => this.#send(), FRAME_INTERVAL_MS);
  }

  get kinds(): string[] {
    return this.events.map((event) => event.kind);
  }

  source(credentials = ""): string {
    return `rtsp://${credentials}127.0.0.1:${this.port}/cam`;
  }

  /** Pulls every plug. */
  drop(): void {
    for (const connection of this.#open) connection.socket.terminate();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#listener.stop(true);
    for (const connection of this.#open) this.#forget(connection);
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection);
    connection.close();
  }

  #send(): void {
    if (this.sends === "nothing") return;
    const nals = this.sends === "keyframes" ? [SPS, PPS, IDR] : [SLICE];
    for (const connection of this.#open) connection.frame(nals);
  }

  /** What is described; the path is /cam. */
  get sdp(): string {
    return writeSdp("cam", this.#options.media ?? [VIDEO]);
  }
}

/** One client of the camera. */
class Connection {
  readonly socket: Socket<Connection>;
  readonly #camera: TestCamera;
  readonly #engine: ServerConnection;
  #channel: number | null = null;
  #udp: { readonly rtp: UdpSocket; readonly rtcp: UdpSocket; readonly port: number } | null = null;
  #playing = false;
  #sequence = 65_000;
  #timestamp = 0;

  constructor(camera: TestCamera, socket: Socket<Connection>, options: CameraOptions) {
    this.#camera = camera;
    this.socket = socket;
    const now = monotonicMs();
    this.#engine = new ServerConnection({ now, token, sink: () => {}, ...options.server });
  }

  handle(bytes: Uint8Array): void {
    this.#engine.handle(bytes, monotonicMs());
    this.#drain();
  }

  close(): void {
    this.#playing = false;
    this.#udp?.rtp.close();
    this.#udp?.rtcp.close();
    this.#udp = null;
  }

  frame(nals: readonly Uint8Array[]): void {
    if (!this.#playing) return;
    this.#timestamp += 3000;
    for (const [i, nal] of nals.entries()) this.#packet(nal, i === nals.length - 1);
  }

  #packet(nal: Uint8Array, marker: boolean): void {
    const framed = new Uint8Array(16 + nal.length);
    writeInterleavedHeader(framed, 0, this.#channel ?? 0, 12 + nal.length);
    framed[4] = 0x80;
    framed[5] = 96 | (marker ? 0x80 : 0);
    writeU16(framed, 6, this.#sequence++ & 0xffff);
    writeU32(framed, 8, this.#timestamp);
    writeU32(framed, 12, 0x1234);
    framed.set(nal, 16);
    if (this.#channel !== null) this.socket.write(framed);
    else this.#udp?.rtp.send(framed.subarray(4), this.#udp.port, "127.0.0.1");
  }

  #drain(): void {
    for (let out = this.#engine.poll(); out.kind !== "wait"; out = this.#engine.poll()) {
      if (out.kind === "send") this.socket.write(out.bytes);
      else this.#event(out.event);
    }
  }

  #event(event: ServerEvent): void {
    this.#camera.events.push(event);
    if (event.kind === "describe") {
      if (event.path === "/cam") this.#engine.describe(this.#camera.sdp);
      else this.#engine.refuse(404);
    } else if (event.kind === "setup" && event.transport.lower === "tcp") {
      this.#channel = event.transport.channels[0];
      this.#engine.setup({});
    } else if (event.kind === "setup" && event.transport.lower === "udp") {
      this.#bind(event.transport.clientPort[0]);
    } else if (event.kind === "play") {
      this.#engine.play([]);
      this.#playing = true;
    } else if (event.kind === "closed") this.socket.end();
    else this.#playing = false;
  }

  #bind(port: number): void {
    const rtp = createSocket("udp4");
    const rtcp = createSocket("udp4");
    for (const socket of [rtp, rtcp]) {
      socket.on("error", () => {});
      socket.on("message", (bytes) => this.#camera.datagrams.push(bytes.toHex()));
    }
    rtp.bind(0, "127.0.0.1", () => {
      rtcp.bind(0, "127.0.0.1", () => {
        this.#udp = { rtp, rtcp, port };
        this.#engine.setup({ serverPort: [rtp.address().port, rtcp.address().port] });
        this.#drain();
      });
    });
  }
}

/** Waits until it holds, in small steps; throws when it does not within five seconds. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 5) {
    if (holds()) return;
    await Bun.sleep(5);
  }
  throw new Error(`never happened: ${what}`);
}
