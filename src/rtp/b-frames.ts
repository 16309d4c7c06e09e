/**
 * Notices pictures that are sent in another order than they are shown in (B-frames): a browser
 * shows them as they come, so the picture jumps to and fro.
 *
 * @module
 */
import { nextNal } from "./annex-b.ts";
import { BitReader } from "./bits.ts";
import { readH265Sps } from "./h265-sps.ts";
import { readSps } from "./sps.ts";
import type { VideoCodec } from "./track-format.ts";

const H264_SLICES: readonly number[] = [1, 5];
const H264_SPS = 7;
const H265_SPS = 33;
/** slice_type 1, and 6 for "all slices of this picture are" (ITU-T H.264 table 7-6). */
const SLICE_B: readonly number[] = [1, 6];
/** Two Exp-Golomb codes, first_mb_in_slice and slice_type, with room for emulation prevention. */
const SLICE_HEADER_BYTES = 12;

/** Follows one track, unit by unit. Looks at each unit's first slice only. */
export class BFrames {
  readonly #codec: VideoCodec;
  /** By the parameter set in force: `null` where it leaves that open. */
  #allowed: number | null = null;
  #seen = false;

  constructor(codec: VideoCodec) {
    this.#codec = codec;
  }

  /**
   * Whether pictures come in another order than they are shown in. H.265 says so in its parameter
   * sets; H.264 may allow it there and never do it, so a B slice has to be seen.
   */
  get found(): boolean {
    if (this.#codec === "h265") return this.announced;
    return this.#seen && this.#allowed !== 0;
  }

  /** The parameter set in force says that they may come. */
  get announced(): boolean {
    return (this.#allowed ?? 0) > 0;
  }

  /** Takes a parameter set, header included, from a session description or out of a unit. */
  parameterSet(nal: Uint8Array): void {
    const read = this.#codec === "h264" ? readSps : readH265Sps;
    const info = read(nal);
    if (info === null || info.reorderPictures === this.#allowed) return;
    this.#allowed = info.reorderPictures;
    this.#seen = false;
  }

  /** Takes a unit in Annex B form, borrowed. Units of codecs without such pictures are ignored. */
  unit(bytes: Uint8Array): void {
    if (this.#codec !== "h264" && this.#codec !== "h265") return;
    const { length } = bytes;
    for (let at = nextNal(bytes, 0, length); at >= 0; at = nextNal(bytes, at, length)) {
      if (this.#nal(bytes, at)) return;
    }
  }

  /** True once nothing more of interest can come. */
  #nal(bytes: Uint8Array, at: number): boolean {
    const head = bytes[at] ?? 0;
    const h264 = this.#codec === "h264";
    const type = h264 ? head & 0x1f : (head >> 1) & 0x3f;
    if (type === (h264 ? H264_SPS : H265_SPS)) {
      const next = nextNal(bytes, at, bytes.length);
      this.parameterSet(bytes.subarray(at, next < 0 ? bytes.length : next - 3));
      return false;
    }
    if (!h264) return type < 32;
    if (!H264_SLICES.includes(type)) return false;
    this.#seen ||= isBSlice(bytes, at);
    return true;
  }
}

/** Whether the slice whose NAL unit begins at `at` is bi-predicted. */
function isBSlice(bytes: Uint8Array, at: number): boolean {
  const r = new BitReader(bytes.subarray(at + 1, at + 1 + SLICE_HEADER_BYTES));
  r.unsigned(); // first_mb_in_slice
  return SLICE_B.includes(r.unsigned()) && !r.overrun;
}
