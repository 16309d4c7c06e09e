/**
 * H.264 over RTP, RFC 6184: reads what cameras send (single NAL units, STAP-A, FU-A of any size)
 * and writes packets of at most PAYLOAD_BYTES_MAX into the camera's ring as the bytes arrive,
 * without waiting for the access unit to end.
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
import { PAYLOAD_BYTES_MAX, type RtpHeader } from "./header.ts";

/** What one packet meant. A code, not an exception: lost packets are ordinary traffic. */
export const Verdict = { Taken: 0, Lost: 1, Late: 2, Malformed: 3 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

export const NAL_SLICE = 1;
export const NAL_IDR = 5;
export const NAL_SPS = 7;
export const NAL_PPS = 8;
export const NAL_STAP_A = 24;
export const NAL_FU_A = 28;

const FU_HEADER_BYTES = 2;
const FU_START = 0x80;
const FU_END = 0x40;
/** Parameter sets are tens of bytes; more is an attack on memory. */
const PARAMETER_SET_BYTES_MAX = 1024;

export class H264Repacketizer {
  /** Parameter sets in force, NAL header included; empty until known. */
  sps: Uint8Array = new Uint8Array(0);
  pps: Uint8Array = new Uint8Array(0);
  /** Counts changes of `sps`, so that a reader knows when to look again. */
  spsChanges = 0;
  /** Packets missing upstream, by sequence number. */
  lost = 0;
  /** First packet of the unit being written, -1 before the first. */
  unitStart = -1;
  /** First packet of the last undamaged keyframe, -1 when there is none to start from. */
  keyframe = -1;

  readonly #ring: PacketRing;
  #expected = -1;
  /** A packet out of order by so much that the camera may have restarted its numbering. */
  #restartAt = -1;
  #timestamp: RtpTicks = -1;
  #damaged = false;
  #ended = true;
  #setsSeen = false;
  #sliceSeen = false;
  /** Flags of the next packet to commit: FLAG_START once per unit. */
  #next = 0;
  // The fragmentation unit being filled: its place in the ring, its length so far.
  #fuOpen = false;
  #fuAt = 0;
  #fuLength = 0;
  #fuFirst = false;

  constructor(ring: PacketRing) {
    this.#ring = ring;
  }

  /** Takes parameter sets from the session description (sprop-parameter-sets, RFC 6184 8.1). */
  offerParameterSets(nals: readonly Uint8Array[]): void {
    for (const nal of nals) this.#keepParameterSet(nal, 0, nal.length);
  }

  /** The upstream session is a new one: numbering starts anew, and what follows needs a keyframe. */
  restart(): void {
    if (this.unitStart >= 0) this.#damage();
    this.#expected = -1;
    this.#restartAt = -1;
    this.#timestamp = -1;
    this.keyframe = -1;
  }

  /** Takes one packet. `timestamp` is the one to store; the header's own is not looked at. */
  push(b: Uint8Array, header: RtpHeader, timestamp: RtpTicks): Verdict {
    const gap = this.#sequence(header.sequence);
    if (gap < 0) return Verdict.Late;
    if (gap > 0) this.#missed(gap, timestamp);
    if (timestamp !== this.#timestamp) this.#begin(timestamp);
    if (header.payloadEnd === header.payloadStart) return this.#malformed();
    // What follows a loss inside a unit cannot be decoded: the unit ends here.
    if (this.#damaged) return Verdict.Lost;
    const verdict = this.#payload(b, header.payloadStart, header.payloadEnd, header.marker);
    if (header.marker) this.#ended = true;
    return verdict;
  }

  /** How many packets are missing before this one; -1 when it comes too late or twice. */
  #sequence(sequence: number): number {
    if (this.#expected < 0) {
      this.#expected = (sequence + 1) & 0xffff;
      return 0;
    }
    const gap = (sequence - this.#expected) & 0xffff;
    if (gap >= 0x8000) {
      // RFC 3550 appendix A.1: two in a row say that the sender numbers anew.
      const restarted = sequence === this.#restartAt;
      this.#restartAt = (sequence + 1) & 0xffff;
      if (!restarted) return -1;
      this.#expected = (sequence + 1) & 0xffff;
      return 1;
    }
    this.#restartAt = -1;
    this.#expected = (sequence + 1) & 0xffff;
    return gap;
  }

  #missed(count: number, timestamp: RtpTicks): void {
    this.lost += count;
    this.#fuOpen = false;
    // The end of the unit before may be among the missing, unless its marker was seen.
    if (this.unitStart >= 0 && !this.#ended) this.#damage();
    else this.#ring.hole(timestamp, 0);
    if (timestamp === this.#timestamp) this.#damaged = true;
  }

  #begin(timestamp: RtpTicks): void {
    if (this.#fuOpen) this.#damage();
    this.#timestamp = timestamp;
    this.#damaged = false;
    this.#ended = false;
    this.#setsSeen = false;
    this.#sliceSeen = false;
    this.#next = FLAG_START;
    this.unitStart = this.#ring.head;
  }

  /** The unit being written is incomplete: mark it, and let viewers see the gap. */
  #damage(): void {
    this.#fuOpen = false;
    this.#damaged = true;
    const ring = this.#ring;
    ring.hole(this.#timestamp, this.#next);
    this.#next = 0;
    if (ring.holds(this.unitStart)) ring.addFlags(this.unitStart, FLAG_DAMAGED);
    if (this.keyframe === this.unitStart) this.keyframe = -1;
  }

  #malformed(): Verdict {
    if (!this.#damaged) this.#damage();
    return Verdict.Malformed;
  }

  #payload(b: Uint8Array, start: number, end: number, marker: boolean): Verdict {
    const type = b[start]! & 0x1f;
    if (type === NAL_FU_A) return this.#fragment(b, start, end, marker);
    if (this.#fuOpen) {
      this.#damage();
      return Verdict.Lost;
    }
    if (type === NAL_STAP_A) return this.#aggregate(b, start + 1, end, marker);
    if (type === 0 || type > NAL_STAP_A) return this.#malformed();
    return this.#nal(b, start, end, marker) ? Verdict.Taken : Verdict.Lost;
  }

  #aggregate(b: Uint8Array, start: number, end: number, marker: boolean): Verdict {
    let at = start;
    while (at + 2 < end) {
      const nal = at + 2;
      const next = nal + ((b[at]! << 8) | b[at + 1]!);
      if (next === nal || next > end) return this.#malformed();
      if (!this.#nal(b, nal, next, marker && next + 2 >= end)) return Verdict.Lost;
      at = next;
    }
    return at === start ? this.#malformed() : Verdict.Taken;
  }

  /** Writes one whole NAL unit, in fragments when it is too large. False when the unit is damaged. */
  #nal(b: Uint8Array, start: number, end: number, marker: boolean): boolean {
    if (!this.#enter(b[start]!, b[start + 1] ?? 0)) return false;
    const type = b[start]! & 0x1f;
    if (type === NAL_SPS || type === NAL_PPS) this.#keepParameterSet(b, start, end);
    if (end - start <= PAYLOAD_BYTES_MAX) {
      this.#write(b, start, end, marker);
      return true;
    }
    this.#openFragments(b[start]!);
    this.#append(b, start + 1, end, true, marker);
    return true;
  }

  #fragment(b: Uint8Array, start: number, end: number, marker: boolean): Verdict {
    if (end - start < FU_HEADER_BYTES) return this.#malformed();
    const head = b[start + 1]!;
    // Some cameras (CostarHD) set both bits, which RFC 6184 section 5.8 forbids; it decodes fine.
    if ((head & FU_START) !== 0) {
      if (this.#fuOpen) {
        this.#damage();
        return Verdict.Lost;
      }
      const nalHeader = (b[start]! & 0xe0) | (head & 0x1f);
      if (!this.#enter(nalHeader, b[start + 2] ?? 0)) return Verdict.Lost;
      this.#openFragments(nalHeader);
    } else if (!this.#fuOpen) {
      this.#damage();
      return Verdict.Lost;
    }
    this.#append(b, start + FU_HEADER_BYTES, end, (head & FU_END) !== 0, marker);
    return Verdict.Taken;
  }

  /** Looks at a NAL unit that begins. False when the unit turns out to be incomplete. */
  #enter(nalHeader: number, firstByte: number): boolean {
    const type = nalHeader & 0x1f;
    if (type === NAL_SPS || type === NAL_PPS) this.#setsSeen = true;
    if (type < NAL_SLICE || type > NAL_IDR) return true;
    // first_mb_in_slice is 0 exactly when its Exp-Golomb code starts with a one (7.3.3).
    if (!this.#sliceSeen && (firstByte & 0x80) === 0) {
      this.#damage();
      return false;
    }
    if (type === NAL_IDR && !this.#sliceSeen) this.#enterKeyframe();
    this.#sliceSeen = true;
    return true;
  }

  /** Browsers and decoders need the parameter sets in front of each keyframe, in band. */
  #enterKeyframe(): void {
    if (!this.#setsSeen && this.sps.length > 0 && this.pps.length > 0) {
      this.#write(this.sps, 0, this.sps.length, false);
      this.#write(this.pps, 0, this.pps.length, false);
    }
    this.keyframe = this.unitStart;
    this.#ring.keepFrom = this.unitStart;
    if (this.#next === 0) this.#ring.addFlags(this.unitStart, FLAG_KEYFRAME);
    else this.#next |= FLAG_KEYFRAME;
  }

  #write(b: Uint8Array, start: number, end: number, marker: boolean): void {
    const ring = this.#ring;
    const at = ring.reserve(end - start);
    ring.bytes.set(b.subarray(start, end), at);
    this.#commit(end - start, marker);
  }

  #commit(length: number, marker: boolean): void {
    this.#ring.commit(length, this.#timestamp, this.#next | (marker ? FLAG_MARKER : 0));
    this.#next = 0;
  }

  #openFragments(nalHeader: number): void {
    this.#fuOpen = true;
    this.#fuFirst = true;
    this.#fuAt = this.#ring.reserve(PAYLOAD_BYTES_MAX);
    this.#fuLength = FU_HEADER_BYTES;
    const bytes = this.#ring.bytes;
    bytes[this.#fuAt] = (nalHeader & 0xe0) | NAL_FU_A;
    bytes[this.#fuAt + 1] = (nalHeader & 0x1f) | FU_START;
  }

  /** Adds bytes of the open NAL unit; every packet that becomes full is committed at once. */
  #append(b: Uint8Array, start: number, end: number, last: boolean, marker: boolean): void {
    const ring = this.#ring;
    let at = start;
    for (;;) {
      const take = Math.min(end - at, PAYLOAD_BYTES_MAX - this.#fuLength);
      ring.bytes.set(b.subarray(at, at + take), this.#fuAt + this.#fuLength);
      this.#fuLength += take;
      at += take;
      if (at === end) break;
      this.#nextFragment();
    }
    if (last) this.#closeFragments(marker);
    else if (this.#fuLength === PAYLOAD_BYTES_MAX) this.#nextFragment();
  }

  #nextFragment(): void {
    const ring = this.#ring;
    const indicator = ring.bytes[this.#fuAt]!;
    const type = ring.bytes[this.#fuAt + 1]! & 0x1f;
    this.#commit(this.#fuLength, false);
    this.#fuFirst = false;
    this.#fuAt = ring.reserve(PAYLOAD_BYTES_MAX);
    this.#fuLength = FU_HEADER_BYTES;
    ring.bytes[this.#fuAt] = indicator;
    ring.bytes[this.#fuAt + 1] = type;
  }

  #closeFragments(marker: boolean): void {
    const bytes = this.#ring.bytes;
    const at = this.#fuAt;
    this.#fuOpen = false;
    if (this.#fuFirst) {
      // One packet after all: a fragment may not be first and last at once, a NAL unit may.
      bytes[at] = (bytes[at]! & 0xe0) | (bytes[at + 1]! & 0x1f);
      bytes.copyWithin(at + 1, at + FU_HEADER_BYTES, at + this.#fuLength);
      this.#commit(this.#fuLength - 1, marker);
      return;
    }
    bytes[at + 1]! |= FU_END;
    this.#commit(this.#fuLength, marker);
  }

  #keepParameterSet(b: Uint8Array, start: number, end: number): void {
    const type = b[start]! & 0x1f;
    if (end - start > PARAMETER_SET_BYTES_MAX) return;
    const current = type === NAL_SPS ? this.sps : this.pps;
    if (equal(current, b, start, end)) return;
    const copy = b.slice(start, end);
    if (type === NAL_SPS) {
      this.sps = copy;
      this.spsChanges++;
    } else if (type === NAL_PPS) this.pps = copy;
  }
}

function equal(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  if (a.length !== end - start) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[start + i]) return false;
  return true;
}
