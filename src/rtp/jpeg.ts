/**
 * JPEG files (ITU-T T.81, JFIF) as far as RTP carries them: baseline, three components, 4:2:2 or
 * 4:2:0, with the Huffman tables that the standard gives as an example and all cameras use.
 *
 * @module
 */
import { writeU16 } from "./header.ts";

export const QUANTIZER_BYTES = 64;
/** A table for luminance and one for chrominance, in zigzag order. */
export const QUANTIZERS_BYTES = 2 * QUANTIZER_BYTES;

/** What a file says of its picture; its tables are copied apart. */
export interface JpegPicture {
  /** RFC 2435 section 4.1: 0 is 4:2:2, 1 is 4:2:0. */
  readonly type: 0 | 1;
  readonly width: number;
  readonly height: number;
  /** In minimum coded units; 0 without restart markers. */
  readonly restartInterval: number;
  /** Where the entropy-coded data lies, without the end marker. */
  readonly scanStart: number;
  readonly scanEnd: number;
}

/** Markers, their second byte. */
const SOF0 = 0xc0;
const DHT = 0xc4;
const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const DQT = 0xdb;
const DRI = 0xdd;
/** Other frame types than baseline: SOF1 to SOF15, without DHT, JPG and DAC. */
const SOF_LAST = 0xcf;
const DAC = 0xcc;

/** Sampling factors of luminance, by type of RFC 2435; those of chrominance are 1 by 1. */
const SAMPLING = [0x21, 0x22] as const;
const COMPONENTS = 3;

/** T.81 annex K.1 in zigzag order: luminance, chrominance. */
const QUANTIZERS = Uint8Array.fromHex(
  "100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933" +
    "383740485c4e404457453738506d51575f626768673e4d71797064785c656763" +
    "1112121815182f1a1a2f63423842636363636363636363636363636363636363" +
    "6363636363636363636363636363636363636363636363636363636363636363",
);

/** T.81 annex K.3 as a DHT segment says it: DC and AC of luminance, then of chrominance. */
const HUFFMAN = [
  "0000010501010101010100000000000000" + "000102030405060708090a0b",
  "100002010303020403050504040000017d" +
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a" +
    "25262728292a3435363738393a434445464748494a535455565758595a636465666768696a73747576777879" +
    "7a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9" +
    "cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
  "0100030101010101010101010000000000" + "000102030405060708090a0b",
  "1100020102040403040705040400010277" +
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f117" +
    "18191a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778" +
    "797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7" +
    "c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
].map((hex) => Uint8Array.fromHex(hex));
const HUFFMAN_COUNTS_BYTES = 16;

const JFIF = Uint8Array.fromHex("ffd8ffe000104a46494600010100000100010000");
/** Every component with its tables, all 64 coefficients. */
const SCAN_HEADER = Uint8Array.fromHex("ffda000c03010002110311003f00");
/** No longer than this is what `writeJpegHead` writes. */
export const JPEG_HEAD_BYTES_MAX = 640;

/** Writes the tables of a quality factor of 1 to 99 (RFC 2435 section 4.2 and appendix A). */
export function writeQuantizers(quality: number, into: Uint8Array): void {
  const percent = quality < 50 ? 5000 / quality : 200 - quality * 2;
  for (let i = 0; i < QUANTIZERS_BYTES; i++) {
    const value = Math.floor((QUANTIZERS[i]! * Math.floor(percent) + 50) / 100);
    into[i] = Math.min(255, Math.max(1, value));
  }
}

/** What stands in a file in front of the scan. `quantizers` is QUANTIZERS_BYTES long. */
export interface JpegHead {
  readonly type: number;
  readonly width: number;
  readonly height: number;
  readonly restartInterval: number;
  readonly quantizers: Uint8Array;
}

/** Writes everything in front of the scan at `at` and returns where that starts. */
export function writeJpegHead(into: Uint8Array, at: number, head: JpegHead): number {
  into.set(JFIF, at);
  let end = writeQuantizerSegment(into, at + JFIF.length, head.quantizers);
  if (head.restartInterval > 0) {
    end = writeSegmentHead(into, end, DRI, 2);
    writeU16(into, end, head.restartInterval);
    end += 2;
  }
  end = writeFrame(into, end, head);
  const huffmanBytes = HUFFMAN.reduce((sum, table) => sum + table.length, 0);
  end = writeSegmentHead(into, end, DHT, huffmanBytes);
  for (const table of HUFFMAN) {
    into.set(table, end);
    end += table.length;
  }
  into.set(SCAN_HEADER, end);
  return end + SCAN_HEADER.length;
}

function writeSegmentHead(into: Uint8Array, at: number, marker: number, bytes: number): number {
  into[at] = 0xff;
  into[at + 1] = marker;
  writeU16(into, at + 2, bytes + 2);
  return at + 4;
}

function writeQuantizerSegment(into: Uint8Array, at: number, quantizers: Uint8Array): number {
  let end = writeSegmentHead(into, at, DQT, QUANTIZERS_BYTES + 2);
  for (const table of [0, 1]) {
    into[end] = table;
    const start = table * QUANTIZER_BYTES;
    into.set(quantizers.subarray(start, start + QUANTIZER_BYTES), end + 1);
    end += 1 + QUANTIZER_BYTES;
  }
  return end;
}

function writeFrame(into: Uint8Array, at: number, { type, width, height }: JpegHead): number {
  let end = writeSegmentHead(into, at, SOF0, 6 + 3 * COMPONENTS);
  into[end] = 8;
  writeU16(into, end + 1, height);
  writeU16(into, end + 3, width);
  into[end + 5] = COMPONENTS;
  end += 6;
  for (let i = 0; i < COMPONENTS; i++) {
    into[end++] = i + 1;
    into[end++] = i === 0 ? SAMPLING[type === 0 ? 0 : 1] : 0x11;
    into[end++] = i === 0 ? 0 : 1;
  }
  return end;
}

/** Follows the segments of one file. */
class JpegReader {
  readonly #b: Uint8Array;
  readonly #quantizers: Uint8Array;
  /** Tables as the file numbers them. */
  readonly #tables = new Uint8Array(4 * QUANTIZER_BYTES);
  #type: 0 | 1 = 0;
  #width = 0;
  #height = 0;
  #restartInterval = 0;
  /** Numbers of the tables of luminance and chrominance; -1 before the frame header. */
  #luma = -1;
  #chroma = -1;

  constructor(b: Uint8Array, quantizers: Uint8Array) {
    this.#b = b;
    this.#quantizers = quantizers;
  }

  read(start: number, end: number): JpegPicture | null {
    const b = this.#b;
    if (end - start < 4 || b[start] !== 0xff || b[start + 1] !== SOI) return null;
    let at = start + 2;
    while (at + 4 <= end) {
      if (b[at] !== 0xff) return null;
      const marker = b[at + 1]!;
      // A marker may be preceded by any number of fill bytes (T.81 B.1.1.2).
      if (marker === 0xff) {
        at++;
        continue;
      }
      const body = at + 4;
      at += 2 + ((b[at + 2]! << 8) | b[at + 3]!);
      if (at < body || at > end || !this.#segment(marker, body, at)) return null;
      if (marker === SOS) return this.#scan(at, end);
    }
    return null;
  }

  /** False for what RTP cannot carry. */
  #segment(marker: number, start: number, end: number): boolean {
    if (marker === SOF0) return this.#frame(start, end);
    if (marker === DQT) return this.#quantizerTables(start, end);
    if (marker === DHT) return this.#huffmanTables(start, end);
    if (marker === DRI) {
      this.#restartInterval = (this.#b[start]! << 8) | this.#b[start + 1]!;
      return end - start === 2;
    }
    if (marker === SOS) return this.#scanHeader(start, end);
    return marker === DAC || marker < SOF0 || marker > SOF_LAST;
  }

  #frame(start: number, end: number): boolean {
    const b = this.#b;
    if (end - start !== 6 + 3 * COMPONENTS || b[start] !== 8 || b[start + 5] !== COMPONENTS) {
      return false;
    }
    this.#height = (b[start + 1]! << 8) | b[start + 2]!;
    this.#width = (b[start + 3]! << 8) | b[start + 4]!;
    const luma = start + 6;
    this.#type = b[luma + 1] === SAMPLING[0] ? 0 : 1;
    this.#luma = b[luma + 2]!;
    this.#chroma = b[luma + 5]!;
    const sampled =
      b[luma + 1] === SAMPLING[this.#type] && b[luma + 4] === 0x11 && b[luma + 7] === 0x11;
    const numbered = this.#luma < 4 && this.#chroma < 4 && b[luma + 8] === this.#chroma;
    return sampled && numbered && this.#width > 0 && this.#height > 0;
  }

  #quantizerTables(start: number, end: number): boolean {
    for (let at = start; at < end; at += 1 + QUANTIZER_BYTES) {
      // Four bits each of precision and number; values of 16 bits are not baseline.
      const number = this.#b[at]!;
      if (number > 3 || at + 1 + QUANTIZER_BYTES > end) return false;
      const table = this.#b.subarray(at + 1, at + 1 + QUANTIZER_BYTES);
      this.#tables.set(table, number * QUANTIZER_BYTES);
    }
    return true;
  }

  #huffmanTables(start: number, end: number): boolean {
    let at = start;
    while (at < end) {
      const standard = HUFFMAN.find((table) => table[0] === this.#b[at]);
      if (standard === undefined || at + standard.length > end) return false;
      for (let i = 0; i < standard.length; i++) {
        if (standard[i] !== this.#b[at + i]) return false;
      }
      at += standard.length;
    }
    return at - start >= HUFFMAN_COUNTS_BYTES;
  }

  /** Luminance uses the tables numbered 0, chrominance those numbered 1. */
  #scanHeader(start: number, end: number): boolean {
    const b = this.#b;
    if (end - start !== 4 + 2 * COMPONENTS || b[start] !== COMPONENTS) return false;
    return b[start + 2] === 0 && b[start + 4] === 0x11 && b[start + 6] === 0x11;
  }

  #scan(scanStart: number, end: number): JpegPicture | null {
    if (this.#luma < 0) return null;
    let scanEnd = end - 2;
    while (scanEnd > scanStart && (this.#b[scanEnd] !== 0xff || this.#b[scanEnd + 1] !== EOI)) {
      scanEnd--;
    }
    if (scanEnd <= scanStart) return null;
    for (const [i, number] of [this.#luma, this.#chroma].entries()) {
      const start = number * QUANTIZER_BYTES;
      const table = this.#tables.subarray(start, start + QUANTIZER_BYTES);
      if (table.includes(0)) return null;
      this.#quantizers.set(table, i * QUANTIZER_BYTES);
    }
    return {
      type: this.#type,
      width: this.#width,
      height: this.#height,
      restartInterval: this.#restartInterval,
      scanStart,
      scanEnd,
    };
  }
}

/**
 * Reads the file in [start, end) of `b`; its tables go to `quantizers` (QUANTIZERS_BYTES). `null`
 * when RTP cannot carry it: cut short, progressive, grey, other sampling, other Huffman tables.
 */
export function readJpeg(
  b: Uint8Array,
  start: number,
  end: number,
  quantizers: Uint8Array,
): JpegPicture | null {
  return new JpegReader(b, quantizers).read(start, end);
}
