/** RTCP from viewers: reception reports, NACKs, requests for pictures, estimates (RFC 3550, 4585). */

import { readU32, writeU16, writeU32 } from "../rtp/header.ts";
import {
  eachNack,
  eachRtcp,
  RTCP_BYE,
  RTCP_PSFB,
  RTCP_RR,
  RTCP_RTPFB,
  RTCP_SR,
} from "../rtp/rtcp.ts";

const RTCP_XR = 207;

const FMT_NACK = 1;
const FMT_PICTURE_LOSS = 1;
const FMT_FULL_INTRA = 4;
const FMT_APPLICATION = 15;
/** "REMB" (draft-alvestrand-rmcat-remb). */
const REMB = 0x52454d42;

const SENDER_INFO_BYTES = 20;
const REPORT_BLOCK_BYTES = 24;
const XR_RECEIVER_REFERENCE_TIME = 4;
const XR_DLRR = 5;

/** One reception report block (RFC 3550 section 6.4.1). */
export interface ReceptionReport {
  /** Which track it is about; not necessarily one of ours. */
  readonly ssrc: number;
  /** Of the packets since the last report, in [0, 1). */
  readonly lostFraction: number;
  /** Cumulative; negative when duplicates outnumber losses. */
  readonly lost: number;
  readonly jitterTicks: number;
  /** Middle 32 bits of the NTP time of the sender report it refers to; 0 before the first. */
  readonly lastReport: number;
  /** From receiving that report to sending this one, in units of 1/65536 s. */
  readonly delay: number;
}

/** What a compound packet may say. */
export interface FeedbackListener {
  received(report: ReceptionReport): void;
  /** A packet of this track is missing there. */
  missing(ssrc: number, sequence: number): void;
  /** The decoder cannot go on without a keyframe. */
  pictureLost(): void;
  /** The viewer believes the way to it carries this much. */
  estimated(bitsPerSecond: number): void;
  /** The viewer asks to measure a round trip: `middle` is to be echoed. */
  referenceTime(reporter: number, middle: number): void;
  left(): void;
}

/** Reads a compound packet, borrowed. What is unknown is skipped. */
export function readFeedback(b: Uint8Array, listener: FeedbackListener): void {
  eachRtcp(b, 0, b.length, (type, count, start, end) => {
    switch (type) {
      case RTCP_RR:
        readBlocks(b, start + 8, end, count, listener);
        return;
      case RTCP_SR:
        readBlocks(b, start + 8 + SENDER_INFO_BYTES, end, count, listener);
        return;
      case RTCP_RTPFB:
        if (count === FMT_NACK && end - start >= 12) readMissing(b, start, end, listener);
        return;
      case RTCP_PSFB:
        readPayloadFeedback(b, start, end, count, listener);
        return;
      case RTCP_XR:
        readExtended(b, start, end, listener);
        return;
      case RTCP_BYE:
        listener.left();
        return;
      default:
        return;
    }
  });
}

function readBlocks(
  b: Uint8Array,
  start: number,
  end: number,
  count: number,
  listener: FeedbackListener,
): void {
  for (let i = 0; i < count; i++) {
    const at = start + i * REPORT_BLOCK_BYTES;
    if (at + REPORT_BLOCK_BYTES > end) return;
    const lost = readU32(b, at + 4) & 0xffffff;
    listener.received({
      ssrc: readU32(b, at),
      lostFraction: b[at + 4]! / 256,
      lost: lost >= 0x800000 ? lost - 0x1000000 : lost,
      jitterTicks: readU32(b, at + 12),
      lastReport: readU32(b, at + 16),
      delay: readU32(b, at + 20),
    });
  }
}

function readMissing(b: Uint8Array, start: number, end: number, listener: FeedbackListener): void {
  const ssrc = readU32(b, start + 8);
  eachNack(b, start, end, (sequence) => listener.missing(ssrc, sequence));
}

function readPayloadFeedback(
  b: Uint8Array,
  start: number,
  end: number,
  format: number,
  listener: FeedbackListener,
): void {
  if (format === FMT_PICTURE_LOSS || format === FMT_FULL_INTRA) listener.pictureLost();
  if (format !== FMT_APPLICATION || end - start < 20 || readU32(b, start + 12) !== REMB) return;
  const exponent = b[start + 17]! >> 2;
  const mantissa = ((b[start + 17]! & 3) << 16) | (b[start + 18]! << 8) | b[start + 19]!;
  listener.estimated(mantissa * 2 ** exponent);
}

/** RFC 3611: blocks of type, reserved byte, length in words. */
function readExtended(b: Uint8Array, start: number, end: number, listener: FeedbackListener): void {
  if (end - start < 8) return;
  const reporter = readU32(b, start + 4);
  for (let at = start + 8; at + 4 <= end; ) {
    const next = at + 4 + ((b[at + 2]! << 8) | b[at + 3]!) * 4;
    if (next > end) return;
    if (b[at] === XR_RECEIVER_REFERENCE_TIME && next - at === 12) {
      listener.referenceTime(reporter, readU32(b, at + 6));
    }
    at = next;
  }
}

/** Echoes a receiver reference time at once (RFC 3611 section 4.5). */
export function writeReferenceEcho(ssrc: number, reporter: number, middle: number): Uint8Array {
  const b = new Uint8Array(24);
  b[0] = 0x80;
  b[1] = RTCP_XR;
  writeU16(b, 2, 5);
  writeU32(b, 4, ssrc);
  b[8] = XR_DLRR;
  writeU16(b, 10, 3);
  writeU32(b, 12, reporter);
  writeU32(b, 16, middle);
  return b;
}

/** The tracks are over (RFC 3550 section 6.6). At most 31. */
export function writeBye(ssrcs: readonly number[]): Uint8Array {
  const b = new Uint8Array(4 + 4 * ssrcs.length);
  b[0] = 0x80 | ssrcs.length;
  b[1] = RTCP_BYE;
  writeU16(b, 2, ssrcs.length);
  for (const [i, ssrc] of ssrcs.entries()) writeU32(b, 4 + 4 * i, ssrc);
  return b;
}
