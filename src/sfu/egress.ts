/**
 * Ways out for media: datagrams are written into an arena one after another and sent together.
 * `DatagramBatch` (native/udp.ts) is the fast one; this is the interface, and the one that works
 * everywhere.
 *
 * @module
 */
import { Pinned } from "../native/libc.ts";
import type { BatchCounters, DatagramBatch, Destination } from "../native/udp.ts";

/** Sends what was committed at `flush`, in order. Used by one caller at a time. */
export interface Egress {
  readonly arena: Pinned;
  readonly counters: Readonly<BatchCounters>;
  /** Returns where in the arena up to `bytes` may be written. May flush first. */
  reserve(bytes: number): number;
  /** The datagram of `length` bytes stands where `reserve` said. */
  commit(length: number, to: Destination): void;
  flush(): void;
}

/** How an egress sends: with runs, one system call for many, or Bun's way. */
export type EgressKind = "gso" | "sendmmsg" | "bun";

/** Which of them an egress is, as of now: runs may have been given up. */
export function kindOf(egress: Egress | DatagramBatch): EgressKind {
  if (!("segmentation" in egress)) return "bun";
  return egress.segmentation ? "gso" : "sendmmsg";
}

/** What a batch needs of a Bun UDP socket. */
export interface DatagramSocket {
  sendMany(packets: readonly (Uint8Array | string | number)[]): number;
}

const ARENA_BYTES = 256 << 10;

/** Sends by Bun's own socket. */
export class SocketEgress implements Egress {
  readonly arena = new Pinned(ARENA_BYTES);
  readonly counters: BatchCounters = {
    packets: 0,
    bytes: 0,
    refused: 0,
    dropped: 0,
    systemCalls: 0,
  };
  readonly #socket: DatagramSocket;
  /** Bytes, port and address of each datagram, as `sendMany` takes them. */
  #packets: (Uint8Array | string | number)[] = [];
  #destinations: Destination[] = [];
  #end = 0;

  constructor(socket: DatagramSocket) {
    this.#socket = socket;
  }

  reserve(bytes: number): number {
    if (this.#end + bytes > ARENA_BYTES) this.flush();
    return this.#end;
  }

  commit(length: number, to: Destination): void {
    const start = this.#end;
    this.#end += length;
    this.#packets.push(this.arena.bytes.subarray(start, this.#end), to.port, to.address);
    this.#destinations.push(to);
    this.counters.bytes += length;
  }

  flush(): void {
    const destinations = this.#destinations;
    if (destinations.length === 0) return;
    const done = this.#send(this.#packets);
    this.#packets = [];
    this.#destinations = [];
    this.#end = 0;
    this.counters.systemCalls++;
    for (let i = done; i < destinations.length; i++) {
      destinations[i]!.refused++;
      this.counters.refused++;
    }
  }

  /** How many were sent or given up; the others were refused. */
  #send(packets: readonly (Uint8Array | string | number)[]): number {
    // Where IP_RECVERR cannot be cleared, an ICMP error of one peer is reported here, once.
    for (let attempt = 1; attempt <= 2; attempt++) {
      try {
        const sent = this.#socket.sendMany(packets);
        this.counters.packets += sent;
        return sent;
      } catch {
        if (attempt === 2) this.counters.dropped += packets.length / 3;
      }
    }
    return packets.length / 3;
  }
}
