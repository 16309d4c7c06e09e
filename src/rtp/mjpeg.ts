/**
 * JPEG over RTP, RFC 2435: types 0 and 1, with restart markers or without. The ring holds packets
 * of the same format, as full as they may be; each picture brings its own tables, so that whoever
 * joins can decode the next one.
 *
 * @module
 */
import type { PacketRing } from "../core/packet-ring.ts";
import type { RtpTicks } from "../core/units.ts";
import { PAYLOAD_BYTES_MAX, type RtpHeader, writeU16 } from "./header.ts";
import { QUANTIZER_BYTES, QUANTIZERS_BYTES, readJpeg } from "./jpeg.ts";
import { Verdict, type WholeUnit } from "./repacketizer.ts";
import { RingRepacketizer } from "./ring-repacketizer.ts";
import type { PictureSize, TrackFormat } from "./track-format.ts";

/** In front of every packet (RFC 2435 section 3.1). */
export const JPEG_HEADER_BYTES = 8;
/** Behind it for types from here on (section 3.1.7). */
export const JPEG_RESTART_TYPES = 64;
export const JPEG_RESTART_BYTES = 4;
/** Behind these, in a picture's first packet, for qualities from here on (section 3.1.8). */
export const JPEG_TABLES_QUALITY = 128;
export const JPEG_TABLES_HEAD_BYTES = 4;
/** Qualities from here to JPEG_TABLES_QUALITY mean nothing. */
const QUALITY_RESERVED = 100;
/** The tables come with every picture. */
const QUALITY_DYNAMIC = 255;
/** What the header counts the sides of a picture in, in a byte; it says 0 of larger ones. */
export const JPEG_SIDE_UNIT = 8;
const SIDE_UNITS_MAX = 255;
/** "This packet holds no whole number of restart intervals": both flags, count of all ones. */
const RESTART_ANYWHERE = 0xffff;
/** SOF0 of the file: marker, length, precision, height, width. */
const FRAME_HEADER = 0xc0;
const FRAME_HEADER_BYTES = 9;
/** 24 bits of fragment offset. */
const SCAN_BYTES_MAX = 1 << 24;

export class MjpegRepacketizer extends RingRepacketizer {
  #picture: PictureSize | null;
  #changes = 0;
  /** Of pictures too large for the header, by the session description. */
  readonly #described: PictureSize | null;
  /** Of the picture being written. */
  readonly #quantizers = new Uint8Array(QUANTIZERS_BYTES);
  /** By quality: cameras send the tables once, or now and then. At most 128 of them. */
  readonly #known = new Map<number, Uint8Array>();
  /** What all packets of the picture start with, but for the offset. */
  readonly #head = new Uint8Array(JPEG_HEADER_BYTES + JPEG_RESTART_BYTES);
  #headBytes = 0;
  /** Bytes of the scan that came so far. */
  #received = 0;
  // The packet being filled (while `out.partial`): its place in the ring, its length so far.
  #at = 0;
  #length = 0;
  #written = 0;

  constructor(ring: PacketRing, { picture }: TrackFormat) {
    super(ring);
    this.#described = picture ?? null;
    this.#picture = this.#described;
  }

  override get picture(): PictureSize | null {
    return this.#picture;
  }
  override get changes(): number {
    return this.#changes;
  }

  push(b: Uint8Array, header: RtpHeader, timestamp: RtpTicks): Verdict {
    const { out } = this;
    // Without a marker, a picture ends where the next one starts.
    if (out.partial && timestamp !== out.timestamp) this.#commit(false);
    const arrived = out.arrive(header.sequence, timestamp);
    if (arrived !== Verdict.Taken) return arrived;
    const verdict = this.#payload(b, header);
    if (verdict !== Verdict.Taken || !header.marker) return verdict;
    if (out.partial) this.#commit(true);
    out.ended = true;
    return verdict;
  }

  pushUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit): Verdict {
    const { out } = this;
    if (out.partial) this.#commit(false);
    if (unit.gapBefore) out.missed(unit.timestamp);
    out.begin(unit.timestamp);
    const file = readJpeg(b, start, end, this.#quantizers);
    if (file === null || file.scanEnd - file.scanStart > SCAN_BYTES_MAX) return out.malformed();
    const { type, width, height, restartInterval } = file;
    const sides = [Math.ceil(width / JPEG_SIDE_UNIT), Math.ceil(height / JPEG_SIDE_UNIT)] as const;
    const large = Math.max(...sides) > SIDE_UNITS_MAX;
    const [columns, rows] = large ? [0, 0] : sides;
    this.#head.set([0, 0, 0, 0, type, QUALITY_DYNAMIC, columns, rows]);
    this.#begin(restartInterval);
    this.#size(large ? { width, height } : sizeOf(columns, rows));
    this.#append(b, file.scanStart, file.scanEnd);
    this.#commit(true);
    out.ended = true;
    return Verdict.Taken;
  }

  #payload(b: Uint8Array, header: RtpHeader): Verdict {
    const { out } = this;
    const { payloadStart: start, payloadEnd: end } = header;
    if (end - start < JPEG_HEADER_BYTES) return out.malformed();
    const offset = (b[start + 1]! << 16) | (b[start + 2]! << 8) | b[start + 3]!;
    const type = b[start + 4]!;
    const quality = b[start + 5]!;
    const restarts = (type & JPEG_RESTART_TYPES) !== 0;
    let at = start + JPEG_HEADER_BYTES + (restarts ? JPEG_RESTART_BYTES : 0);
    const reserved =
      quality === 0 || (quality >= QUALITY_RESERVED && quality < JPEG_TABLES_QUALITY);
    if ((type & ~JPEG_RESTART_TYPES) > 1 || reserved || at > end) return out.malformed();
    // Every picture is a keyframe from its first packet on.
    const begun = out.keyframe === out.unitStart;
    if (offset !== (begun ? this.#received : 0)) return this.#lost();
    if (offset === 0) {
      const interval = restarts ? (b[at - 4]! << 8) | b[at - 3]! : 0;
      if (quality >= JPEG_TABLES_QUALITY) at = this.#tables(b, at, end, quality);
      if (at < 0) return out.malformed();
      this.#head.set(b.subarray(start, start + JPEG_HEADER_BYTES));
      this.#begin(interval);
      this.#size(sizeOf(b[start + 6]!, b[start + 7]!) ?? largeSize(b, header) ?? this.#described);
    }
    if (offset + end - at > SCAN_BYTES_MAX) return out.malformed();
    this.#received = offset + end - at;
    this.#append(b, at, end);
    return Verdict.Taken;
  }

  #lost(): Verdict {
    this.out.damage();
    return Verdict.Lost;
  }

  /** Reads the tables that stand at `at`. Where the scan starts; -1 when there are none. */
  #tables(b: Uint8Array, at: number, end: number, quality: number): number {
    const start = at + JPEG_TABLES_HEAD_BYTES;
    if (start > end) return -1;
    const length = (b[at + 2]! << 8) | b[at + 3]!;
    if (length === 0) {
      const known = this.#known.get(quality);
      if (known === undefined) return -1;
      this.#quantizers.set(known);
      return start;
    }
    // One bit per table says that its values have 16 bits, which baseline pictures do not have.
    if (b[at + 1] !== 0 || length < QUANTIZER_BYTES || start + length > end) return -1;
    this.#quantizers.set(b.subarray(start, start + QUANTIZER_BYTES));
    const chroma = length >= QUANTIZERS_BYTES ? start + QUANTIZER_BYTES : start;
    this.#quantizers.set(b.subarray(chroma, chroma + QUANTIZER_BYTES), QUANTIZER_BYTES);
    this.#known.set(quality, this.#quantizers.slice());
    return start + length;
  }

  /** A picture begins whose header is in `#head`. */
  #begin(restartInterval: number): void {
    this.#received = 0;
    this.#written = 0;
    this.#headBytes = JPEG_HEADER_BYTES;
    this.#head[4]! &= ~JPEG_RESTART_TYPES;
    if (restartInterval > 0) {
      this.#head[4]! |= JPEG_RESTART_TYPES;
      writeU16(this.#head, JPEG_HEADER_BYTES, restartInterval);
      writeU16(this.#head, JPEG_HEADER_BYTES + 2, RESTART_ANYWHERE);
      this.#headBytes += JPEG_RESTART_BYTES;
    }
    this.out.enterKeyframe();
  }

  #size(picture: PictureSize | null): void {
    if (picture === null) return;
    const { width, height } = picture;
    if (this.#picture?.width === width && this.#picture.height === height) return;
    this.#picture = { width, height };
    this.#changes++;
  }

  /** Adds [start, end) of `b`, a part of the scan. */
  #append(b: Uint8Array, start: number, end: number): void {
    const { out } = this;
    for (let at = start; at < end; ) {
      // A full packet waits for more, as the last one of the picture is marked.
      if (out.partial && this.#length === PAYLOAD_BYTES_MAX) this.#commit(false);
      if (!out.partial) this.#open();
      const take = Math.min(end - at, PAYLOAD_BYTES_MAX - this.#length);
      out.ring.bytes.set(b.subarray(at, at + take), this.#at + this.#length);
      this.#length += take;
      this.#written += take;
      at += take;
    }
  }

  #open(): void {
    const { out } = this;
    out.partial = true;
    this.#at = out.ring.reserve(PAYLOAD_BYTES_MAX);
    const { bytes } = out.ring;
    bytes.set(this.#head.subarray(0, this.#headBytes), this.#at);
    bytes[this.#at + 1] = this.#written >> 16;
    writeU16(bytes, this.#at + 2, this.#written & 0xffff);
    this.#length = this.#headBytes;
    if (this.#written > 0 || this.#head[5]! < JPEG_TABLES_QUALITY) return;
    writeU16(bytes, this.#at + this.#length, 0);
    writeU16(bytes, this.#at + this.#length + 2, QUANTIZERS_BYTES);
    bytes.set(this.#quantizers, this.#at + this.#length + JPEG_TABLES_HEAD_BYTES);
    this.#length += JPEG_TABLES_HEAD_BYTES + QUANTIZERS_BYTES;
  }

  #commit(marker: boolean): void {
    this.out.partial = false;
    this.out.commit(this.#length, marker);
  }
}

/** `null` when the header does not say it: of pictures that are too large for it. */
function sizeOf(columns: number, rows: number): PictureSize | null {
  if (columns === 0 || rows === 0) return null;
  return { width: columns * JPEG_SIDE_UNIT, height: rows * JPEG_SIDE_UNIT };
}

/**
 * Cameras of ONVIF say the size of large pictures in a header extension that repeats segments of
 * the JPEG file (ONVIF Streaming Specification, "JPEG over RTP"). `null` without one.
 */
function largeSize(b: Uint8Array, { extension, payloadStart }: RtpHeader): PictureSize | null {
  if (extension < 0) return null;
  for (let at = b.indexOf(0xff, extension + 4); at >= 0; at = b.indexOf(0xff, at + 1)) {
    if (at + FRAME_HEADER_BYTES > payloadStart) return null;
    if (b[at + 1] !== FRAME_HEADER) continue;
    const height = (b[at + 5]! << 8) | b[at + 6]!;
    const width = (b[at + 7]! << 8) | b[at + 8]!;
    return width > 0 && height > 0 ? { width, height } : null;
  }
  return null;
}
