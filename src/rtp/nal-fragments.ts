/** Cuts NAL units into fragmentation units (RFC 6184 section 5.8, RFC 7798 section 4.4.3). */
import type { PacketRing } from "../core/packet-ring.ts";
import { PAYLOAD_BYTES_MAX } from "./header.ts";
import type { NalSyntax } from "./nal-syntax.ts";
import type { UnitWriter } from "./unit-writer.ts";

const FU_START = 0x80;
const FU_END = 0x40;

/** One NAL unit at a time: `open`, `append` as its bytes arrive, the last of them with `last`. */
export class NalFragments {
  readonly #out: UnitWriter;
  readonly #ring: PacketRing;
  readonly #headerBytes: number;
  readonly #typeShift: number;
  readonly #typeMask: number;
  readonly #fragmentType: number;
  // The packet being filled: its place in the ring, its length so far, whether it is the first.
  #at = 0;
  #length = 0;
  #first = false;

  constructor(out: UnitWriter, syntax: NalSyntax) {
    this.#out = out;
    this.#ring = out.ring;
    this.#headerBytes = syntax.headerBytes;
    this.#typeShift = syntax.typeShift;
    this.#typeMask = syntax.typeMask;
    this.#fragmentType = syntax.fragmentType;
  }

  /** A NAL unit begins; `first` and `second` are its header (of H.264 `second` means nothing). */
  open(first: number, second: number): void {
    const ring = this.#ring;
    this.#out.partial = true;
    this.#first = true;
    this.#at = ring.reserve(PAYLOAD_BYTES_MAX);
    const others = first & ~(this.#typeMask << this.#typeShift);
    ring.bytes[this.#at] = others | (this.#fragmentType << this.#typeShift);
    if (this.#headerBytes === 2) ring.bytes[this.#at + 1] = second;
    const type = (first >> this.#typeShift) & this.#typeMask;
    ring.bytes[this.#at + this.#headerBytes] = type | FU_START;
    this.#length = this.#headerBytes + 1;
  }

  /** Adds [start, end) of `b`; every packet that becomes full is committed at once. */
  append(b: Uint8Array, start: number, end: number, last: boolean, marker: boolean): void {
    const ring = this.#ring;
    let at = start;
    for (;;) {
      const take = Math.min(end - at, PAYLOAD_BYTES_MAX - this.#length);
      ring.bytes.set(b.subarray(at, at + take), this.#at + this.#length);
      this.#length += take;
      at += take;
      if (at === end) break;
      this.#next();
    }
    if (last) this.#close(marker);
    else if (this.#length === PAYLOAD_BYTES_MAX) this.#next();
  }

  #next(): void {
    const ring = this.#ring;
    const n = this.#headerBytes;
    const first = ring.bytes[this.#at]!;
    const second = ring.bytes[this.#at + 1]!;
    const type = ring.bytes[this.#at + n]! & this.#typeMask;
    this.#out.commit(this.#length, false);
    this.#first = false;
    this.#at = ring.reserve(PAYLOAD_BYTES_MAX);
    ring.bytes[this.#at] = first;
    if (n === 2) ring.bytes[this.#at + 1] = second;
    ring.bytes[this.#at + n] = type;
    this.#length = n + 1;
  }

  #close(marker: boolean): void {
    const { bytes } = this.#ring;
    const at = this.#at;
    const n = this.#headerBytes;
    this.#out.partial = false;
    if (this.#first) {
      // One packet after all: a fragment may not be first and last at once, a NAL unit may.
      const type = (bytes[at + n]! & this.#typeMask) << this.#typeShift;
      bytes[at] = (bytes[at]! & ~(this.#typeMask << this.#typeShift)) | type;
      bytes.copyWithin(at + n, at + n + 1, at + this.#length);
      this.#out.commit(this.#length - 1, marker);
      return;
    }
    bytes[at + n]! |= FU_END;
    this.#out.commit(this.#length, marker);
  }
}
