/** Which units pictures come of, by codec: what a decoder's silence means. */
import { isWithoutPicture as isNalWithoutPicture, nextNal } from "./annex-b.ts";
import type { VideoCodec } from "./track-format.ts";

/** NAL unit types of H.265, ITU-T H.265 table 7-1: leading pictures that are skipped, slices. */
const NAL_RASL_N = 8;
const NAL_RASL_R = 9;
const NAL_SLICE_MAX = 31;

/**
 * Whether a unit is whole without any part of a picture. Cameras also send units of nothing but
 * parameter sets or timing messages, and no picture comes of those.
 */
export function isWithoutPicture(codec: VideoCodec, bytes: Uint8Array): boolean {
  return (codec === "h264" || codec === "h265") && isNalWithoutPicture(bytes, codec);
}

/**
 * Whether the unit's picture refers to pictures in front of the keyframe that it follows (RASL:
 * open groups of pictures). A decoder that began with that keyframe leaves it out, rightly (ITU-T
 * H.265 8.1.3).
 */
export function isLeading(codec: VideoCodec, bytes: Uint8Array): boolean {
  if (codec !== "h265") return false;
  const { length } = bytes;
  for (let at = nextNal(bytes, 0, length); at >= 0; at = nextNal(bytes, at, length)) {
    const type = ((bytes[at] ?? 0) >> 1) & 0x3f;
    if (type <= NAL_SLICE_MAX) return type === NAL_RASL_N || type === NAL_RASL_R;
  }
  return false;
}
