/** AAC frames with a header in front of each, as MPEG-TS carries them (ISO/IEC 13818-7 section 6.2). */

const HEADER_BYTES = 7;
/** The same with a checksum. */
const HEADER_BYTES_PROTECTED = 9;
/** One frame of AAC in a longer run of bytes. */
export interface AdtsFrame {
  /** Without the header. */
  readonly start: number;
  readonly end: number;
}

/** Whether a header begins at `at`. */
export function isAdts(b: Uint8Array, at = 0): boolean {
  return at + HEADER_BYTES <= b.length && b[at] === 0xff && (b[at + 1]! & 0xf6) === 0xf0;
}

/** The frames of `b`; ends at what is no whole frame. */
export function adtsFrames(b: Uint8Array): AdtsFrame[] {
  const frames: AdtsFrame[] = [];
  for (let at = 0; isAdts(b, at); ) {
    const header = (b[at + 1]! & 1) === 1 ? HEADER_BYTES : HEADER_BYTES_PROTECTED;
    const length = ((b[at + 3]! & 3) << 11) | (b[at + 4]! << 3) | (b[at + 5]! >> 5);
    if (length < header || at + length > b.length) break;
    frames.push({ start: at + header, end: at + length });
    at += length;
  }
  return frames;
}

/** The AudioSpecificConfig (ISO/IEC 14496-3) that the header at the start of `b` stands for. */
export function adtsConfig(b: Uint8Array): Uint8Array | null {
  if (!isAdts(b)) return null;
  const objectType = (b[2]! >> 6) + 1;
  const rate = (b[2]! >> 2) & 0xf;
  const channels = ((b[2]! & 1) << 2) | (b[3]! >> 6);
  const config = (objectType << 11) | (rate << 7) | (channels << 3);
  return new Uint8Array([config >> 8, config & 0xff]);
}
