/** RTCP, RFC 3550 section 6 and RFC 4585: what the hub reads and writes, compound packets included. */
import type { RtpTicks, UnixMs } from "../core/units.ts";
import { readU32, writeU16, writeU32 } from "./header.ts";

export const RTCP_SR = 200;
export const RTCP_RR = 201;
export const RTCP_SDES = 202;
export const RTCP_BYE = 203;
export const RTCP_RTPFB = 205;
export const RTCP_PSFB = 206;

/** Seconds from 1900 (NTP) to 1970 (Unix). */
const NTP_UNIX_SECONDS = 2_208_988_800;
/** The seconds have 32 bits: without the highest they count on from 2036 (RFC 4330 section 3). */
const NTP_ERA_SECONDS = 2 ** 32;
const NTP_SECONDS_MIN = 2 ** 31;

export interface SenderReport {
  readonly ssrc: number;
  readonly wallClock: UnixMs;
  readonly timestamp: RtpTicks;
  readonly packets: number;
  readonly bytes: number;
}

/** Calls `each` with the bounds of every well-formed packet of a compound; stops at nonsense. */
export function eachRtcp(
  b: Uint8Array,
  start: number,
  end: number,
  each: (type: number, count: number, start: number, end: number) => void,
): void {
  let at = start;
  while (at + 4 <= end) {
    if (b[at]! >> 6 !== 2) return;
    const next = at + (((b[at + 2]! << 8) | b[at + 3]!) + 1) * 4;
    if (next > end) return;
    each(b[at + 1]!, b[at]! & 0x1f, at, next);
    at = next;
  }
}

/**
 * Reads the sender report in [start, end). `null` when it is too short, or from a sender that has
 * no clock and says so by the time zero (RFC 3550 section 6.4.1).
 */
export function readSenderReport(b: Uint8Array, start: number, end: number): SenderReport | null {
  if (end - start < 28) return null;
  const seconds = readU32(b, start + 8);
  const fraction = readU32(b, start + 12);
  if (seconds === 0 && fraction === 0) return null;
  const era = seconds < NTP_SECONDS_MIN ? NTP_ERA_SECONDS : 0;
  return {
    ssrc: readU32(b, start + 4),
    wallClock: (seconds + era - NTP_UNIX_SECONDS + fraction / 2 ** 32) * 1000,
    timestamp: readU32(b, start + 16),
    packets: readU32(b, start + 20),
    bytes: readU32(b, start + 24),
  };
}

/** Writes sender report and CNAME (RFC 3550 section 6.5.1) as one compound packet. */
export function writeSenderReport(report: SenderReport, cname: string): Uint8Array {
  const name = new TextEncoder().encode(cname);
  // SSRC, then the CNAME item (type, length, text) and at least one terminating zero.
  const chunkBytes = (4 + 2 + name.length + 1 + 3) & ~3;
  const b = new Uint8Array(28 + 4 + chunkBytes);
  const ntpSeconds = Math.floor(report.wallClock / 1000);
  b[0] = 0x80;
  b[1] = RTCP_SR;
  writeU16(b, 2, 6);
  writeU32(b, 4, report.ssrc);
  writeU32(b, 8, ntpSeconds + NTP_UNIX_SECONDS);
  writeU32(b, 12, Math.floor((report.wallClock / 1000 - ntpSeconds) * 2 ** 32));
  writeU32(b, 16, report.timestamp);
  writeU32(b, 20, report.packets);
  writeU32(b, 24, report.bytes);
  b[28] = 0x81;
  b[29] = RTCP_SDES;
  writeU16(b, 30, chunkBytes / 4);
  writeU32(b, 32, report.ssrc);
  b[36] = 1;
  b[37] = name.length;
  b.set(name, 38);
  return b;
}

/** Writes the end of a stream (RFC 3550 section 6.6), behind the report that a compound begins with. */
export function writeGoodbye(ssrc: number): Uint8Array {
  const b = new Uint8Array(16);
  b.set([0x80, RTCP_RR, 0, 1, 0, 0, 0, 0, 0x81, RTCP_BYE, 0, 1]);
  writeU32(b, 4, ssrc);
  writeU32(b, 12, ssrc);
  return b;
}

/** What the hub tells a camera about its stream; servers take it as a sign of life. */
export interface ReceiverReport {
  readonly ssrc: number;
  readonly source: number;
  readonly highestSequence: number;
  readonly lost: number;
}

/** Writes a receiver report with one block (RFC 3550 section 6.4.2). */
export function writeReceiverReport(report: ReceiverReport): Uint8Array {
  const b = new Uint8Array(32);
  b[0] = 0x81;
  b[1] = RTCP_RR;
  writeU16(b, 2, 7);
  writeU32(b, 4, report.ssrc);
  writeU32(b, 8, report.source);
  writeU32(b, 12, Math.min(report.lost, 0x7fffff));
  writeU32(b, 16, report.highestSequence);
  return b;
}

/** Writes a receiver report of nothing heard yet: a sign of life. */
export function writeEmptyReceiverReport(ssrc: number): Uint8Array {
  const b = new Uint8Array(8);
  b[0] = 0x80;
  b[1] = RTCP_RR;
  writeU16(b, 2, 1);
  writeU32(b, 4, ssrc);
  return b;
}

/** Calls `each` with every sequence number that a generic NACK names (RFC 4585 section 6.2.1). */
export function eachNack(
  b: Uint8Array,
  start: number,
  end: number,
  each: (sequence: number) => void,
): void {
  for (let at = start + 12; at + 4 <= end; at += 4) {
    const first = (b[at]! << 8) | b[at + 1]!;
    const following = (b[at + 2]! << 8) | b[at + 3]!;
    each(first);
    for (let bit = 0; bit < 16; bit++) {
      if (((following >> bit) & 1) === 1) each((first + bit + 1) & 0xffff);
    }
  }
}
