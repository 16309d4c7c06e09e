/** Puts the packets of one access unit together again, from the ring, as Annex B. */
import { FLAG_HOLE, type PacketRing } from "../core/packet-ring.ts";
import { NAL_FU_A, NAL_STAP_A } from "./h264.ts";
import type { Codec } from "./track-format.ts";

/** A 1080p keyframe of 20 Mbps is about 1 MB; nothing real comes near this. */
const UNIT_BYTES_MAX = 8 << 20;
const UNIT_BYTES_FIRST = 256 << 10;
const START_CODE_BYTES = 4;

/** One scratch buffer serves every camera of a process: a unit is borrowed during one call only. */
export interface Assembler {
  readonly bytes: Uint8Array;
  readonly length: number;
  assemble(ring: PacketRing, from: number, to: number): boolean;
}

export function createAssembler(_codec: Codec): Assembler {
  return new UnitAssembler();
}

class UnitAssembler implements Assembler {
  bytes = new Uint8Array(UNIT_BYTES_FIRST);
  length = 0;

  /** Fills `bytes` with the packets `from` to `to` (exclusive). False when they do not fit. */
  assemble(ring: PacketRing, from: number, to: number): boolean {
    this.length = 0;
    for (let id = from; id < to; id++) {
      if ((ring.flags(id) & FLAG_HOLE) !== 0) continue;
      const start = ring.start(id);
      const length = ring.length(id);
      // A start code may come per 3 bytes of an aggregate at worst, hence the factor.
      if (!this.#makeRoom(length * 3 + START_CODE_BYTES)) return false;
      this.#packet(ring.bytes, start, start + length);
    }
    return true;
  }

  #packet(b: Uint8Array, start: number, end: number): void {
    const type = b[start]! & 0x1f;
    if (type === NAL_STAP_A) {
      for (let at = start + 1; at + 2 < end; ) {
        const nal = at + 2;
        const next = Math.min(end, nal + ((b[at]! << 8) | b[at + 1]!));
        this.#startCode();
        this.#append(b, nal, next);
        at = next;
      }
      return;
    }
    if (type !== NAL_FU_A) {
      this.#startCode();
      this.#append(b, start, end);
      return;
    }
    const head = b[start + 1]!;
    if ((head & 0x80) !== 0) {
      this.#startCode();
      this.bytes[this.length++] = (b[start]! & 0xe0) | (head & 0x1f);
    }
    this.#append(b, start + 2, end);
  }

  #startCode(): void {
    this.bytes.fill(0, this.length, this.length + 3);
    this.bytes[this.length + 3] = 1;
    this.length += START_CODE_BYTES;
  }

  #append(b: Uint8Array, start: number, end: number): void {
    this.bytes.set(b.subarray(start, end), this.length);
    this.length += end - start;
  }

  #makeRoom(more: number): boolean {
    const wanted = this.length + more;
    if (wanted <= this.bytes.length) return true;
    if (wanted > UNIT_BYTES_MAX) return false;
    const grown = new Uint8Array(Math.min(UNIT_BYTES_MAX, Math.max(wanted, this.bytes.length * 2)));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    return true;
  }
}
