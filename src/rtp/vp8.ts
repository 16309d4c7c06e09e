/** VP8 over RTP, RFC 7741. The ring holds the descriptor of one byte, without its extensions. */
import type { PacketRing } from "../core/packet-ring.ts";
import type { RtpTicks } from "../core/units.ts";
import { PAYLOAD_BYTES_MAX, type RtpHeader } from "./header.ts";
import { Verdict, type WholeUnit } from "./repacketizer.ts";
import { RingRepacketizer } from "./ring-repacketizer.ts";
import type { PictureSize, TrackFormat } from "./track-format.ts";

/** Of the payload descriptor (RFC 7741 section 4.2). */
const EXTENDED = 0x80;
const PARTITION_START = 0x10;
const PARTITION_ID = 0x07;
const HAS_PICTURE_ID = 0x80;
const HAS_LEVEL = 0x40;
const HAS_LAYER_OR_KEY = 0x30;
/** What the ring's packets start with. */
export const VP8_DESCRIPTOR_BYTES = 1;

/** Of a keyframe: tag, start code and size (RFC 6386 section 9.1). */
const KEYFRAME_HEADER_BYTES = 10;

export class Vp8Repacketizer extends RingRepacketizer {
  #picture: PictureSize | null;
  #changes = 0;
  /** The unit whose first packet was taken. */
  #begun = -1;

  constructor(ring: PacketRing, { picture }: TrackFormat) {
    super(ring);
    this.#picture = picture ?? null;
  }

  override get picture(): PictureSize | null {
    return this.#picture;
  }
  override get changes(): number {
    return this.#changes;
  }

  push(b: Uint8Array, header: RtpHeader, timestamp: RtpTicks): Verdict {
    const { out } = this;
    const arrived = out.arrive(header.sequence, timestamp);
    if (arrived !== Verdict.Taken) return arrived;
    const { payloadStart: start, payloadEnd: end } = header;
    const data = start + descriptorBytes(b, start, end);
    if (data >= end) return out.malformed();
    if (this.#begun !== out.unitStart) {
      const isFirst = (b[start]! & (PARTITION_START | PARTITION_ID)) === PARTITION_START;
      if (!isFirst) {
        out.damage();
        return Verdict.Lost;
      }
      this.#begin(b, data, end);
    }
    this.#write(b, data, end, header.marker);
    if (header.marker) out.ended = true;
    return Verdict.Taken;
  }

  pushUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit): Verdict {
    const { out } = this;
    if (unit.gapBefore) out.missed(unit.timestamp);
    out.begin(unit.timestamp);
    if (start === end) return out.malformed();
    this.#begin(b, start, end);
    this.#write(b, start, end, true);
    out.ended = true;
    return Verdict.Taken;
  }

  #begin(b: Uint8Array, start: number, end: number): void {
    this.#begun = this.out.unitStart;
    // The first bit of the frame tag says that the frame refers to others.
    if ((b[start]! & 1) === 1) return;
    this.out.enterKeyframe();
    const picture = readVp8Size(b, start, end);
    if (picture === null) return;
    const { width, height } = picture;
    if (this.#picture?.width === width && this.#picture.height === height) return;
    this.#picture = picture;
    this.#changes++;
  }

  /** Writes [start, end) of `b`, which starts with a frame if nothing of it was written yet. */
  #write(b: Uint8Array, start: number, end: number, marker: boolean): void {
    const { ring, unitStart } = this.out;
    for (let at = start; at < end; ) {
      const take = Math.min(end - at, PAYLOAD_BYTES_MAX - VP8_DESCRIPTOR_BYTES);
      const packet = ring.reserve(VP8_DESCRIPTOR_BYTES + take);
      ring.bytes[packet] = ring.head === unitStart ? PARTITION_START : 0;
      ring.bytes.set(b.subarray(at, at + take), packet + VP8_DESCRIPTOR_BYTES);
      at += take;
      this.out.commit(VP8_DESCRIPTOR_BYTES + take, marker && at === end);
    }
  }
}

/** Bytes of the payload descriptor with its extensions; may exceed what there is. */
function descriptorBytes(b: Uint8Array, start: number, end: number): number {
  if (start >= end || (b[start]! & EXTENDED) === 0) return 1;
  const extensions = b[start + 1] ?? 0;
  let bytes = 2;
  if ((extensions & HAS_PICTURE_ID) !== 0) bytes += ((b[start + bytes] ?? 0) & 0x80) !== 0 ? 2 : 1;
  if ((extensions & HAS_LEVEL) !== 0) bytes++;
  if ((extensions & HAS_LAYER_OR_KEY) !== 0) bytes++;
  return bytes;
}

/** Size of the keyframe in [start, end) of `b`; `null` when it is cut off, or none. */
function readVp8Size(b: Uint8Array, start: number, end: number): PictureSize | null {
  if (end - start < KEYFRAME_HEADER_BYTES) return null;
  if (b[start + 3] !== 0x9d || b[start + 4] !== 0x01 || b[start + 5] !== 0x2a) return null;
  const width = ((b[start + 7]! << 8) | b[start + 6]!) & 0x3fff;
  const height = ((b[start + 9]! << 8) | b[start + 8]!) & 0x3fff;
  return width > 0 && height > 0 ? { width, height } : null;
}
