/** AAC frames with a header in front of each, as MPEG-TS carries them (ISO/IEC 13818-7 section 6.2). */

const HEADER_BYTES = 7;
/** The same with a checksum. */
const HEADER_BYTES_PROTECTED = 9;
/** Of every frame that ADTS can hold: `number_of_raw_data_blocks_in_frame` is 0 everywhere. */
export const AAC_FRAME_SAMPLES = 1024;

/** ISO/IEC 14496-3 table 1.18. */
const SAMPLING_HZ = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
  7_350,
] as const;

/** One frame of AAC in a longer run of bytes. */
export interface AdtsFrame {
  /** Without the header. */
  readonly start: number;
  readonly end: number;
}

/** What a header says of the stream. */
export interface AacFormat {
  /** AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1). */
  readonly config: Uint8Array;
  readonly sampleHz: number;
  readonly channels: number;
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

/** What the header at the start of `b` says; `null` when it is none, or says what no stream has. */
export function adtsFormat(b: Uint8Array): AacFormat | null {
  if (!isAdts(b)) return null;
  const objectType = (b[2]! >> 6) + 1;
  const rate = (b[2]! >> 2) & 0xf;
  const sampleHz = SAMPLING_HZ[rate];
  const channels = ((b[2]! & 1) << 2) | (b[3]! >> 6);
  if (sampleHz === undefined || channels === 0) return null;
  const config = (objectType << 11) | (rate << 7) | (channels << 3);
  return { config: new Uint8Array([config >> 8, config & 0xff]), sampleHz, channels };
}

/** What an AudioSpecificConfig says; `null` for one that writes its rate out, which nobody does. */
export function aacFormat(config: Uint8Array): AacFormat | null {
  if (config.length < 2) return null;
  const bits = (config[0]! << 8) | config[1]!;
  const sampleHz = SAMPLING_HZ[(bits >> 7) & 0xf];
  const channels = (bits >> 3) & 0xf;
  if (sampleHz === undefined || channels === 0) return null;
  return { config, sampleHz, channels };
}
