/**
 * Puts RTP packets that overtook each other back into order, within bounds: what is missing is
 * waited for while no more than WINDOW_PACKETS and HOLD_MS went by since the gap opened.
 *
 * A packet in order is passed on as it lies; one that came too early is copied into a slot of its
 * own until its turn. Nothing is allocated per packet.
 *
 * @module
 */
import type { Millis } from "../core/units.ts";

/** A keyframe's burst that took two ways lies this far apart at most. A power of two. */
const WINDOW_PACKETS = 64;
/** Two pictures at 30 fps: later than this, a picture would be late on the screen anyway. */
const HOLD_MS = 60;
/** Above the MTU of Ethernet. A larger packet is not held: it ends the wait. */
const SLOT_BYTES = 2048;
/** RFC 3550 appendix A.1: one further ahead or behind may belong to another numbering. */
const DROPOUT_MAX = 3_000;
const MISORDER_MAX = 100;
const MASK = WINDOW_PACKETS - 1;

/** Takes a packet in its turn, the bytes [start, end) of `b`, borrowed. */
export type DeliverPacket = (b: Uint8Array, start: number, end: number) => void;

/** One source's packets. Has no timer: `deadline` says when to `expire`. */
export class ReorderWindow {
  /** Packets that came after a later one, in time. */
  reordered = 0;
  /** Packets that came when they had been given up; dropped. */
  late = 0;
  /** Packets that came twice; dropped. */
  duplicates = 0;
  /** Packets that were given up. */
  lost = 0;

  readonly #deliver: DeliverPacket;
  /** Made when the first packet has to be held: most links never need it. */
  #bytes: Uint8Array | null = null;
  /** By sequence number; 0 marks a free slot. */
  readonly #lengths = new Uint16Array(WINDOW_PACKETS);
  readonly #arrived = new Float64Array(WINDOW_PACKETS);
  /** What each slot's sequence number was when it last had its turn; -1 when it never had. */
  readonly #delivered = new Int32Array(WINDOW_PACKETS).fill(-1);
  /** Whose turn it is; -1 before the first. */
  #next = -1;
  #highest = 0;
  #held = 0;
  /** When the oldest held packet came. */
  #gapAt: Millis = 0;
  /** Where a new numbering would go on. */
  #restartAt = -1;

  constructor(deliver: DeliverPacket) {
    this.#deliver = deliver;
  }

  /** When to `expire`; infinite while nothing is missing. */
  get deadline(): Millis {
    return this.#held > 0 ? this.#gapAt + HOLD_MS : Number.POSITIVE_INFINITY;
  }

  /** Takes the packet of this sequence number in [start, end) of `b`, borrowed. */
  push(b: Uint8Array, start: number, end: number, sequence: number, now: Millis): void {
    if (this.#next < 0) this.#begin(sequence);
    const ahead = (sequence - this.#next) & 0xffff;
    if (ahead >= DROPOUT_MAX) {
      this.#astray(b, start, end, sequence, 0x10000 - ahead);
      return;
    }
    this.#restartAt = -1;
    if (((sequence - this.#highest) & 0xffff) < 0x8000) this.#highest = sequence;
    else if (!this.#holds(sequence)) this.reordered++;
    if (ahead === 0) {
      this.#pass(b, start, end);
      this.#drain();
    } else if (ahead < WINDOW_PACKETS && end - start <= SLOT_BYTES) {
      this.#hold(b, start, end, sequence, now);
    } else this.#jump(b, start, end, sequence);
  }

  /** Time has passed: gaps that were waited for long enough are given up. */
  expire(now: Millis): void {
    while (now >= this.deadline) {
      this.#skipGap();
      this.#drain();
    }
  }

  /** What comes next is numbered anew; what is held has its turn. */
  restart(): void {
    this.#release(WINDOW_PACKETS);
    this.#next = -1;
    this.#restartAt = -1;
  }

  #begin(sequence: number): void {
    this.#next = sequence;
    this.#highest = sequence;
    this.#delivered.fill(-1);
  }

  /** A packet that is far off, or was given up. */
  #astray(b: Uint8Array, start: number, end: number, sequence: number, behind: number): void {
    if (this.#delivered[sequence & MASK] === sequence) this.duplicates++;
    else if (behind <= MISORDER_MAX || sequence !== this.#restartAt) {
      this.late++;
      // RFC 3550 appendix A.1: two in a row say that the sender numbers anew.
      this.#restartAt = behind <= MISORDER_MAX ? -1 : (sequence + 1) & 0xffff;
    } else {
      this.restart();
      this.#begin(sequence);
      this.#pass(b, start, end);
    }
  }

  #holds(sequence: number): boolean {
    const ahead = (sequence - this.#next) & 0xffff;
    return ahead < WINDOW_PACKETS && this.#lengths[sequence & MASK] !== 0;
  }

  #hold(b: Uint8Array, start: number, end: number, sequence: number, now: Millis): void {
    const slot = sequence & MASK;
    if (this.#lengths[slot] !== 0) {
      this.duplicates++;
      return;
    }
    this.#bytes ??= new Uint8Array(WINDOW_PACKETS * SLOT_BYTES);
    this.#bytes.set(b.subarray(start, end), slot * SLOT_BYTES);
    this.#lengths[slot] = end - start;
    this.#arrived[slot] = now;
    if (this.#held === 0) this.#gapAt = now;
    this.#held++;
  }

  /** Cannot be held: everything before it is over. */
  #jump(b: Uint8Array, start: number, end: number, sequence: number): void {
    this.#release((sequence - this.#next) & 0xffff);
    this.lost += (sequence - this.#next) & 0xffff;
    this.#next = sequence;
    this.#pass(b, start, end);
    this.#drain();
  }

  #pass(b: Uint8Array, start: number, end: number): void {
    this.#delivered[this.#next & MASK] = this.#next;
    this.#next = (this.#next + 1) & 0xffff;
    this.#deliver(b, start, end);
  }

  /** Passes on what is held and has its turn by now. */
  #drain(): void {
    while (this.#held > 0 && this.#lengths[this.#next & MASK] !== 0) this.#passHeld();
    if (this.#held > 0) this.#gapAt = this.#arrived[this.#firstHeld() & MASK]!;
  }

  #passHeld(): void {
    const slot = this.#next & MASK;
    const at = slot * SLOT_BYTES;
    const length = this.#lengths[slot]!;
    this.#lengths[slot] = 0;
    this.#held--;
    if (this.#bytes !== null) this.#pass(this.#bytes, at, at + length);
  }

  #firstHeld(): number {
    let sequence = this.#next;
    while (this.#lengths[sequence & MASK] === 0) sequence = (sequence + 1) & 0xffff;
    return sequence;
  }

  #skipGap(): void {
    const first = this.#firstHeld();
    this.lost += (first - this.#next) & 0xffff;
    this.#next = first;
  }

  /** Passes on what is held of the next `count` sequence numbers. */
  #release(count: number): void {
    const end = (this.#next + count) & 0xffff;
    while (this.#held > 0 && ((end - this.#firstHeld() - 1) & 0xffff) < 0x8000) {
      this.#skipGap();
      this.#passHeld();
    }
  }
}
