/** H.264 over RTP, RFC 6184, packetization modes 0 and 1. */
import type { PacketRing } from "../core/packet-ring.ts";
import { BitReader, unescaped } from "./bits.ts";
import { NalRepacketizer } from "./nal-repacketizer.ts";
import type { NalSyntax, SetIdentity } from "./nal-syntax.ts";
import { readSps } from "./sps.ts";

/** NAL unit types (ITU-T H.264 table 7-1). */
const NAL_SLICE = 1;
const NAL_IDR = 5;
const NAL_SEI = 6;
export const NAL_SPS = 7;
export const NAL_PPS = 8;
/** The last type of the standard; those above are payload types of RFC 6184 or nobody's. */
const NAL_LAST = 23;
const NAL_STAP_A = 24;
export const NAL_FU_A = 28;

/** Supplemental information that says: from here on a decoder can start (D.2.8). */
const SEI_RECOVERY_POINT = 6;
/** The ids stand in the first bytes of a set: 8 of profile and level, at most 5 of two ids. */
const IDENTITY_BYTES = 16;
/** A slice header up to its picture parameter set: three Exp-Golomb codes. */
const SLICE_HEADER_BYTES = 8;

/**
 * What H.264 is made of. A picture starts a decoder when it is an IDR picture, or when a recovery
 * point with a count of 0 announces it and its first slice is intra-coded: cameras with open groups
 * of pictures send no IDR picture after the first. Streams that refresh gradually have no such
 * picture. B-pictures that follow such a start and refer to what was before it cannot be decoded by
 * who joined there; telling them apart is left to the decoder.
 */
export const H264: NalSyntax = {
  headerBytes: 1,
  typeShift: 0,
  typeMask: 0x1f,
  aggregateType: NAL_STAP_A,
  fragmentType: NAL_FU_A,
  nalTypes: [NAL_SLICE, NAL_LAST],
  sliceTypes: [NAL_SLICE, NAL_IDR],
  informationType: NAL_SEI,
  setTypes: [NAL_SPS, NAL_PPS],
  sizeSetType: NAL_SPS,
  identify,
  pictureSetOf,
  pictureOf: readSps,
  isKeyframe: (type, firstByte, recoveryPoint) =>
    type === NAL_IDR || (recoveryPoint && type === NAL_SLICE && isIntra(firstByte)),
  isRecoveryPoint,
};

/** Takes what a camera sends into its ring. */
export class H264Repacketizer extends NalRepacketizer {
  constructor(ring: PacketRing) {
    super(ring, H264);
  }
}

function identify(b: Uint8Array, start: number, end: number): SetIdentity {
  const r = new BitReader(unescaped(b, start + 1, Math.min(end, start + 1 + IDENTITY_BYTES)));
  const isPps = (b[start]! & 0x1f) === NAL_PPS;
  // An SPS starts with profile, constraints and level.
  if (!isPps) r.skip(24);
  const id = r.unsigned();
  const parent = isPps ? r.unsigned() : 0;
  return r.overrun ? { id: 0, parent: 0 } : { id, parent };
}

function pictureSetOf(b: Uint8Array, start: number, end: number): number {
  const r = new BitReader(unescaped(b, start, Math.min(end, start + SLICE_HEADER_BYTES)));
  r.unsigned(); // first_mb_in_slice
  r.unsigned(); // slice_type
  const id = r.unsigned();
  return r.overrun ? -1 : id;
}

/** Whether slice_type is 2 or 7, read from the byte that also holds first_mb_in_slice = 0. */
function isIntra(firstByte: number): boolean {
  return (firstByte & 0xf0) === 0xb0 || firstByte === 0x88;
}

function isRecoveryPoint(b: Uint8Array, start: number, end: number): boolean {
  const sei = unescaped(b, start + 1, end);
  let at = 0;
  // Type and size, both in bytes of 255 and a last one (7.3.2.3.1).
  const number = (): number => {
    let value = 0;
    while (sei[at] === 0xff) value += sei[at++]!;
    return value + (sei[at++] ?? 0);
  };
  while (at + 2 < sei.length) {
    const type = number();
    const size = number();
    // recovery_frame_cnt is 0 exactly when its Exp-Golomb code starts with a one.
    if (type === SEI_RECOVERY_POINT) return ((sei[at] ?? 0) & 0x80) !== 0;
    at += size;
  }
  return false;
}
