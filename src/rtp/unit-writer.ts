/**
 * Writes units (access units, pictures, audio frames) into a packet ring, with the flags that tell
 * readers where they start and end and what is wrong with them. What all codecs share.
 *
 * @module
 */
import {
  FLAG_DAMAGED,
  FLAG_KEYFRAME,
  FLAG_MARKER,
  FLAG_START,
  type PacketRing,
} from "../core/packet-ring.ts";
import type { RtpTicks } from "../core/units.ts";
import { Verdict } from "./repacketizer.ts";
import { SequenceTracker } from "./sequence.ts";

export class UnitWriter {
  readonly ring: PacketRing;
  /** First packet of the unit being written, -1 before the first. */
  unitStart = -1;
  /** First packet of the last undamaged unit that decodes alone, -1 when there is none. */
  keyframe = -1;
  /** Of the unit being written; -1 before the first. */
  timestamp: RtpTicks = -1;
  /** The unit being written lost something: what follows of it cannot be decoded. */
  damaged = false;
  /** Something of the unit (a fragmented NAL unit, a picture) has begun and waits for the rest. */
  partial = false;
  /** The unit being written is complete: what comes next, whatever its timestamp, is another. */
  ended = true;
  /** The unit being written has its predecessor's timestamp, and nothing is missing between them. */
  continues = false;

  readonly #sequence = new SequenceTracker();
  /** Flags of the next packet to commit: FLAG_START once per unit. */
  #next = 0;

  constructor(ring: PacketRing) {
    this.ring = ring;
  }

  /** Packets missing upstream, by sequence number. */
  get lost(): number {
    return this.#sequence.lost;
  }

  /**
   * An RTP packet arrived: begins a unit when it is the first of one. `Taken` when its payload is
   * wanted, `Late` or `Lost` when it must be dropped.
   */
  arrive(sequence: number, timestamp: RtpTicks): Verdict {
    const gap = this.#sequence.gapBefore(sequence);
    if (gap < 0) return Verdict.Late;
    if (gap > 0) this.missed(timestamp);
    if (this.ended || timestamp !== this.timestamp) {
      this.continues = gap === 0 && timestamp === this.timestamp;
      this.begin(timestamp);
    }
    return this.damaged ? Verdict.Lost : Verdict.Taken;
  }

  /** Something is missing before the unit or packet of this timestamp. */
  missed(timestamp: RtpTicks): void {
    this.partial = false;
    // The end of the unit before may be among what is missing, unless it is known to be complete.
    if (this.unitStart >= 0 && !this.ended) this.damage();
    else this.ring.hole(timestamp, 0);
  }

  /** A unit begins. The one before, if it is incomplete, is damaged. */
  begin(timestamp: RtpTicks): void {
    if (this.partial) this.damage();
    this.timestamp = timestamp;
    this.damaged = false;
    this.ended = false;
    this.#next = FLAG_START;
    this.unitStart = this.ring.head;
  }

  /** The unit being written is incomplete: marks it, and lets viewers see the gap. */
  damage(): void {
    this.partial = false;
    this.damaged = true;
    this.ring.hole(this.timestamp, this.#next);
    this.#next = 0;
    if (this.ring.holds(this.unitStart)) this.ring.addFlags(this.unitStart, FLAG_DAMAGED);
    if (this.keyframe === this.unitStart) this.keyframe = -1;
  }

  /** What arrived makes no sense, so the unit is not what was sent. */
  malformed(): Verdict {
    if (!this.damaged) this.damage();
    return Verdict.Malformed;
  }

  /** The unit being written decodes alone. */
  enterKeyframe(): void {
    this.keyframe = this.unitStart;
    this.ring.keepFrom = this.unitStart;
    if (this.#next === 0) this.ring.addFlags(this.unitStart, FLAG_KEYFRAME);
    else this.#next |= FLAG_KEYFRAME;
  }

  /** Writes the packet whose payload is [start, end) of `b`. */
  write(b: Uint8Array, start: number, end: number, marker: boolean): void {
    const at = this.ring.reserve(end - start);
    this.ring.bytes.set(b.subarray(start, end), at);
    this.commit(end - start, marker);
  }

  /** Commits the packet of `length` bytes that was written where `ring.reserve` said. */
  commit(length: number, marker: boolean): void {
    this.ring.commit(length, this.timestamp, this.#next | (marker ? FLAG_MARKER : 0));
    this.#next = 0;
  }

  /** The upstream session is a new one: what follows needs a keyframe. */
  restart(): void {
    if (this.unitStart >= 0) this.damage();
    this.#sequence.restart();
    this.timestamp = -1;
    this.ended = true;
    this.keyframe = -1;
  }
}
