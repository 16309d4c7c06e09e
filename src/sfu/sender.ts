/**
 * One track on its way to one viewer: which packets of the ring it has, their numbers,
 * retransmissions.
 *
 * A packet's place in the ring maps to an index that never wraps in a session's lifetime; its lower
 * 16 bits are the sequence number, the rest is SRTP's rollover counter (RFC 3711 section 3.3.1).
 *
 * @module
 */
import { FLAG_HOLE, FLAG_MARKER, FLAG_START } from "../core/packet-ring.ts";
import type { Millis } from "../core/units.ts";
import { Pinned } from "../native/libc.ts";
import { PAYLOAD_BYTES_MAX, RTP_HEADER_BYTES, writeU16, writeU32 } from "../rtp/header.ts";
import type { Track } from "../stream/track.ts";
import { type OutgoingPacket, PROTECTION_BYTES_MAX, type Protector } from "./protect.ts";
import type { Path } from "./sockets.ts";

/** Numbers and payload types agreed with the viewer. */
export interface SenderOptions {
  readonly ssrc: number;
  readonly payloadType: number;
  /** The first packet's number; below 2^15, so that no receiver takes it for a wrapped one. */
  readonly firstSequence: number;
  /** `null`: retransmissions repeat the packet under its own SSRC. */
  readonly retransmission: {
    readonly ssrc: number;
    readonly payloadType: number;
    readonly firstSequence: number;
  } | null;
  /** The whole header extension, the same in every packet; may be empty. */
  readonly extension: Uint8Array;
}

/** Counters since the viewer joined; they only grow. */
export interface SenderCounters {
  packets: number;
  /** Payload bytes, as sender reports count them. */
  payloadBytes: number;
  retransmitted: number;
  /** Packets asked for that are not held any more, or never were, or came too often. */
  notRetransmitted: number;
}

type State =
  /** For a keyframe later than this packet. */
  | { readonly at: "waiting"; readonly after: number }
  /** Behind, and catching up in portions. */
  | { readonly at: "burst" }
  | { readonly at: "live" };

/** Most that a joiner is caught up with, 1.3 s at the burst's pace; above, it waits instead. */
const BURST_BYTES_MAX = 8 << 20;
/** A second of 4 Mbps all over again, lost: more is not repaired by repeating. */
const RETRANSMISSIONS_PER_SECOND_MAX = 500;
const ORIGINAL_SEQUENCE_BYTES = 2;

/** One for all viewers: a packet is protected before the next one is described. */
const packet: OutgoingPacket = {
  ssrc: 0,
  rollover: 0,
  sequence: 0,
  headerBytes: 0,
  source: new Uint8Array(0),
  payloadStart: 0,
  payloadBytes: 0,
};
/** Payload of a retransmission: the original sequence number, then the original payload. */
const repeated = new Pinned(ORIGINAL_SEQUENCE_BYTES + PAYLOAD_BYTES_MAX);

export class Sender {
  readonly counters: SenderCounters = {
    packets: 0,
    payloadBytes: 0,
    retransmitted: 0,
    notRetransmitted: 0,
  };
  /** Where packets go; replaced when ICE nominates another path. */
  path: Path;

  readonly #track: Track;
  readonly #protector: Protector;
  readonly #options: SenderOptions;
  readonly #headerBytes: number;
  /** Of audio the marker bit begins a talkspurt (RFC 3551 section 4.1), and cameras never pause. */
  readonly #markerFlag: number;
  #state: State;
  /** The next packet of the ring. */
  #cursor = 0;
  // Packet `#baseId` has index `#baseIndex`; from `#unused` on, none was used.
  #baseId = 0;
  #baseIndex: number;
  #unused: number;
  /** Where the last portion began, and the counters then. */
  readonly #portion = { cursor: 0, packets: 0, payloadBytes: 0 };
  #retransmissionIndex: number;
  #retransmissionsLeft = RETRANSMISSIONS_PER_SECOND_MAX;
  #retransmissionsSince: Millis = 0;

  /** @param protector borrowed: one serves all tracks of a session, told apart by their SSRCs */
  constructor(track: Track, path: Path, protector: Protector, options: SenderOptions) {
    this.#track = track;
    this.path = path;
    this.#protector = protector;
    this.#options = options;
    this.#headerBytes = RTP_HEADER_BYTES + options.extension.length;
    const video = track.format.kind === "video";
    this.#markerFlag = video ? FLAG_MARKER : 0;
    // Video begins with a picture that is there already. Sound from before stays behind in the
    // viewer's jitter buffer: a second of it took Chromium six to catch up with.
    this.#state = { at: "waiting", after: video ? -1 : track.ring.head - 1 };
    this.#baseIndex = options.firstSequence;
    this.#unused = options.firstSequence;
    this.#retransmissionIndex = options.retransmission?.firstSequence ?? 0;
  }

  get state(): State["at"] {
    return this.#state.at;
  }

  /**
   * Packets up to but without `to` are there: sends them when live, starts when a keyframe has
   * come. Commits to the path's egress; whoever calls flushes.
   */
  media(to: number): void {
    switch (this.#state.at) {
      case "live":
        if (this.#cursor < this.#track.ring.tail) this.#recover(to);
        else this.#sendUpTo(to, Number.POSITIVE_INFINITY);
        return;
      case "waiting":
        this.#start(this.#state.after, to);
        return;
      case "burst":
        return;
      default:
        this.#state satisfies never;
    }
  }

  /** Catches up by about `bytes`; live once nothing is left before `to`. */
  advance(to: number, bytes: number): void {
    if (this.#state.at !== "burst") return;
    if (this.#cursor < this.#track.ring.tail) this.#recover(to);
    else this.#sendUpTo(to, bytes);
    if (this.#cursor === to) this.#state = { at: "live" };
  }

  /**
   * To be called after the flush: a portion that a full send buffer refused, in part or whole, is
   * sent again with the next one. The same packets give the same datagrams.
   */
  settle(): void {
    const { to } = this.path;
    if (to.refused === 0) return;
    to.refused = 0;
    if (this.#state.at === "waiting") return;
    this.#cursor = this.#portion.cursor;
    this.counters.packets = this.#portion.packets;
    this.counters.payloadBytes = this.#portion.payloadBytes;
    this.#state = { at: "burst" };
  }

  /** Answers a NACK for one sequence number. Commits; whoever calls flushes, and does not settle. */
  retransmit(sequence: number, now: Millis): void {
    const newest = this.#indexOf(this.#cursor) - 1;
    const index = newest - ((newest - sequence) & 0xffff);
    const id = this.#baseId + index - this.#baseIndex;
    const { ring } = this.#track;
    const held = index >= this.#baseIndex && ring.holds(id) && (ring.flags(id) & FLAG_HOLE) === 0;
    if (!held || !this.#mayRetransmit(now)) {
      this.counters.notRetransmitted++;
      return;
    }
    this.counters.retransmitted++;
    const { retransmission } = this.#options;
    if (retransmission === null) this.#send(id);
    else this.#repeat(id, retransmission);
  }

  /** The ring went on without this viewer: what comes next must be decodable. */
  #recover(to: number): void {
    this.#state = { at: "waiting", after: this.#cursor };
    this.#start(this.#cursor, to);
  }

  #start(after: number, to: number): void {
    const { keyframe } = this.#track;
    if (keyframe <= after || keyframe >= to) return;
    if (this.#bytesFrom(keyframe, to) > BURST_BYTES_MAX) return;
    // One number stays unused after a break, which tells the viewer that something is missing. An
    // index that was ever used is not used again: it is the nonce of its packet.
    if (this.#unused > this.#baseIndex) this.#baseIndex = this.#unused + 1;
    this.#baseId = keyframe;
    this.#cursor = keyframe;
    this.#state = { at: "burst" };
    this.#sendUpTo(this.#endOfUnit(keyframe, to), Number.POSITIVE_INFINITY);
    if (this.#cursor === to) this.#state = { at: "live" };
  }

  #bytesFrom(from: number, to: number): number {
    let bytes = 0;
    for (let id = from; id < to; id++) bytes += this.#track.ring.length(id);
    return bytes;
  }

  /** The first packet after the unit that starts at `id`. */
  #endOfUnit(id: number, to: number): number {
    let end = id + 1;
    while (end < to && (this.#track.ring.flags(end) & FLAG_START) === 0) end++;
    return end;
  }

  #sendUpTo(to: number, bytesMax: number): void {
    const { ring } = this.#track;
    const { counters } = this;
    this.#portion.cursor = this.#cursor;
    this.#portion.packets = counters.packets;
    this.#portion.payloadBytes = counters.payloadBytes;
    for (let bytes = 0; this.#cursor < to && bytes < bytesMax; this.#cursor++) {
      const id = this.#cursor;
      if ((ring.flags(id) & FLAG_HOLE) !== 0) continue;
      const length = ring.length(id);
      this.#send(id);
      counters.packets++;
      counters.payloadBytes += length;
      bytes += length;
    }
  }

  #indexOf(id: number): number {
    return this.#baseIndex + id - this.#baseId;
  }

  #send(id: number): void {
    const { ring } = this.#track;
    const { ssrc, payloadType } = this.#options;
    const index = this.#indexOf(id);
    this.#unused = Math.max(this.#unused, index + 1);
    packet.source = ring.bytes;
    packet.payloadStart = ring.start(id);
    packet.payloadBytes = ring.length(id);
    this.#commit(id, index, ssrc, payloadType);
  }

  /** RFC 4588 section 4: the payload behind its original number, in a stream of its own. */
  #repeat(id: number, { ssrc, payloadType }: { ssrc: number; payloadType: number }): void {
    const { ring } = this.#track;
    const start = ring.start(id);
    const length = ring.length(id);
    writeU16(repeated.bytes, 0, this.#indexOf(id) & 0xffff);
    repeated.bytes.set(ring.bytes.subarray(start, start + length), ORIGINAL_SEQUENCE_BYTES);
    packet.source = repeated.bytes;
    packet.payloadStart = 0;
    packet.payloadBytes = ORIGINAL_SEQUENCE_BYTES + length;
    this.#commit(id, this.#retransmissionIndex++, ssrc, payloadType);
  }

  /** Header and protection for the payload that `packet` names. */
  #commit(id: number, index: number, ssrc: number, payloadType: number): void {
    const { ring } = this.#track;
    const { egress } = this.path.socket;
    packet.ssrc = ssrc;
    packet.rollover = Math.floor(index / 65_536);
    packet.sequence = index & 0xffff;
    packet.headerBytes = this.#headerBytes;
    const at = egress.reserve(this.#headerBytes + packet.payloadBytes + PROTECTION_BYTES_MAX);
    const b = egress.arena.bytes;
    const { extension } = this.#options;
    b[at] = extension.length > 0 ? 0x90 : 0x80;
    b[at + 1] = ((ring.flags(id) & this.#markerFlag) !== 0 ? 0x80 : 0) | payloadType;
    writeU16(b, at + 2, packet.sequence);
    writeU32(b, at + 4, ring.timestamp(id));
    writeU32(b, at + 8, ssrc);
    if (extension.length > 0) b.set(extension, at + RTP_HEADER_BYTES);
    egress.commit(this.#protector.protect(egress.arena, at, packet), this.path.to);
  }

  #mayRetransmit(now: Millis): boolean {
    if (now - this.#retransmissionsSince >= 1_000) {
      this.#retransmissionsSince = now;
      this.#retransmissionsLeft = RETRANSMISSIONS_PER_SECOND_MAX;
    }
    return this.#retransmissionsLeft-- > 0;
  }
}
