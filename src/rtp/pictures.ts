/** Which units pictures come of, by codec: what a decoder's silence means. */
import { isWithoutPicture as isH264WithoutPicture } from "./annex-b.ts";
import type { VideoCodec } from "./track-format.ts";

/** NAL unit types of H.265, ITU-T H.265 table 7-1. */
const NAL_RASL_N = 8;
const NAL_RASL_R = 9;
/** Slices up to here, parameter sets and messages above. */
const NAL_VCL_MAX = 31;
const NAL_SEI_SUFFIX = 40;

/**
 * Whether a unit is whole without any part of a picture. Cameras also send units of nothing but
 * parameter sets or timing messages, and no picture comes of those.
 */
export function isWithoutPicture(codec: VideoCodec, bytes: Uint8Array): boolean {
  switch (codec) {
    case "h264":
      return isH264WithoutPicture(bytes);
    case "h265":
      return isH265WithoutPicture(bytes);
    case "mjpeg":
    case "vp8":
      return false;
    default:
      return codec satisfies never;
  }
}

/**
 * Whether the unit's picture refers to pictures in front of the keyframe that it follows (RASL:
 * open groups of pictures). A decoder that began with that keyframe leaves it out, rightly (ITU-T
 * H.265 8.1.3).
 */
export function isLeading(codec: VideoCodec, bytes: Uint8Array): boolean {
  if (codec !== "h265") return false;
  const type = firstSlice(bytes);
  return type === NAL_RASL_N || type === NAL_RASL_R;
}

function isH265WithoutPicture(bytes: Uint8Array): boolean {
  let others = 0;
  for (let at = nextNal(bytes, 0); at >= 0; at = nextNal(bytes, at)) {
    const type = nalType(bytes, at);
    if (type <= NAL_VCL_MAX) return false;
    if (type <= NAL_SEI_SUFFIX) others++;
  }
  return others > 0;
}

/** Type of the first slice in Annex B bytes, -1 when there is none. */
function firstSlice(bytes: Uint8Array): number {
  for (let at = nextNal(bytes, 0); at >= 0; at = nextNal(bytes, at)) {
    const type = nalType(bytes, at);
    if (type <= NAL_VCL_MAX) return type;
  }
  return -1;
}

function nalType(bytes: Uint8Array, at: number): number {
  return (bytes[at]! >> 1) & 0x3f;
}

/** Where the first NAL unit behind `from` begins, behind its start code; -1 when there is none. */
function nextNal(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(1, from); at >= 0; at = bytes.indexOf(1, at + 1)) {
    const isStartCode = at >= from + 2 && bytes[at - 1] === 0 && bytes[at - 2] === 0;
    if (isStartCode && at + 1 < bytes.length) return at + 1;
  }
  return -1;
}
