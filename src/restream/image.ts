/**
 * Packets of a ring as they go out on RTSP connections (RFC 2326 section 10.12). Written once for
 * all readers of a track; only channel, sequence number and SSRC are set anew for each of them.
 *
 * @module
 */
import { FLAG_HOLE, FLAG_MARKER, type PacketRing } from "../core/packet-ring.ts";
import { PAYLOAD_BYTES_MAX, RTP_HEADER_BYTES, writeU16, writeU32 } from "../rtp/header.ts";
import { INTERLEAVED_HEADER_BYTES, writeInterleavedHeader } from "../rtsp/interleaved.ts";
import type { Numbers } from "./sender.ts";

/** What one read of a camera's connection brings, and more. */
const IMAGE_BYTES = 256 << 10;
const HEAD_BYTES = INTERLEAVED_HEADER_BYTES + RTP_HEADER_BYTES;
/** Few packets are so small that more of them than this fit. */
const PACKETS_MAX = 1_024;

/** One for all readers of a process: each use is over before the next begins. */
export class InterleavedImage {
  readonly #bytes = new Uint8Array(IMAGE_BYTES);
  readonly #offsets = new Uint32Array(PACKETS_MAX);
  /** Ids of the packets, counted from `#from`. */
  readonly #ids = new Uint32Array(PACKETS_MAX);
  #count = 0;
  #length = 0;
  #ring: PacketRing | null = null;
  #from = 0;
  #to = 0;
  #payloadType = -1;

  /**
   * Has packets of the ring from `from` on, at most up to `to`, in the image. Returns the first one
   * that did not fit.
   */
  write(ring: PacketRing, payloadType: number, from: number, to: number): number {
    const there = this.#ring === ring && this.#from === from && this.#payloadType === payloadType;
    if (there && this.#to <= to && this.#to > from) {
      if (this.#to === to || this.#isFull) return this.#to;
    }
    this.#ring = ring;
    this.#from = from;
    this.#payloadType = payloadType;
    this.#count = 0;
    this.#length = 0;
    let id = from;
    for (; id < to && !this.#isFull; id++) {
      if ((ring.flags(id) & FLAG_HOLE) === 0) this.#add(ring, id);
    }
    this.#to = id;
    return id;
  }

  /** The image under the reader's numbers; borrowed until the next call. */
  numbered(channel: number, { base, ssrc }: Numbers): Uint8Array {
    const b = this.#bytes;
    const first = base + this.#from;
    for (let i = 0; i < this.#count; i++) {
      const at = this.#offsets[i]!;
      b[at + 1] = channel;
      writeU16(b, at + INTERLEAVED_HEADER_BYTES + 2, (first + this.#ids[i]!) & 0xffff);
      writeU32(b, at + INTERLEAVED_HEADER_BYTES + 8, ssrc);
    }
    return b.subarray(0, this.#length);
  }

  get #isFull(): boolean {
    const room = IMAGE_BYTES - this.#length;
    return this.#count === PACKETS_MAX || room < HEAD_BYTES + PAYLOAD_BYTES_MAX;
  }

  #add(ring: PacketRing, id: number): void {
    const b = this.#bytes;
    const start = ring.start(id);
    const length = ring.length(id);
    const marker = (ring.flags(id) & FLAG_MARKER) !== 0 ? 0x80 : 0;
    this.#offsets[this.#count] = this.#length;
    this.#ids[this.#count++] = id - this.#from;
    const at = writeInterleavedHeader(b, this.#length, 0, RTP_HEADER_BYTES + length);
    b[at] = 0x80;
    b[at + 1] = marker | this.#payloadType;
    writeU32(b, at + 4, ring.timestamp(id));
    b.set(ring.bytes.subarray(start, start + length), at + RTP_HEADER_BYTES);
    this.#length = at + RTP_HEADER_BYTES + length;
  }
}
