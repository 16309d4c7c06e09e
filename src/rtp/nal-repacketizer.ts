/**
 * H.264 (RFC 6184) and H.265 (RFC 7798): reads what cameras send (single NAL units, aggregates,
 * fragments of any size) and writes packets of at most PAYLOAD_BYTES_MAX into the track's ring as
 * the bytes arrive, without waiting for the access unit to end.
 *
 * @module
 */
import type { PacketRing } from "../core/packet-ring.ts";
import type { RtpTicks } from "../core/units.ts";
import { nextNal, startsWithCode, trimmedEnd } from "./annex-b.ts";
import { PAYLOAD_BYTES_MAX, type RtpHeader } from "./header.ts";
import { NalFragments } from "./nal-fragments.ts";
import type { NalSyntax } from "./nal-syntax.ts";
import { ParameterSets } from "./parameter-sets.ts";
import { Verdict, type WholeUnit } from "./repacketizer.ts";
import { RingRepacketizer } from "./ring-repacketizer.ts";
import { Scratch } from "./scratch.ts";
import type { PictureSize } from "./track-format.ts";

const FU_START = 0x80;
const FU_END = 0x40;
/** Of a fragmented NAL unit that must be seen whole: as much as a keyframe, which some hide in it. */
const GATHERED_BYTES_MAX = 2 << 20;

export class NalRepacketizer extends RingRepacketizer {
  readonly #syntax: NalSyntax;
  // Of the syntax, what every packet asks for.
  readonly #headerBytes: number;
  readonly #typeShift: number;
  readonly #typeMask: number;
  readonly #fragmentType: number;
  readonly #sliceFirst: number;
  readonly #sliceLast: number;

  readonly #fragments: NalFragments;
  readonly #sets: ParameterSets;
  /** A fragmented NAL unit that is no slice: those are looked into whole. */
  readonly #gathered = new Scratch(GATHERED_BYTES_MAX);
  #gathering = false;
  /** The camera puts start codes between NAL units of one payload. */
  #byteStream = false;
  /** The camera marks the last packet of a unit, not the last of every slice. */
  #markers = true;
  #setUnit = -1;
  #sliceSeen = false;
  #recoveryPoint = false;

  constructor(ring: PacketRing, syntax: NalSyntax) {
    super(ring);
    this.#syntax = syntax;
    this.#headerBytes = syntax.headerBytes;
    this.#typeShift = syntax.typeShift;
    this.#typeMask = syntax.typeMask;
    this.#fragmentType = syntax.fragmentType;
    [this.#sliceFirst, this.#sliceLast] = syntax.sliceTypes;
    this.#fragments = new NalFragments(this.out, syntax);
    this.#sets = new ParameterSets(syntax);
  }

  override get changes(): number {
    return this.#sets.changes;
  }
  override get parameterSets(): readonly Uint8Array[] {
    return this.#sets.nals;
  }
  override get picture(): PictureSize | null {
    return this.#sets.picture;
  }

  override offerParameterSets(sets: readonly Uint8Array[]): void {
    this.#sets.offer(sets, (nal) => this.#typeOf(nal[0] ?? 0));
  }

  override restart(): void {
    this.out.restart();
    this.#markers = true;
  }

  push(b: Uint8Array, header: RtpHeader, timestamp: RtpTicks): Verdict {
    const out = this.out;
    const arrived = out.arrive(header.sequence, timestamp);
    if (arrived !== Verdict.Taken) return arrived;
    if (out.unitStart !== this.#setUnit) this.#beginUnit();
    const marker = header.marker && this.#markers;
    const verdict = this.#payload(b, header.payloadStart, header.payloadEnd, marker);
    if (marker && this.#markers && !out.damaged) out.ended = true;
    return verdict;
  }

  pushUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit): Verdict {
    const out = this.out;
    if (unit.gapBefore) out.missed(unit.timestamp);
    out.begin(unit.timestamp);
    this.#beginUnit();
    const first = nextNal(b, start, end);
    if (first < 0) return out.malformed();
    const verdict = this.#stream(b, first, end, true);
    out.ended = !out.damaged;
    return verdict;
  }

  #typeOf(firstByte: number): number {
    return (firstByte >> this.#typeShift) & this.#typeMask;
  }

  #beginUnit(): void {
    this.#setUnit = this.out.unitStart;
    this.#sets.beginUnit();
    this.#sliceSeen = false;
    this.#recoveryPoint = false;
  }

  #isSlice(type: number): boolean {
    return type >= this.#sliceFirst && type <= this.#sliceLast;
  }

  #payload(b: Uint8Array, start: number, end: number, marker: boolean): Verdict {
    if (end - start < this.#headerBytes) return this.out.malformed();
    const type = this.#typeOf(b[start]!);
    if (type === this.#fragmentType) return this.#fragment(b, start, end, marker);
    if (this.out.partial) return this.#lost();
    if (type === this.#syntax.aggregateType) return this.#aggregate(b, start, end, marker);
    return this.#single(b, start, end, marker);
  }

  /** A NAL unit; or several, in some cameras' payloads, with start codes between them. */
  #single(b: Uint8Array, start: number, end: number, marker: boolean): Verdict {
    const type = this.#typeOf(b[start]!);
    // Such payloads begin with a start code, a delimiter or a parameter set. Information messages
    // may hold anything: not all cameras escape what looks like a start code there.
    const plain = this.#isSlice(type) || type === this.#syntax.informationType;
    if (!plain || this.#byteStream || startsWithCode(b, start, end)) {
      return this.#whole(b, start, end, marker);
    }
    return this.#nal(b, start, end, marker) ? Verdict.Taken : Verdict.Lost;
  }

  #lost(): Verdict {
    this.out.damage();
    return Verdict.Lost;
  }

  #aggregate(b: Uint8Array, start: number, end: number, marker: boolean): Verdict {
    let waiting = -1;
    let waitingEnd = -1;
    let at = start + this.#headerBytes;
    while (at + 2 <= end) {
      const nal = at + 2;
      at = nal + ((b[nal - 2]! << 8) | b[nal - 1]!);
      if (at > end) return this.out.malformed();
      if (!this.#travels(b, nal, at)) continue;
      if (waiting >= 0 && !this.#nal(b, waiting, waitingEnd, false)) return Verdict.Lost;
      waiting = nal;
      waitingEnd = at;
    }
    if (waiting < 0) return this.out.malformed();
    return this.#nal(b, waiting, waitingEnd, marker) ? Verdict.Taken : Verdict.Lost;
  }

  /** A payload that may hold start codes, which RFC 6184 does not know. */
  #whole(b: Uint8Array, start: number, end: number, marker: boolean): Verdict {
    const first = startsWithCode(b, start, end) ? nextNal(b, start, end) : start;
    if (first !== start || nextNal(b, first, end) >= 0) this.#byteStream = true;
    return this.#stream(b, first, end, marker);
  }

  /** The NAL units of a byte stream, the first of which starts at `first`. */
  #stream(b: Uint8Array, first: number, end: number, marker: boolean): Verdict {
    let waiting = -1;
    let waitingEnd = -1;
    let start = first;
    while (start >= 0) {
      const next = nextNal(b, start, end);
      const nalEnd = trimmedEnd(b, start, next < 0 ? end : next - 3);
      if (this.#travels(b, start, nalEnd)) {
        if (waiting >= 0 && !this.#nal(b, waiting, waitingEnd, false)) return Verdict.Lost;
        waiting = start;
        waitingEnd = nalEnd;
      }
      start = next;
    }
    if (waiting < 0) return this.out.malformed();
    return this.#nal(b, waiting, waitingEnd, marker) ? Verdict.Taken : Verdict.Lost;
  }

  /** Whether this is a NAL unit that RTP has a number for. Empty ones are left out. */
  #travels(b: Uint8Array, start: number, end: number): boolean {
    if (end - start < this.#headerBytes) return false;
    const type = this.#typeOf(b[start]!);
    return type >= this.#syntax.nalTypes[0] && type <= this.#syntax.nalTypes[1];
  }

  /** Writes one whole NAL unit, in fragments when it is too large. False when the unit is damaged. */
  #nal(b: Uint8Array, start: number, end: number, marker: boolean): boolean {
    const first = b[start]!;
    const type = this.#typeOf(first);
    const body = start + this.#headerBytes;
    if (!this.#isSlice(type)) this.#describe(type, b, start, end);
    else if (!this.#sliceSeen && !this.#enter(type, b, body, end)) return false;
    if (end - start <= PAYLOAD_BYTES_MAX) {
      this.out.write(b, start, end, marker);
      return true;
    }
    this.#fragments.open(first, b[start + 1]!);
    this.#fragments.append(b, body, end, true, marker);
    return true;
  }

  #fragment(b: Uint8Array, start: number, end: number, marker: boolean): Verdict {
    const body = start + this.#headerBytes + 1;
    if (end < body) return this.out.malformed();
    const head = b[body - 1]!;
    // Some cameras (CostarHD) set both bits, which RFC 6184 section 5.8 forbids; it decodes fine.
    if ((head & FU_START) !== 0) {
      if (this.out.partial) return this.#lost();
      if (!this.#openFragments(b, start, body, end)) return Verdict.Lost;
    } else if (!this.out.partial) return this.#lost();
    const last = (head & FU_END) !== 0;
    if (this.#gathering) return this.#gather(b, body, end, last, marker);
    // A marker inside a NAL unit cannot mean the unit's end: this camera sets it on every packet.
    if (marker && !last) this.#markers = false;
    this.#fragments.append(b, body, end, last, marker && last);
    return Verdict.Taken;
  }

  /** A fragmented NAL unit begins. False when the unit turns out to be incomplete. */
  #openFragments(b: Uint8Array, start: number, body: number, end: number): boolean {
    const type = b[body - 1]! & this.#typeMask;
    const others = b[start]! & ~(this.#typeMask << this.#typeShift);
    const first = others | (type << this.#typeShift);
    const second = b[start + 1]!;
    this.#gathering = !this.#isSlice(type);
    if (this.#gathering) {
      this.out.partial = true;
      this.#gathered.length = 0;
      this.#gathered.add(Uint8Array.of(first, second), 0, this.#headerBytes);
      return true;
    }
    if (!this.#sliceSeen && !this.#enter(type, b, body, end)) return false;
    this.#fragments.open(first, second);
    return true;
  }

  #gather(b: Uint8Array, start: number, end: number, last: boolean, marker: boolean): Verdict {
    if (!this.#gathered.add(b, start, end)) return this.out.malformed();
    if (!last) return Verdict.Taken;
    this.out.partial = false;
    return this.#single(this.#gathered.bytes, 0, this.#gathered.length, marker);
  }

  /** Looks at a NAL unit that is no slice. */
  #describe(type: number, b: Uint8Array, start: number, end: number): void {
    const syntax = this.#syntax;
    if (syntax.setTypes.includes(type)) this.#sets.keep(type, b, start, end);
    else if (type === syntax.informationType && syntax.isRecoveryPoint(b, start, end)) {
      this.#recoveryPoint = true;
    }
  }

  /** Looks at a unit's first slice. False when it is not the picture's first. */
  #enter(type: number, b: Uint8Array, body: number, end: number): boolean {
    const firstByte = body < end ? b[body]! : 0;
    // first_mb_in_slice is 0 exactly when its Exp-Golomb code starts with a one (H.264 7.3.3);
    // in H.265 the bit is first_slice_segment_in_pic_flag (7.3.6.1).
    if ((firstByte & 0x80) === 0) {
      // The picture went on behind a marker: this camera sets it on every slice.
      if (this.out.continues) this.#markers = false;
      this.out.damage();
      return false;
    }
    this.#sliceSeen = true;
    if (this.#syntax.isKeyframe(type, firstByte, this.#recoveryPoint)) {
      this.#enterKeyframe(b, body, end);
    }
    return true;
  }

  /** Browsers and decoders need the parameter sets in front of each keyframe, in band. */
  #enterKeyframe(b: Uint8Array, body: number, end: number): void {
    this.#sets.activate(this.#syntax.pictureSetOf(b, body, end));
    for (const set of this.#sets.missing()) this.out.write(set, 0, set.length, false);
    this.out.enterKeyframe();
  }
}
