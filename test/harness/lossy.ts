/**
 * A bad network between an RTSP camera and whoever pulls it over UDP: loses, delays and reorders
 * packets, from a seed. In user space: nothing of the machine's own network is touched.
 *
 * RTSP passes through a proxy that writes its own UDP ports into the Transport headers.
 *
 * @module
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createConnection, createServer, type Server, type Socket } from "node:net";

/** What happens to RTP and RTCP on their way from the camera. May be changed while it runs. */
export interface LinkQuality {
  /** Share of packets that never arrive. */
  loss: number;
  /** Each packet is late by up to so much, on its own: packets overtake each other. */
  jitterMs: number;
}

export interface LossyLink extends AsyncDisposable {
  readonly quality: LinkQuality;
  /** Packets from the camera so far. */
  readonly counters: { carried: number; lost: number; overtaken: number };
  /** The same camera's address through this link. */
  through(url: string): string;
}

type Pair = readonly [number, number];

/** Where the cameras' RTSP server listens. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

/** Opens a link on 127.0.0.1. The same seed makes the same choices, packet by packet. */
export async function openLossyLink(
  target: Target,
  quality: LinkQuality,
  seed: number,
): Promise<LossyLink> {
  const link = new Link(target, quality, seeded(seed));
  await link.listen();
  return link;
}

/** Uniform in [0, 1), the same every time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

class Link implements LossyLink {
  readonly quality: LinkQuality;
  readonly counters = { carried: 0, lost: 0, overtaken: 0 };
  readonly #random: () => number;
  readonly #target: Target;
  readonly #server: Server;
  readonly #sessions = new Set<Session>();

  constructor(target: Target, quality: LinkQuality, random: () => number) {
    this.#target = target;
    this.quality = quality;
    this.#random = random;
    this.#server = createServer((client) => {
      const session = new Session(client, this.#target, this);
      this.#sessions.add(session);
      client.once("close", () => this.#sessions.delete(session));
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  through(url: string): string {
    const at = this.#server.address();
    const port = typeof at === "object" ? (at?.port ?? 0) : 0;
    return url.replace(/(?<=\/\/(?:[^/@]*@)?)[^/]+/, `127.0.0.1:${port}`);
  }

  /** Calls `deliver` when the packet arrives, if it does. Returns when that is, in ms. */
  carry(deliver: () => void): number {
    this.counters.carried++;
    if (this.#random() < this.quality.loss) {
      this.counters.lost++;
      return 0;
    }
    const delayMs = this.#random() * this.quality.jitterMs;
    if (delayMs < 1) deliver();
    else setTimeout(deliver, delayMs);
    return performance.now() + delayMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.close();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** One RTSP connection, and the UDP ports of its tracks. */
class Session {
  readonly #client: Socket;
  readonly #camera: Socket;
  readonly #link: Link;
  readonly #ways: Way[] = [];

  constructor(client: Socket, target: Target, link: Link) {
    this.#client = client;
    this.#link = link;
    this.#camera = createConnection(target);
    client.on("data", (bytes) => void this.#fromClient(bytes.toString("latin1")));
    this.#camera.on("data", (bytes) => this.#fromCamera(bytes.toString("latin1")));
    for (const socket of [client, this.#camera]) {
      socket.on("error", () => this.close());
      socket.on("close", () => this.close());
    }
  }

  close(): void {
    this.#client.destroy();
    this.#camera.destroy();
    for (const way of this.#ways.splice(0)) way.close();
  }

  /** Requests are small, and one is under way at a time: each comes in one piece. */
  async #fromClient(text: string): Promise<void> {
    const ports = portsIn(text, "client_port");
    if (ports === null) {
      this.#camera.write(text, "latin1");
      return;
    }
    const way = await Way.open(ports, this.#link);
    this.#ways.push(way);
    this.#camera.write(withPorts(text, "client_port", way.ports), "latin1");
  }

  #fromCamera(text: string): void {
    const ports = portsIn(text, "server_port");
    const way = this.#ways.at(-1);
    if (ports === null || way === undefined) {
      this.#client.write(text, "latin1");
      return;
    }
    way.camera = ports;
    const answered = withPorts(text, "server_port", way.ports);
    this.#client.write(withPorts(answered, "client_port", way.client), "latin1");
  }
}

/** The two ports of a track: what comes from the camera goes to the client, and back. */
class Way {
  readonly ports: Pair;
  readonly client: Pair;
  camera: Pair = [0, 0];
  readonly #sockets: readonly [UdpSocket, UdpSocket];
  readonly #link: Link;
  #latest = 0;
  #closed = false;

  private constructor(client: Pair, sockets: readonly [UdpSocket, UdpSocket], link: Link) {
    this.client = client;
    this.#sockets = sockets;
    this.#link = link;
    this.ports = [sockets[0].address().port, sockets[1].address().port];
    for (const i of [0, 1] as const) {
      sockets[i].on("message", (packet, { port }) => this.#forward(i, packet, port));
    }
  }

  static async open(client: Pair, link: Link): Promise<Way> {
    return new Way(client, [await bound(), await bound()], link);
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#sockets) socket.close();
  }

  #forward(i: 0 | 1, packet: Uint8Array, from: number): void {
    const socket = this.#sockets[i];
    if (from === this.client[i]) {
      socket.send(packet, this.camera[i], "127.0.0.1");
      return;
    }
    const copy = packet.slice();
    const arrives = this.#link.carry(() => {
      if (!this.#closed) socket.send(copy, this.client[i], "127.0.0.1");
    });
    if (arrives > 0 && arrives < this.#latest) this.#link.counters.overtaken++;
    this.#latest = Math.max(this.#latest, arrives);
  }
}

async function bound(): Promise<UdpSocket> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
  // ICMP of an end that is gone; its RTSP connection says so too.
  socket.on("error", () => {});
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

function portsIn(text: string, name: string): Pair | null {
  const found = new RegExp(`${name}=(\\d+)-(\\d+)`).exec(text);
  return found ? [Number(found[1]), Number(found[2])] : null;
}

function withPorts(text: string, name: string, [first, second]: Pair): string {
  return text.replace(new RegExp(`${name}=\\d+-\\d+`), `${name}=${first}-${second}`);
}
