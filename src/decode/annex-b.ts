import { NAL_IDR, NAL_SLICE } from "../rtp/h264.ts";

/** Supplemental information; parameter sets, delimiters and fillers follow (ITU-T H.264 table 7-1). */
const NAL_SEI = 6;
const NAL_FILLER = 12;

/**
 * Whether an access unit in Annex B form is whole without any part of a picture. Cameras also send
 * units of nothing but parameter sets or timing messages, and no picture comes of those.
 */
export function isWithoutPicture(bytes: Uint8Array): boolean {
  let others = 0;
  for (let at = 0; at + 3 < bytes.length; at++) {
    if (bytes[at] !== 0 || bytes[at + 1] !== 0 || bytes[at + 2] !== 1) continue;
    const type = bytes[at + 3]! & 0x1f;
    if (type >= NAL_SLICE && type <= NAL_IDR) return false;
    if (type >= NAL_SEI && type <= NAL_FILLER) others++;
  }
  return others > 0;
}
