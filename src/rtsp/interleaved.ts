/** Interleaved binary data on an RTSP connection (RFC 2326 section 10.12): `$`, channel, length, packet. */
import { assert } from "../core/fault.ts";

/** What the head of an interleaved packet starts with, and no RTSP message does. */
export const INTERLEAVED_MAGIC = 0x24;
/** `$`, channel, 16-bit length. */
export const INTERLEAVED_HEADER_BYTES = 4;
/** The length field has 16 bits: nothing larger can be framed. */
export const INTERLEAVED_PACKET_BYTES_MAX = 0xffff;

/**
 * Takes one interleaved packet: the bytes [start, end) of `buffer`, head removed. Borrowed until it
 * returns: copy what must outlive the call.
 */
export type PacketSink = (channel: number, buffer: Uint8Array, start: number, end: number) => void;

/**
 * Writes the head of an interleaved packet of `length` bytes at `at` and returns where the packet
 * itself goes. The caller owns `into` and sends head and packet in one write.
 */
export function writeInterleavedHeader(
  into: Uint8Array,
  at: number,
  channel: number,
  length: number,
): number {
  assert(length <= INTERLEAVED_PACKET_BYTES_MAX, "an interleaved packet fits its length field");
  into[at] = INTERLEAVED_MAGIC;
  into[at + 1] = channel;
  into[at + 2] = length >>> 8;
  into[at + 3] = length;
  return at + INTERLEAVED_HEADER_BYTES;
}
