import { BitReader, unescaped } from "./bits.ts";

/** What a viewer or a person wants to know of an H.265 sequence parameter set (ITU-T H.265 7.3.2.2). */
export interface H265SpsInfo {
  readonly id: number;
  /** The video parameter set that it refers to. */
  readonly videoSet: number;
  /** general_profile_idc: 1 is Main, 2 is Main 10. */
  readonly profile: number;
  /** 0 is the main tier, 1 the high one. */
  readonly tier: number;
  /** general_level_idc: thirty times the level. */
  readonly level: number;
  /** Picture size in luma samples, the conformance window applied. */
  readonly width: number;
  readonly height: number;
  /** Pictures that a decoder may have to hold back to bring them into order. */
  readonly reorderPictures: number;
}

const NAL_HEADER_BYTES = 2;
const NAL_SPS = 33;
/** Compatibility flags, constraint flags and their reserved bits (7.3.3). */
const COMPATIBILITY_BITS = 32 + 48;
/** Of a sub-layer: the same as above, with its profile in front. */
const SUB_LAYER_PROFILE_BITS = 8 + COMPATIBILITY_BITS;
const LEVEL_BITS = 8;
/** Larger than any level allows; refuses nonsense before it becomes an allocation. */
const SIDE_MAX = 16_384;

/** Reads a whole SPS NAL unit, header included. `null` when it is not one, or nonsense. */
export function readH265Sps(nal: Uint8Array): H265SpsInfo | null {
  if (nal.length < 4 || ((nal[0]! >> 1) & 0x3f) !== NAL_SPS) return null;
  const r = new BitReader(unescaped(nal, NAL_HEADER_BYTES, nal.length));
  const videoSet = r.bits(4);
  const subLayers = r.bits(3);
  r.skip(1); // sps_temporal_id_nesting_flag
  r.skip(2); // general_profile_space
  const tier = r.bits(1);
  const profile = r.bits(5);
  r.skip(COMPATIBILITY_BITS);
  const level = r.bits(LEVEL_BITS);
  skipSubLayers(r, subLayers);
  const id = r.unsigned();
  const { width, height } = readSize(r);
  if (r.overrun || width <= 0 || height <= 0 || width > SIDE_MAX || height > SIDE_MAX) return null;
  const reorderPictures = readReorderPictures(r, subLayers);
  return { id, videoSet, profile, tier, level, width, height, reorderPictures };
}

/** The rest of profile_tier_level. */
function skipSubLayers(r: BitReader, count: number): void {
  if (count === 0) return;
  const present = Array.from({ length: count }, () => ({ profile: r.bits(1), level: r.bits(1) }));
  r.skip(2 * (8 - count));
  for (const { profile, level } of present) {
    r.skip(profile * SUB_LAYER_PROFILE_BITS + level * LEVEL_BITS);
  }
}

function readSize(r: BitReader): { width: number; height: number } {
  const chroma = r.unsigned();
  if (chroma === 3) r.skip(1); // separate_colour_plane_flag
  let width = r.unsigned();
  let height = r.unsigned();
  if (r.bits(1) === 1) {
    width -= (chroma === 1 || chroma === 2 ? 2 : 1) * (r.unsigned() + r.unsigned());
    height -= (chroma === 1 ? 2 : 1) * (r.unsigned() + r.unsigned());
  }
  return { width, height };
}

/** sps_max_num_reorder_pics of the highest sub-layer; 0 when the set is cut short. */
function readReorderPictures(r: BitReader, subLayers: number): number {
  r.unsigned(); // bit_depth_luma_minus8
  r.unsigned(); // bit_depth_chroma_minus8
  r.unsigned(); // log2_max_pic_order_cnt_lsb_minus4
  const count = r.bits(1) === 1 ? subLayers + 1 : 1;
  let pictures = 0;
  for (let i = 0; i < count; i++) {
    r.unsigned(); // sps_max_dec_pic_buffering_minus1
    pictures = r.unsigned();
    r.unsigned(); // sps_max_latency_increase_plus1
  }
  return r.overrun ? 0 : pictures;
}
