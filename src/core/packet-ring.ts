/**
 * The one store of a camera's packets: RTP payloads, packed one behind another in a byte ring.
 * Every consumer reads from here; nothing is stored per viewer.
 *
 * A packet has an id; ids are consecutive and never reused (2^53 of them). Packets `tail` up to but
 * without `head` are held. The bytes of a packet are contiguous.
 *
 * @module
 */
import { assert } from "./fault.ts";
import type { RtpTicks } from "./units.ts";

/** First packet of its access unit. */
export const FLAG_START = 1;
/** Last packet of its access unit (the RTP marker bit). */
export const FLAG_MARKER = 2;
/** On the first packet of an access unit that decodes alone. */
export const FLAG_KEYFRAME = 4;
/** On the first packet of an access unit that lost something on the way here. */
export const FLAG_DAMAGED = 8;
/** Stands for packets that never arrived: no bytes, and viewers see a gap in sequence numbers. */
export const FLAG_HOLE = 16;

/** Entries of the packet index at the start: a second of 4 Mbps. It doubles as needed. */
const INDEX_LENGTH_MIN = 512;
/** Bounds the index against a stream of tiny packets or of nothing but holes. */
const INDEX_LENGTH_MAX = 65_536;
/** Room for a group of pictures that is somewhat longer than the longest so far. */
const GROWTH = 1.25;
/** A minute of the usual groups of pictures: the ring is as large as the longest of so many needs. */
const GROUPS_WATCHED = 30;
/** Copying is worth it for a quarter of the memory. */
const SHRINK_MIN = 0.75;

export class PacketRing {
  /** Payload bytes. Replaced when the ring grows: do not keep a reference across packets. */
  bytes: Uint8Array;
  /** The next packet's id. */
  head = 0;
  /** The oldest packet held. */
  tail = 0;
  /** Packets that were dropped although wanted, because the ring may not grow further. */
  overruns = 0;

  readonly #bytesMin: number;
  readonly #bytesMax: number;
  #starts: Uint32Array;
  #lengths: Uint16Array;
  #timestamps: Uint32Array;
  #flags: Uint8Array;
  #mask: number;
  /** Where the next packet's bytes go. */
  #at = 0;
  #reserved = 0;
  #keepFrom = 0;
  // Of groups of pictures: the one being written, the largest of the last ones, how many those are.
  #groupBytes = 0;
  #groupBytesMax = 0;
  #groups = 0;

  /**
   * @param bytesMin allocated at once, and always
   * @param bytesMax the ring grows up to this while a group of pictures does not fit
   */
  constructor(bytesMin: number, bytesMax: number) {
    this.bytes = new Uint8Array(bytesMin);
    this.#bytesMin = bytesMin;
    this.#bytesMax = bytesMax;
    this.#starts = new Uint32Array(INDEX_LENGTH_MIN);
    this.#lengths = new Uint16Array(INDEX_LENGTH_MIN);
    this.#timestamps = new Uint32Array(INDEX_LENGTH_MIN);
    this.#flags = new Uint8Array(INDEX_LENGTH_MIN);
    this.#mask = INDEX_LENGTH_MIN - 1;
  }

  /** Packets from this id on are worth growing for. */
  get keepFrom(): number {
    return this.#keepFrom;
  }
  /** A group of pictures begins with this packet: from here on is what joiners need. */
  set keepFrom(id: number) {
    if (id === this.#keepFrom) return;
    this.#keepFrom = id;
    this.#groupBytesMax = Math.max(this.#groupBytesMax, this.#groupBytes);
    this.#groupBytes = 0;
    if (++this.#groups < GROUPS_WATCHED || this.#reserved > 0) return;
    this.#shrink();
    this.#groups = 0;
    this.#groupBytesMax = 0;
  }

  /** Offset of the packet's payload in `bytes`. */
  start(id: number): number {
    return this.#starts[id & this.#mask]!;
  }
  /** Payload bytes of the packet; 0 for a hole. */
  length(id: number): number {
    return this.#lengths[id & this.#mask]!;
  }
  timestamp(id: number): RtpTicks {
    return this.#timestamps[id & this.#mask]!;
  }
  flags(id: number): number {
    return this.#flags[id & this.#mask]!;
  }
  /** Adds flags that become known after the packet was committed. */
  addFlags(id: number, flags: number): void {
    this.#flags[id & this.#mask]! |= flags;
  }
  /** True while the packet is held. */
  holds(id: number): boolean {
    return id >= this.tail && id < this.head;
  }

  /**
   * Makes room for one packet of at most `length` bytes and returns where it starts in `bytes`
   * (read `bytes` after this call). Overwrites the oldest packets.
   */
  reserve(length: number): number {
    assert(length <= this.bytes.length >> 1, "a packet fits into half the smallest ring");
    this.#makeRoom(length);
    this.#reserved = length;
    return this.#at;
  }

  /** Commits the packet whose `length` bytes were written where `reserve` said. Returns its id. */
  commit(length: number, timestamp: RtpTicks, flags: number): number {
    assert(length <= this.#reserved, "a packet is no longer than its reservation");
    this.#reserved = 0;
    if (this.head - this.tail > this.#mask) this.#makeIndexRoom();
    const id = this.head++;
    const i = id & this.#mask;
    this.#starts[i] = this.#at;
    this.#lengths[i] = length;
    this.#timestamps[i] = timestamp;
    this.#flags[i] = flags;
    this.#at += length;
    this.#groupBytes += length;
    return id;
  }

  /** Marks that packets are missing here. Returns the hole's id. */
  hole(timestamp: RtpTicks, flags: number): number {
    this.reserve(0);
    return this.commit(0, timestamp, flags | FLAG_HOLE);
  }

  #makeRoom(length: number): void {
    for (;;) {
      if (this.#at + length > this.bytes.length) {
        if (!this.#evict(this.#at, this.bytes.length)) continue;
        this.#at = 0;
      }
      if (this.#evict(this.#at, this.#at + length)) return;
    }
  }

  /**
   * Drops the packets that start in [from, to). Ahead of the write position lie only the oldest
   * ones, in order. Returns false when the ring grew instead, and room must be sought anew.
   */
  #evict(from: number, to: number): boolean {
    while (this.tail < this.head) {
      const start = this.start(this.tail);
      if (start < from || start >= to) return true;
      if (this.tail >= this.keepFrom) {
        if (this.#grow()) return false;
        this.overruns++;
      }
      this.tail++;
    }
    return true;
  }

  /** False when the bound is reached. */
  #grow(): boolean {
    const { length } = this.bytes;
    if (length >= this.#bytesMax) return false;
    this.#resize(Math.min(this.#bytesMax, Math.ceil(length * GROWTH)));
    return true;
  }

  #shrink(): void {
    const wanted = Math.max(this.#bytesMin, Math.ceil(this.#groupBytesMax * GROWTH));
    if (wanted <= this.bytes.length * SHRINK_MIN) this.#resize(wanted);
  }

  /** Moves to a buffer of this length, oldest packet first; drops the oldest that do not fit. */
  #resize(length: number): void {
    let held = 0;
    for (let id = this.tail; id < this.head; id++) held += this.length(id);
    while (held > length) held -= this.length(this.tail++);
    const bytes = new Uint8Array(length);
    let at = 0;
    for (let id = this.tail; id < this.head; id++) {
      const start = this.start(id);
      const end = start + this.length(id);
      bytes.set(this.bytes.subarray(start, end), at);
      this.#starts[id & this.#mask] = at;
      at += end - start;
    }
    this.bytes = bytes;
    this.#at = at;
  }

  #makeIndexRoom(): void {
    const length = (this.#mask + 1) * 2;
    if (length > INDEX_LENGTH_MAX) {
      if (this.tail >= this.keepFrom) this.overruns++;
      this.tail++;
      return;
    }
    const old = { s: this.#starts, l: this.#lengths, t: this.#timestamps, f: this.#flags };
    const oldMask = this.#mask;
    this.#starts = new Uint32Array(length);
    this.#lengths = new Uint16Array(length);
    this.#timestamps = new Uint32Array(length);
    this.#flags = new Uint8Array(length);
    this.#mask = length - 1;
    for (let id = this.tail; id < this.head; id++) {
      const from = id & oldMask;
      const to = id & this.#mask;
      this.#starts[to] = old.s[from]!;
      this.#lengths[to] = old.l[from]!;
      this.#timestamps[to] = old.t[from]!;
      this.#flags[to] = old.f[from]!;
    }
  }
}
