/** Video usability information of H.264 (ITU-T H.264 annex E), as far as anyone here asks. */
import type { BitReader } from "./bits.ts";

/** aspect_ratio_idc that says the ratio itself. */
const EXTENDED_SAR = 255;

/**
 * max_num_reorder_frames: how many pictures a decoder may have to hold back to bring them into
 * order. Reads vui_parameters; `null` when they do not say.
 */
export function readReorderPictures(r: BitReader): number | null {
  if (r.bits(1) === 1 && r.bits(8) === EXTENDED_SAR) r.skip(32);
  if (r.bits(1) === 1) r.skip(1); // overscan_appropriate_flag
  if (r.bits(1) === 1) {
    r.skip(4); // video_format, video_full_range_flag
    if (r.bits(1) === 1) r.skip(24); // primaries, transfer, matrix
  }
  if (r.bits(1) === 1) {
    r.unsigned(); // chroma_sample_loc_type_top_field
    r.unsigned(); // chroma_sample_loc_type_bottom_field
  }
  if (r.bits(1) === 1) r.skip(65); // num_units_in_tick, time_scale, fixed_frame_rate_flag
  const nalHrd = skipHypotheticalDecoder(r);
  const vclHrd = skipHypotheticalDecoder(r);
  if (nalHrd || vclHrd) r.skip(1); // low_delay_hrd_flag
  r.skip(1); // pic_struct_present_flag
  if (r.bits(1) === 0) return null;
  r.skip(1); // motion_vectors_over_pic_boundaries_flag
  for (let i = 0; i < 4; i++) r.unsigned(); // limits on bytes, bits and motion vectors
  const pictures = r.unsigned();
  return r.overrun ? null : pictures;
}

/** hrd_parameters, where they are present. */
function skipHypotheticalDecoder(r: BitReader): boolean {
  if (r.bits(1) === 0) return false;
  const count = r.unsigned() + 1;
  r.skip(8); // bit_rate_scale, cpb_size_scale
  for (let i = 0; i < count && !r.overrun; i++) {
    r.unsigned();
    r.unsigned();
    r.skip(1);
  }
  r.skip(20); // lengths of delays and time offset
  return true;
}
