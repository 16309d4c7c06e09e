/** H.264 as a byte stream, ITU-T H.264 annex B. */
import { NAL_IDR, NAL_SLICE } from "./h264.ts";

/** Supplemental information; parameter sets, delimiters and fillers follow (ITU-T H.264 table 7-1). */
const NAL_SEI = 6;
const NAL_FILLER = 12;

/** The NAL units of `bytes`, as views of it, without start codes and trailing zeros. */
export function nalUnits(bytes: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  let start = -1;
  for (let at = bytes.indexOf(1); at >= 0; at = bytes.indexOf(1, at + 1)) {
    if (at < 2 || bytes[at - 1] !== 0 || bytes[at - 2] !== 0) continue;
    if (start >= 0) nals.push(trimmed(bytes, start, at));
    start = at + 1;
  }
  if (start >= 0) nals.push(trimmed(bytes, start, bytes.length));
  return nals;
}

/** A NAL unit never ends in zeros; those belong to the next start code (7.4.1). */
function trimmed(bytes: Uint8Array, start: number, end: number): Uint8Array {
  let last = end;
  while (last > start && bytes[last - 1] === 0) last--;
  return bytes.subarray(start, last);
}

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
