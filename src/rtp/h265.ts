/** H.265 over RTP, RFC 7798, in decoding order: without DONL fields (sprop-max-don-diff 0). */
import type { PacketRing } from "../core/packet-ring.ts";
import { BitReader, unescaped } from "./bits.ts";
import { readH265Sps } from "./h265-sps.ts";
import { NalRepacketizer } from "./nal-repacketizer.ts";
import type { NalSyntax, SetIdentity } from "./nal-syntax.ts";

/** NAL unit types (ITU-T H.265 table 7-1). */
const NAL_SLICE_LAST = 31;
/** Pictures to start at: BLA, IDR and CRA. */
const NAL_IRAP_FIRST = 16;
const NAL_IRAP_LAST = 21;
export const H265_VPS = 32;
export const H265_SPS = 33;
export const H265_PPS = 34;
const NAL_PREFIX_SEI = 39;
/** The last type of the standard; those above are payload types of RFC 7798 or nobody's. */
const NAL_LAST = 47;
const H265_AP = 48;
const H265_FU = 49;

/** The ids stand in the first bytes of a VPS or PPS: two Exp-Golomb codes at most. */
const IDENTITY_BYTES = 16;
/** A slice header up to its picture parameter set: two flags and an Exp-Golomb code. */
const SLICE_HEADER_BYTES = 8;

/**
 * What H.265 is made of. Every picture of types 16 to 21 starts a decoder. Leading pictures (RASL)
 * of a CRA picture refer to what was before it; a decoder that starts there drops them itself.
 */
export const H265: NalSyntax = {
  headerBytes: 2,
  typeShift: 1,
  typeMask: 0x3f,
  aggregateType: H265_AP,
  fragmentType: H265_FU,
  nalTypes: [0, NAL_LAST],
  sliceTypes: [0, NAL_SLICE_LAST],
  informationType: NAL_PREFIX_SEI,
  setTypes: [H265_VPS, H265_SPS, H265_PPS],
  sizeSetType: H265_SPS,
  identify,
  pictureSetOf,
  pictureOf: readH265Sps,
  isKeyframe: (type) => type >= NAL_IRAP_FIRST && type <= NAL_IRAP_LAST,
  // Gradual refresh has no picture to start at, and the others say so by their type.
  isRecoveryPoint: () => false,
};

/** Takes what a camera sends into its ring. */
export class H265Repacketizer extends NalRepacketizer {
  constructor(ring: PacketRing) {
    super(ring, H265);
  }
}

function identify(b: Uint8Array, start: number, end: number): SetIdentity {
  const type = (b[start]! >> 1) & 0x3f;
  if (type === H265_SPS) {
    const info = readH265Sps(b.subarray(start, end));
    return { id: info?.id ?? 0, parent: info?.videoSet ?? 0 };
  }
  const r = new BitReader(unescaped(b, start + 2, Math.min(end, start + 2 + IDENTITY_BYTES)));
  const id = type === H265_VPS ? r.bits(4) : r.unsigned();
  const parent = type === H265_VPS ? 0 : r.unsigned();
  return r.overrun ? { id: 0, parent: 0 } : { id, parent };
}

function pictureSetOf(b: Uint8Array, start: number, end: number): number {
  const r = new BitReader(unescaped(b, start, Math.min(end, start + SLICE_HEADER_BYTES)));
  r.skip(1); // first_slice_segment_in_pic_flag
  r.skip(1); // no_output_of_prior_pics_flag
  const id = r.unsigned();
  return r.overrun ? -1 : id;
}
