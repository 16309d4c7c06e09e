/**
 * UDP for all sessions: one pair of ports per address of this machine that clients connect to, so
 * that packets leave by the address that was asked.
 *
 * @module
 */
import type { udp } from "bun";
import { type DatagramBatch, findDescriptor, openBatch, prepareDescriptor } from "../native/udp.ts";
import type { Pair } from "../rtsp/transport.ts";

/** Pairs tried until an even port and its successor are both free. */
const PAIR_ATTEMPTS_MAX = 32;

type UdpSocket = udp.Socket<"uint8array">;

/** Takes what arrives from one client's ports. The bytes are borrowed. */
export interface Peer {
  readonly address: string;
  readonly ports: Pair;
  rtp(packet: Uint8Array): void;
  rtcp(packet: Uint8Array): void;
}

/** An even port for RTP and the next one for RTCP (RFC 3550 section 11). */
export class UdpPair implements Disposable {
  readonly ports: Pair;
  /** For RTP. */
  readonly batch: DatagramBatch;
  /** Datagrams from whom nothing was agreed with. */
  strangers = 0;
  readonly #rtp: UdpSocket;
  readonly #rtcp: UdpSocket;
  readonly #peers = new Map<string, (packet: Uint8Array) => void>();

  private constructor(rtp: UdpSocket, rtcp: UdpSocket, batch: DatagramBatch) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.batch = batch;
    this.ports = [rtp.port, rtcp.port];
  }

  /** `null` when no pair is free, or the system cannot send batches. */
  static async open(address: string): Promise<UdpPair | null> {
    let pair: UdpPair | null = null;
    const arrived = (kind: 0 | 1) => (packet: Uint8Array, port: number, from: string) => {
      if (pair !== null) pair.#arrived(kind, packet, port, from);
    };
    for (let attempt = 0; attempt < PAIR_ATTEMPTS_MAX; attempt++) {
      const rtp = await bind(address, 0, arrived(0));
      if (rtp === null) return null;
      const even = rtp.port % 2 === 0;
      const rtcp = even ? await bind(address, rtp.port + 1, arrived(1)) : null;
      if (rtcp === null) {
        rtp.close();
        continue;
      }
      const batch = openBatch(prepared(rtp));
      prepared(rtcp);
      if (batch !== null) pair = new UdpPair(rtp, rtcp, batch);
      if (pair !== null) return pair;
      rtp.close();
      rtcp.close();
      return null;
    }
    return null;
  }

  /** What comes from the peer's ports goes to it. Returns how to end that. */
  admit(peer: Peer): () => void {
    const keys = peer.ports.map((port, kind) => keyOf(kind, peer.address, port));
    const handlers = [
      (packet: Uint8Array) => peer.rtp(packet),
      (packet: Uint8Array) => peer.rtcp(packet),
    ];
    for (const [i, key] of keys.entries()) this.#peers.set(key, handlers[i]!);
    return () => {
      // The same ports may belong to a later session by now.
      for (const [i, key] of keys.entries()) {
        if (this.#peers.get(key) === handlers[i]) this.#peers.delete(key);
      }
    };
  }

  /** Sends one RTCP packet now, or loses it: the next one says the same, and more. */
  sendControl(packet: Uint8Array, address: string, port: number): void {
    try {
      this.#rtcp.send(packet, port, address);
    } catch {
      // An address without a route; its RTSP connection ends the session.
    }
  }

  [Symbol.dispose](): void {
    this.#rtp.close();
    this.#rtcp.close();
  }

  #arrived(kind: 0 | 1, packet: Uint8Array, port: number, from: string): void {
    const peer = this.#peers.get(keyOf(kind, from, port));
    if (peer === undefined) this.strangers++;
    else peer(packet);
  }
}

function keyOf(kind: number, address: string, port: number): string {
  return `${kind} ${address} ${port}`;
}

function prepared(socket: UdpSocket): number {
  const descriptor = findDescriptor(socket.hostname, socket.port);
  if (descriptor >= 0) prepareDescriptor(descriptor);
  return descriptor;
}

/** `null` when the port is taken. */
async function bind(
  hostname: string,
  port: number,
  arrived: (packet: Uint8Array, port: number, from: string) => void,
): Promise<UdpSocket | null> {
  try {
    return await Bun.udpSocket({
      hostname,
      port,
      binaryType: "uint8array",
      socket: {
        data: (_socket, packet, from, address) => arrived(packet, from, address),
        // Those of single peers that are gone; their RTSP connections end their sessions.
        error: () => undefined,
      },
    });
  } catch {
    return null;
  }
}

/** The pairs of all addresses, each opened when first wanted. */
export class UdpPairs implements AsyncDisposable {
  readonly #pairs = new Map<string, Promise<UdpPair | null>>();
  readonly #open: UdpPair[] = [];

  /** The pair on an address of this machine; `null` when there is none to be had. */
  on(address: string): Promise<UdpPair | null> {
    const known = this.#pairs.get(address);
    if (known !== undefined) return known;
    const pair = this.#opened(address);
    this.#pairs.set(address, pair);
    return pair;
  }

  /** Sends everything that was written. */
  flush(): void {
    for (const { batch } of this.#open) batch.flush();
  }

  get strangers(): number {
    return this.#open.reduce((sum, pair) => sum + pair.strangers, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pairs = await Promise.all(this.#pairs.values());
    for (const pair of pairs) pair?.[Symbol.dispose]();
  }

  async #opened(address: string): Promise<UdpPair | null> {
    const pair = await UdpPair.open(address);
    if (pair === null) this.#pairs.delete(address);
    else this.#open.push(pair);
    return pair;
  }
}
