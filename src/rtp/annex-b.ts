/** NAL units as a byte stream: annex B of ITU-T H.264 and of ITU-T H.265, which are the same. */

import type { VideoCodec } from "./track-format.ts";

/** Where the NAL unit behind the next start code in [from, end) of `b` starts; -1 when none comes. */
export function nextNal(b: Uint8Array, from: number, end: number): number {
  for (let at = b.indexOf(1, from + 2); at >= 0 && at < end; at = b.indexOf(1, at + 1)) {
    if (b[at - 1] === 0 && b[at - 2] === 0) return at + 1;
  }
  return -1;
}

/** Where a NAL unit ends that starts at `start`: never in zeros, which belong to the next start code. */
export function trimmedEnd(b: Uint8Array, start: number, end: number): number {
  let last = end;
  while (last > start && b[last - 1] === 0) last--;
  return last;
}

/** Whether [start, end) of `b` starts with a start code, of three bytes or of four. */
export function startsWithCode(b: Uint8Array, start: number, end: number): boolean {
  if (end - start < 4 || b[start] !== 0 || b[start + 1] !== 0) return false;
  return b[start + 2] === 1 || (b[start + 2] === 0 && b[start + 3] === 1);
}

/** The NAL units of `bytes`, as views of it, without start codes and trailing zeros. */
export function nalUnits(bytes: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  let start = nextNal(bytes, 0, bytes.length);
  while (start >= 0) {
    const next = nextNal(bytes, start, bytes.length);
    const end = next < 0 ? bytes.length : next - 3;
    nals.push(bytes.subarray(start, trimmedEnd(bytes, start, end)));
    start = next;
  }
  return nals;
}

/** NAL unit types, as far as they say whether a picture comes: [first, last]. */
const TYPES = {
  /** Slices; information, parameter sets, delimiters and fillers (ITU-T H.264 table 7-1). */
  h264: { shift: 0, mask: 0x1f, slices: [1, 5], others: [6, 12] },
  /** The same (ITU-T H.265 table 7-1). */
  h265: { shift: 1, mask: 0x3f, slices: [0, 31], others: [32, 40] },
} as const;

/**
 * Whether an access unit (in Annex B form) is whole without any part of a picture. Cameras also send
 * units of nothing but parameter sets or timing messages, and no picture comes of those.
 */
export function isWithoutPicture(bytes: Uint8Array, codec: VideoCodec = "h264"): boolean {
  // Units of the others are pictures and nothing else.
  if (codec !== "h264" && codec !== "h265") return false;
  const { shift, mask, slices, others } = TYPES[codec];
  let found = 0;
  for (let at = 0; at + 3 < bytes.length; at++) {
    if (bytes[at] !== 0 || bytes[at + 1] !== 0 || bytes[at + 2] !== 1) continue;
    const type = (bytes[at + 3]! >> shift) & mask;
    if (type >= slices[0] && type <= slices[1]) return false;
    if (type >= others[0] && type <= others[1]) found++;
  }
  return found > 0;
}
