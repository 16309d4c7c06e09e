/** RTP fixed header, RFC 3550 section 5.1. */
import type { RtpTicks } from "../core/units.ts";

export const RTP_HEADER_BYTES = 12;

/** A parsed header; reused from packet to packet, so copy what must outlive the call. */
export interface RtpHeader {
  payloadType: number;
  marker: boolean;
  sequence: number;
  timestamp: RtpTicks;
  ssrc: number;
  /** Where the header extension starts (its profile and length), -1 without one. */
  extension: number;
  /** Where the payload starts and ends in the buffer, header extension and padding removed. */
  payloadStart: number;
  payloadEnd: number;
}

export function emptyRtpHeader(): RtpHeader {
  return {
    payloadType: 0,
    marker: false,
    sequence: 0,
    timestamp: 0,
    ssrc: 0,
    extension: -1,
    payloadStart: 0,
    payloadEnd: 0,
  };
}

/** Reads the packet in [start, end) of `b` into `into`. False when it is no RTP packet. */
export function readRtpHeader(b: Uint8Array, start: number, end: number, into: RtpHeader): boolean {
  if (end - start < RTP_HEADER_BYTES) return false;
  const first = b[start]!;
  if (first >> 6 !== 2) return false;
  let payload = start + RTP_HEADER_BYTES + (first & 0x0f) * 4;
  let extension = -1;
  if ((first & 0x10) !== 0) {
    if (payload + 4 > end) return false;
    extension = payload;
    payload += 4 + ((b[payload + 2]! << 8) | b[payload + 3]!) * 4;
  }
  let payloadEnd = end;
  if ((first & 0x20) !== 0) payloadEnd -= b[end - 1]!;
  if (payload > payloadEnd) return false;
  const second = b[start + 1]!;
  into.marker = (second & 0x80) !== 0;
  into.payloadType = second & 0x7f;
  into.sequence = (b[start + 2]! << 8) | b[start + 3]!;
  into.timestamp = readU32(b, start + 4);
  into.ssrc = readU32(b, start + 8);
  into.extension = extension;
  into.payloadStart = payload;
  into.payloadEnd = payloadEnd;
  return true;
}

/** Big-endian, unsigned. */
export function readU32(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
}

/** Big-endian, unsigned. */
export function writeU32(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 24;
  b[at + 1] = value >>> 16;
  b[at + 2] = value >>> 8;
  b[at + 3] = value;
}

/** Big-endian, unsigned. */
export function writeU16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 8;
  b[at + 1] = value;
}

/**
 * Largest RTP packet that leaves the hub: with SRTP tag, RTX, UDP and IPv6 headers around it, it
 * still fits the smallest IPv6 MTU of 1280, and so any tunnel.
 */
const PACKET_BYTES_MAX = 1200;
/** One-byte header extensions (RFC 8285): 4 of head, up to 12 of playout delay and congestion control. */
const EXTENSION_BYTES_MAX = 16;
/** Largest payload of a packet that leaves the hub. */
export const PAYLOAD_BYTES_MAX = PACKET_BYTES_MAX - RTP_HEADER_BYTES - EXTENSION_BYTES_MAX;
