/**
 * AAC over RTP, RFC 3640: reads the headers that the camera's description announces, and writes
 * packets of one frame or of a part of one, in mode AAC-hbr.
 *
 * @module
 */
import type { PacketRing } from "../core/packet-ring.ts";
import type { RtpTicks } from "../core/units.ts";
import { type AudioConfig, readAudioConfig } from "./aac-config.ts";
import { PAYLOAD_BYTES_MAX, type RtpHeader, writeU16 } from "./header.ts";
import { Verdict, type WholeUnit } from "./repacketizer.ts";
import { RingRepacketizer } from "./ring-repacketizer.ts";
import type { AuHeaderFormat, TrackFormat } from "./track-format.ts";

/** Mode AAC-hbr (RFC 3640 section 3.3.6): what the ring holds, and what cameras send as a rule. */
export const AAC_HBR: AuHeaderFormat = { sizeBits: 13, indexBits: 3, indexDeltaBits: 3 };
/** In front of each packet in the ring: the length of the AU headers in bits, and one of them. */
export const AAC_HEAD_BYTES = 4;
const HBR_HEADER_BITS = 16;
const INDEX_BITS = 3;
/** What 13 bits can say; a frame of eight channels has at most 6,144 bytes. */
const FRAME_BYTES_MAX = (1 << 13) - 1;
const FRAME_SAMPLES = 1024;

export class AacRepacketizer extends RingRepacketizer {
  readonly #header: AuHeaderFormat;
  readonly #clockHz: number;
  #sets: readonly Uint8Array[] = [];
  #changes = 0;
  #frameTicks = FRAME_SAMPLES;
  // The frame that comes in several packets: its size, and how much of it was written.
  #frameBytes = 0;
  #written = 0;

  constructor(ring: PacketRing, { auHeader, clockHz }: TrackFormat) {
    super(ring);
    this.#header = auHeader ?? AAC_HBR;
    this.#clockHz = clockHz;
  }

  override get changes(): number {
    return this.#changes;
  }
  override get parameterSets(): readonly Uint8Array[] {
    return this.#sets;
  }

  override offerParameterSets([config]: readonly Uint8Array[]): void {
    const info = config && readAudioConfig(config);
    if (!info) return;
    this.#sets = [config.slice()];
    this.#frameTicks = ticksOf(info, this.#clockHz);
    this.#changes++;
  }

  push(b: Uint8Array, header: RtpHeader, timestamp: RtpTicks): Verdict {
    const { out } = this;
    const arrived = out.arrive(header.sequence, timestamp);
    if (arrived !== Verdict.Taken) return arrived;
    return this.#payload(b, header.payloadStart, header.payloadEnd, timestamp);
  }

  pushUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit): Verdict {
    if (unit.gapBefore) this.out.missed(unit.timestamp);
    return this.#frame(b, start, end, unit.timestamp) ? Verdict.Taken : Verdict.Malformed;
  }

  #payload(b: Uint8Array, start: number, end: number, timestamp: RtpTicks): Verdict {
    const { sizeBits, indexBits, indexDeltaBits } = this.#header;
    if (end - start < 2) return this.out.malformed();
    const lastBit = (start + 2) * 8 + ((b[start]! << 8) | b[start + 1]!);
    let bit = (start + 2) * 8;
    let at = (lastBit + 7) >> 3;
    for (let frame = 0; bit + sizeBits <= lastBit && at < end; frame++) {
      const size = readBits(b, bit, sizeBits);
      const width = frame === 0 ? indexBits : indexDeltaBits;
      const index = readBits(b, bit + sizeBits, Math.min(width, lastBit - bit - sizeBits));
      bit += sizeBits + width;
      // Frames out of order (interleaved) would need a number here.
      if (size === 0 || size > FRAME_BYTES_MAX || index !== 0) return this.out.malformed();
      if (frame === 0 && (this.out.partial || size > end - at)) {
        return this.#fragment(b, at, end, size);
      }
      if (size > end - at) return this.out.malformed();
      this.#frame(b, at, at + size, (timestamp + frame * this.#frameTicks) >>> 0);
      at += size;
    }
    return this.out.ended ? Verdict.Taken : this.out.malformed();
  }

  /** One frame in several packets, each with the size of the whole (RFC 3640 section 3.2.1.1). */
  #fragment(b: Uint8Array, start: number, end: number, size: number): Verdict {
    const { out } = this;
    if (!out.partial) {
      out.partial = true;
      out.enterKeyframe();
      this.#frameBytes = size;
      this.#written = 0;
    }
    const rest = this.#frameBytes - this.#written - (end - start);
    if (size !== this.#frameBytes || rest < 0) return out.malformed();
    this.#write(b, start, end, size, rest === 0);
    this.#written += end - start;
    out.partial = rest > 0;
    out.ended = rest === 0;
    return Verdict.Taken;
  }

  /** A whole frame. False when it is none. */
  #frame(b: Uint8Array, start: number, end: number, timestamp: RtpTicks): boolean {
    const { out } = this;
    const first = start + adtsBytes(b, start, end);
    out.begin(timestamp);
    out.ended = true;
    if (first >= end || end - first > FRAME_BYTES_MAX) {
      out.malformed();
      return false;
    }
    out.enterKeyframe();
    this.#write(b, first, end, end - first, true);
    return true;
  }

  /** Writes [start, end) of `b`, a part of a frame of `size` bytes or all of it. */
  #write(b: Uint8Array, start: number, end: number, size: number, last: boolean): void {
    const { ring } = this.out;
    for (let at = start; at < end; ) {
      const take = Math.min(end - at, PAYLOAD_BYTES_MAX - AAC_HEAD_BYTES);
      const packet = ring.reserve(AAC_HEAD_BYTES + take);
      writeU16(ring.bytes, packet, HBR_HEADER_BITS);
      writeU16(ring.bytes, packet + 2, size << INDEX_BITS);
      ring.bytes.set(b.subarray(at, at + take), packet + AAC_HEAD_BYTES);
      at += take;
      this.out.commit(AAC_HEAD_BYTES + take, last && at === end);
    }
  }
}

function ticksOf({ frameSamples, sampleRate }: AudioConfig, clockHz: number): number {
  return Math.round((frameSamples * clockHz) / sampleRate);
}

/** `count` bits, at most 32, as an unsigned number. Beyond the end are zeros. */
function readBits(b: Uint8Array, bit: number, count: number): number {
  let value = 0;
  for (let i = bit; i < bit + count; i++) {
    value = value * 2 + (((b[i >> 3] ?? 0) >> (7 - (i & 7))) & 1);
  }
  return value;
}

/** Bytes of the ADTS header, which some cameras leave in front of frames; RFC 3640 has none. */
function adtsBytes(b: Uint8Array, start: number, end: number): number {
  if (end - start < 7 || b[start] !== 0xff || (b[start + 1]! & 0xf6) !== 0xf0) return 0;
  const length = ((b[start + 3]! & 3) << 11) | (b[start + 4]! << 3) | (b[start + 5]! >> 5);
  if (length !== end - start) return 0;
  return (b[start + 1]! & 1) === 1 ? 7 : 9;
}
