/**
 * One track on its way to one reader: which packets of the ring it has, and under which numbers.
 *
 * A reader who does not keep up loses whole access units, and goes on at the next keyframe; one
 * sequence number stays unused there, which tells the player that something is missing.
 *
 * @module
 */
import { FLAG_HOLE, FLAG_START } from "../core/packet-ring.ts";
import type { Millis } from "../core/units.ts";
import { writeGoodbye, writeSenderReport } from "../rtp/rtcp.ts";
import type { Track } from "../stream/track.ts";
import type { SessionClock } from "./session-clock.ts";

/** What a sender's packets are told by. */
export interface Numbers {
  readonly ssrc: number;
  readonly payloadType: number;
  /** The sequence number of a packet is `base` plus its id in the ring, modulo 2^16. */
  readonly base: number;
}

/** The way of one track to one reader. */
export interface Carrier {
  /** Bytes that wait for the reader to read on. */
  readonly backlog: number;
  /** Sends packets [from, to) of the track's ring, or keeps them for later. */
  send(track: Track, numbers: Numbers, from: number, to: number): void;
  /** Sends an RTCP compound, borrowed. */
  control(rtcp: Uint8Array): void;
  /** True when packets sent since the last call were not taken, and are to be sent again. */
  refused(): boolean;
}

type State =
  /** For a keyframe after this one. `behind`: the reader was too slow. */
  | { readonly at: "waiting"; passed: number; readonly behind: boolean }
  /** Sent to in portions, up to the newest packet. */
  | { readonly at: "catching up" }
  | { readonly at: "live" };

/** Two seconds of 4 Mbps. A reader further behind loses what comes. */
const BACKLOG_BYTES_MAX = 1 << 20;
/** A reader that was behind goes on once it has read nearly everything: else it stays late. */
const BACKLOG_BYTES_RESUME = 64 << 10;
/** RFC 3550 section 6.2 recommends five seconds between reports. */
const REPORT_INTERVAL_MS = 5_000;
/** Names the hub in its reports; the same for all tracks of a session (RFC 3550 section 6.5.1). */
const CNAME = "onepull";

export interface SenderOptions {
  readonly track: Track;
  readonly carrier: Carrier;
  readonly clock: SessionClock;
  readonly ssrc: number;
  readonly payloadType: number;
  readonly firstSequence: number;
}

export class Sender {
  /** Access units that this reader did not get because it was too slow. */
  droppedUnits = 0;
  /** RTP packets and payload bytes sent. */
  packets = 0;
  payloadBytes = 0;
  readonly #taken = { packets: 0, bytes: 0, droppedUnits: 0 };
  readonly track: Track;
  readonly #carrier: Carrier;
  readonly #clock: SessionClock;
  readonly #numbers: { ssrc: number; payloadType: number; base: number };
  #state: State = { at: "waiting", passed: -1, behind: false };
  /** The next packet of the ring. */
  #cursor = 0;
  /** The next sequence number, not wrapped. */
  #next: number;
  #reportDue: Millis = Number.NEGATIVE_INFINITY;
  /** Where the last portion began, and the counters then. */
  readonly #portion = { cursor: 0, packets: 0, payloadBytes: 0 };

  constructor(options: SenderOptions) {
    const { track, carrier, clock, ssrc, payloadType, firstSequence } = options;
    this.track = track;
    this.#carrier = carrier;
    this.#clock = clock;
    this.#next = firstSequence;
    this.#numbers = { ssrc, payloadType, base: 0 };
  }

  get ssrc(): number {
    return this.#numbers.ssrc;
  }

  /** True while packets wait to be sent in portions. */
  get behind(): boolean {
    return this.#state.at === "catching up";
  }

  /** Begins at packet `first`. Returns its sequence number and timestamp. */
  startAt(first: number): { readonly sequence: number; readonly timestamp: number } {
    this.#numbers.base = this.#next - first;
    this.#cursor = first;
    this.#state = { at: "catching up" };
    return { sequence: this.#next & 0xffff, timestamp: this.track.ring.timestamp(first) };
  }

  /** Begins at the first keyframe to come. */
  startLater(): void {
    this.#wait(this.track.ring.head, false);
  }

  /** Packets up to but without `to` are there. */
  media(to: number, now: Millis): void {
    switch (this.#state.at) {
      case "live":
        if (this.#cursor < this.track.ring.tail) this.#wait(to, true);
        else this.#sendLive(to, now);
        return;
      case "waiting":
        this.#look(to, now, this.#state);
        return;
      case "catching up":
        return;
      default:
        this.#state satisfies never;
    }
  }

  /** Catches up by about `bytes`; live once nothing is left before `to`. */
  advance(to: number, bytes: number, now: Millis): void {
    if (this.#state.at !== "catching up" || this.#carrier.backlog > 0) return;
    if (this.#cursor < this.track.ring.tail) {
      this.#wait(to, true);
      return;
    }
    this.#send(this.#portionEnd(to, bytes), now);
    if (this.#cursor === to) this.#state = { at: "live" };
  }

  /** After the carriers were flushed: a portion that was not taken is sent again with the next. */
  settle(): void {
    if (!this.#carrier.refused() || this.#state.at === "waiting") return;
    this.#cursor = this.#portion.cursor;
    this.packets = this.#portion.packets;
    this.payloadBytes = this.#portion.payloadBytes;
    this.#next = this.#numbers.base + this.#cursor;
    this.#state = { at: "catching up" };
  }

  /** Adds what was counted since the last call. */
  take(sums: { packets: number; bytes: number; droppedUnits: number }): void {
    const { packets, payloadBytes: bytes, droppedUnits } = this;
    sums.packets += packets - this.#taken.packets;
    sums.bytes += bytes - this.#taken.bytes;
    sums.droppedUnits += droppedUnits - this.#taken.droppedUnits;
    Object.assign(this.#taken, { packets, bytes, droppedUnits });
  }

  /** Tells the reader that nothing comes any more. */
  goodbye(): void {
    this.#carrier.control(writeGoodbye(this.ssrc));
  }

  #sendLive(to: number, now: Millis): void {
    const full = this.#carrier.backlog > BACKLOG_BYTES_MAX;
    // A unit that was begun is finished: half a picture is of no use to anyone.
    const stop = full ? this.#unitEnd(to) : to;
    this.#send(stop, now);
    if (stop < to) this.#wait(to, true);
  }

  /** The first packet from the cursor on that begins a unit. */
  #unitEnd(to: number): number {
    let id = this.#cursor;
    while (id < to && (this.track.ring.flags(id) & FLAG_START) === 0) id++;
    return id;
  }

  #wait(to: number, behind: boolean): void {
    if (behind) this.#skip(to);
    this.#cursor = to;
    this.#state = { at: "waiting", passed: this.track.keyframe, behind };
  }

  #skip(to: number): void {
    const { ring } = this.track;
    for (let id = Math.max(this.#cursor, ring.tail); id < to; id++) {
      if ((ring.flags(id) & FLAG_START) !== 0) this.droppedUnits++;
    }
  }

  /** Starts when a keyframe has come, and the reader is not behind. */
  #look(to: number, now: Millis, state: State & { readonly at: "waiting" }): void {
    const { keyframe } = this.track;
    const fresh = keyframe > state.passed && keyframe < to;
    if (fresh && this.#carrier.backlog <= BACKLOG_BYTES_RESUME) {
      if (state.behind) {
        this.#skip(keyframe);
        this.#next++;
      }
      this.startAt(keyframe);
      this.#send(to, now);
      this.#state = { at: "live" };
      return;
    }
    if (fresh) state.passed = keyframe;
    if (state.behind) this.#skip(to);
    this.#cursor = to;
  }

  #portionEnd(to: number, bytesMax: number): number {
    let id = this.#cursor;
    for (let bytes = 0; id < to && bytes < bytesMax; id++) bytes += this.track.ring.length(id);
    return id;
  }

  #send(to: number, now: Millis): void {
    const { ring } = this.track;
    const from = this.#cursor;
    if (from === to) return;
    this.#portion.cursor = from;
    this.#portion.packets = this.packets;
    this.#portion.payloadBytes = this.payloadBytes;
    if (now >= this.#reportDue) this.#report(now);
    this.#carrier.send(this.track, this.#numbers, from, to);
    for (let id = from; id < to; id++) {
      if ((ring.flags(id) & FLAG_HOLE) !== 0) continue;
      this.packets++;
      this.payloadBytes += ring.length(id);
    }
    this.#cursor = to;
    this.#next = this.#numbers.base + to;
  }

  /** In front of the first packet, and every few seconds: what the next packet's time is. */
  #report(now: Millis): void {
    const timestamp = this.track.ring.timestamp(this.#cursor);
    const wallClock = this.#clock.at(this.track, timestamp);
    if (wallClock === null) return;
    this.#reportDue = now + REPORT_INTERVAL_MS;
    const { ssrc, packets, payloadBytes } = this;
    const sums = { packets: packets >>> 0, bytes: payloadBytes >>> 0 };
    this.#carrier.control(writeSenderReport({ ssrc, wallClock, timestamp, ...sums }, CNAME));
  }
}
