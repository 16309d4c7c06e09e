import { BitReader, unescaped } from "./bits.ts";
import { readReorderPictures } from "./vui.ts";

/** What a viewer or a person wants to know of an H.264 sequence parameter set (ITU-T H.264 7.3.2.1). */
export interface SpsInfo {
  readonly profile: number;
  /** The six constraint flags, as in `profile-level-id`. */
  readonly constraints: number;
  readonly level: number;
  /** Picture size in luma samples, cropping applied. */
  readonly width: number;
  readonly height: number;
  /**
   * Pictures that a decoder may have to hold back to bring them into order: 0 when they come as they
   * are shown, `null` when that is left open.
   */
  readonly reorderPictures: number | null;
}

/** Profiles whose SPS carries chroma format and scaling matrices. */
const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);
const BASELINE = 66;
const ORDER_OF_DECODING = 2;
/** Larger than any level allows; refuses nonsense before it becomes an allocation. */
const SIDE_MAX = 16_384;

function skipScalingList(r: BitReader, size: number): void {
  let last = 8;
  let next = 8;
  for (let i = 0; i < size; i++) {
    if (next !== 0) next = (last + r.signed() + 256) % 256;
    last = next === 0 ? last : next;
  }
}

/** Returns chroma_format_idc. */
function readHighProfileFields(r: BitReader): number {
  const chroma = r.unsigned();
  if (chroma === 3) r.bits(1);
  r.unsigned(); // bit_depth_luma_minus8
  r.unsigned(); // bit_depth_chroma_minus8
  r.bits(1); // qpprime_y_zero_transform_bypass_flag
  if (r.bits(1) === 1) {
    for (let i = 0; i < (chroma === 3 ? 12 : 8); i++) {
      if (r.bits(1) === 1) skipScalingList(r, i < 6 ? 16 : 64);
    }
  }
  return chroma;
}

/** Returns pic_order_cnt_type. */
function readPictureOrder(r: BitReader): number {
  const type = r.unsigned();
  if (type === 0) r.unsigned();
  if (type !== 1) return type;
  r.bits(1);
  r.signed();
  r.signed();
  const cycle = r.unsigned();
  for (let i = 0; i < cycle && !r.overrun; i++) r.signed();
  return type;
}

/** Reads a whole SPS NAL unit, header byte included. `null` when it is not one, or nonsense. */
export function readSps(nal: Uint8Array): SpsInfo | null {
  if (nal.length < 5 || (nal[0]! & 0x1f) !== 7) return null;
  const r = new BitReader(unescaped(nal, 1, nal.length));
  const profile = r.bits(8);
  const constraints = r.bits(8);
  const level = r.bits(8);
  r.unsigned(); // seq_parameter_set_id
  const chroma = HIGH_PROFILES.has(profile) ? readHighProfileFields(r) : 1;
  r.unsigned(); // log2_max_frame_num_minus4
  const pictureOrder = readPictureOrder(r);
  r.unsigned(); // max_num_ref_frames
  r.bits(1); // gaps_in_frame_num_value_allowed_flag
  const widthInMacroblocks = r.unsigned() + 1;
  const heightInMapUnits = r.unsigned() + 1;
  const frameOnly = r.bits(1);
  if (frameOnly === 0) r.bits(1);
  r.bits(1); // direct_8x8_inference_flag
  let width = widthInMacroblocks * 16;
  let height = heightInMapUnits * 16 * (2 - frameOnly);
  if (r.bits(1) === 1) {
    const unitX = chroma === 1 || chroma === 2 ? 2 : 1;
    const unitY = (chroma === 1 ? 2 : 1) * (2 - frameOnly);
    width -= unitX * (r.unsigned() + r.unsigned());
    height -= unitY * (r.unsigned() + r.unsigned());
  }
  if (r.overrun || width <= 0 || height <= 0 || width > SIDE_MAX || height > SIDE_MAX) return null;
  // Baseline has no B slices, and type 2 is the order of decoding (8.2.1).
  const inOrder = profile === BASELINE || pictureOrder === ORDER_OF_DECODING;
  const vui = r.bits(1) === 1 ? readReorderPictures(r) : null;
  const reorderPictures = inOrder ? 0 : vui;
  return { profile, constraints, level, width, height, reorderPictures };
}

/** `profile-level-id` (RFC 6184 section 8.1); empty while the parameter set is not known. */
export function profileLevelIdOf(sps: Uint8Array | undefined): string {
  return sps?.subarray(1, 4).toHex() ?? "";
}
