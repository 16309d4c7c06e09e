/** A JFIF file from packets of RFC 2435, as MjpegRepacketizer writes them. */
import { JPEG_HEAD_BYTES_MAX, QUANTIZERS_BYTES, writeJpegHead, writeQuantizers } from "./jpeg.ts";
import {
  JPEG_HEADER_BYTES,
  JPEG_RESTART_BYTES,
  JPEG_RESTART_TYPES,
  JPEG_SIDE_UNIT,
  JPEG_TABLES_HEAD_BYTES,
  JPEG_TABLES_QUALITY,
} from "./mjpeg.ts";
import type { Scratch } from "./scratch.ts";
import type { PictureSize } from "./track-format.ts";

const END_MARKER = Uint8Array.of(0xff, 0xd9);
/** Filled and used within one call. */
const quantizers = new Uint8Array(QUANTIZERS_BYTES);

/** Adds the packet in [start, end) of `b`; the first of a picture with the file's head. */
export function addJpegPacket(
  out: Scratch,
  b: Uint8Array,
  start: number,
  end: number,
  picture: PictureSize | null,
): boolean {
  const restarts = b[start + 4]! >= JPEG_RESTART_TYPES;
  const scan = start + JPEG_HEADER_BYTES + (restarts ? JPEG_RESTART_BYTES : 0);
  if (out.length > 0) return out.add(b, scan, end);
  const offset = (b[start + 1]! << 16) | (b[start + 2]! << 8) | b[start + 3]!;
  const size = sizeOf(b, start) ?? picture;
  if (offset !== 0 || size === null || !out.reserve(JPEG_HEAD_BYTES_MAX)) return false;
  const data = readQuantizers(b, scan, b[start + 5]!);
  out.length = writeJpegHead(out.bytes, 0, {
    type: b[start + 4]! & ~JPEG_RESTART_TYPES,
    ...size,
    restartInterval: restarts ? (b[scan - 4]! << 8) | b[scan - 3]! : 0,
    quantizers,
  });
  return out.add(b, data, end);
}

/** Adds the end marker, unless the camera's data brought it. */
export function endJpeg(out: Scratch): boolean {
  const { bytes, length } = out;
  if (length < 2) return false;
  if (bytes[length - 2] === END_MARKER[0] && bytes[length - 1] === END_MARKER[1]) return true;
  return out.add(END_MARKER, 0, END_MARKER.length);
}

function sizeOf(b: Uint8Array, start: number): PictureSize | null {
  const width = b[start + 6]! * JPEG_SIDE_UNIT;
  const height = b[start + 7]! * JPEG_SIDE_UNIT;
  return width > 0 && height > 0 ? { width, height } : null;
}

/** Fills `quantizers` by the tables at `at`, or by the quality alone. Where the scan starts. */
function readQuantizers(b: Uint8Array, at: number, quality: number): number {
  if (quality < JPEG_TABLES_QUALITY) {
    writeQuantizers(quality, quantizers);
    return at;
  }
  const tables = at + JPEG_TABLES_HEAD_BYTES;
  quantizers.set(b.subarray(tables, tables + QUANTIZERS_BYTES));
  return tables + QUANTIZERS_BYTES;
}
