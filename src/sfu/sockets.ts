/** The media port: one UDP socket per announced address, so that answers leave by the right one. */
import { assert, Fault } from "../core/fault.ts";
import { libc } from "../native/libc.ts";
import { type Destination, findDescriptor, openBatch, prepareDescriptor } from "../native/udp.ts";
import type { TransportAddress } from "../rtc/address.ts";
import { type Egress, SocketEgress } from "./egress.ts";

/** What Bun calls when a datagram arrives. The bytes are borrowed. */
export type DatagramListener = (
  socket: MediaSocket,
  datagram: Uint8Array,
  address: string,
  port: number,
) => void;

/** Attempts to find a port that is free on every address, when any will do. */
const PORT_ATTEMPTS_MAX = 8;

/** What a viewer is reached by. */
export interface MediaPort {
  readonly address: string;
  /** For media. */
  readonly egress: Egress;
  /** For control traffic: sends one datagram now, or loses it. */
  send(datagram: Uint8Array, to: TransportAddress): void;
}

/** One address of the media port. */
export class MediaSocket implements MediaPort {
  readonly address: string;
  readonly port: number;
  readonly egress: Egress;
  /** Datagrams that could not be sent by `send`. */
  sendErrors = 0;
  readonly #socket: Bun.udp.Socket<"buffer">;

  constructor(socket: Bun.udp.Socket<"buffer">, address: string, batches: boolean) {
    this.#socket = socket;
    this.address = address;
    this.port = socket.port;
    const descriptor = libc === null ? -1 : findDescriptor(address, socket.port);
    if (descriptor >= 0) prepareDescriptor(descriptor);
    this.egress = (batches ? openBatch(descriptor) : null) ?? new SocketEgress(socket);
  }

  /** A full buffer or an unreachable peer loses the datagram, which is counted. */
  send(datagram: Uint8Array, to: TransportAddress): void {
    try {
      if (!this.#socket.send(datagram, to.port, to.address)) this.sendErrors++;
    } catch {
      this.sendErrors++;
    }
  }

  close(): void {
    if (!this.#socket.closed) this.#socket.close();
  }
}

export interface SocketOptions {
  /** IP addresses of this machine, best first. */
  readonly addresses: readonly string[];
  /** 0: any that is free on all of them. */
  readonly port: number;
  /** False sends by Bun's socket alone. */
  readonly batches: boolean;
}

/**
 * Opens all addresses on one port, or none.
 * @throws Fault config_invalid when one of them cannot be had
 */
export async function openSockets(
  options: SocketOptions,
  listener: DatagramListener,
): Promise<readonly MediaSocket[]> {
  assert(options.addresses.length > 0, "the configuration names an address or its default does");
  for (let attempt = 1; ; attempt++) {
    try {
      return await openAll(options, listener);
    } catch (error) {
      if (options.port !== 0 || attempt === PORT_ATTEMPTS_MAX) throw error;
    }
  }
}

async function openAll(
  { addresses, port, batches }: SocketOptions,
  listener: DatagramListener,
): Promise<readonly MediaSocket[]> {
  using stack = new DisposableStack();
  const sockets: MediaSocket[] = [];
  for (const address of addresses) {
    const socket = await openOne(address, sockets[0]?.port ?? port, batches, listener);
    stack.defer(() => socket.close());
    sockets.push(socket);
  }
  stack.move();
  return sockets;
}

async function openOne(
  address: string,
  port: number,
  batches: boolean,
  listener: DatagramListener,
): Promise<MediaSocket> {
  let media: MediaSocket | null = null;
  const socket = await bind(address, port, {
    data(_socket, datagram, from, sender) {
      if (media !== null) listener(media, datagram, sender, from);
    },
    error() {
      // ICMP errors of single peers, where IP_RECVERR cannot be cleared: consent expiry deals with
      // peers that are gone.
    },
  });
  media = new MediaSocket(socket, address, batches);
  return media;
}

async function bind(
  hostname: string,
  port: number,
  socket: Bun.udp.SocketHandler<"buffer">,
): Promise<Bun.udp.Socket<"buffer">> {
  try {
    return await Bun.udpSocket({ hostname, port, socket });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = `The WebRTC port, UDP ${port} on ${hostname}, cannot be opened (${reason})`;
    const remedy = "free it, or set webrtc.port or webrtc.addresses";
    throw new Fault("config_invalid", `${what}: ${remedy}.`, { cause });
  }
}

/** The two ends of a viewer's way, nominated by its ICE checks. */
export interface Path {
  readonly socket: MediaPort;
  readonly to: Destination;
  /** Equal for equal ends. */
  readonly key: string;
}

/** Names a path without making it. */
export function pathKey(socket: MediaPort, address: string, port: number): string {
  return `${socket.address}|${address}|${port}`;
}
