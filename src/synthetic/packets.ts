/**
 * A clip as RTP packets (RFC 6184, packetization-mode 1), laid out once so that sending an access
 * unit is one write over TCP. Cameras share them: each stamps a unit with its own sequence numbers,
 * timestamp and SSRC right before it sends it.
 *
 * @module
 */
import type { RtpTicks } from "../core/units.ts";
import { nalUnits } from "../rtp/annex-b.ts";
import { NAL_FU_A } from "../rtp/h264.ts";
import { RTP_HEADER_BYTES, writeU16, writeU32 } from "../rtp/header.ts";
import { INTERLEAVED_HEADER_BYTES, writeInterleavedHeader } from "../rtsp/interleaved.ts";

/** The dynamic payload type (RFC 3551 section 6) that most cameras use. */
export const PAYLOAD_TYPE = 96;
/** RTP packets as cameras send them: with headers around, they fit an Ethernet frame. */
const PACKET_BYTES_MAX = 1_400;
const PAYLOAD_BYTES_MAX = PACKET_BYTES_MAX - RTP_HEADER_BYTES;
const RTP_VERSION = 0x80;
const RTP_MARKER = 0x80;
const FU_HEADER_BYTES = 2;
const FU_START = 0x80;
const FU_END = 0x40;

/** One packet's payload, cut out of a NAL unit. */
interface Fragment {
  readonly head: readonly number[];
  readonly body: Uint8Array;
}

/** One access unit. Stamped and sent in one turn of the event loop: the next camera stamps it anew. */
export class UnitPackets {
  readonly keyframe: boolean;
  /** All packets with their interleaved heads (RFC 2326 section 10.12), one behind another. */
  readonly interleaved: Uint8Array;
  /** The same packets without the heads: views of `interleaved`. */
  readonly packets: readonly Uint8Array[];
  /** Of all packets, RTP headers not counted: what sender reports call octets. */
  readonly payloadBytes: number;
  /** Of all packets, RTP headers counted. */
  readonly packetBytes: number;
  #channel = 0;

  /** @param unit an access unit in Annex B form */
  constructor(unit: { readonly bytes: Uint8Array; readonly keyframe: boolean }) {
    const fragments = nalUnits(unit.bytes).flatMap(fragmentsOf);
    const lengths = fragments.map(({ head, body }) => head.length + body.length);
    this.keyframe = unit.keyframe;
    this.payloadBytes = lengths.reduce((sum, length) => sum + length, 0);
    this.packetBytes = this.payloadBytes + fragments.length * RTP_HEADER_BYTES;
    const heads = fragments.length * INTERLEAVED_HEADER_BYTES;
    this.interleaved = new Uint8Array(this.packetBytes + heads);
    let at = 0;
    this.packets = fragments.map((fragment, i) => {
      const length = RTP_HEADER_BYTES + (lengths[i] ?? 0);
      const start = writeInterleavedHeader(this.interleaved, at, 0, length);
      at = start + length;
      const packet = this.interleaved.subarray(start, at);
      writePacket(packet, fragment, i === fragments.length - 1);
      return packet;
    });
  }

  /** Writes what differs from camera to camera and from loop to loop into every packet. */
  stamp(sequence: number, timestamp: RtpTicks, ssrc: number): void {
    for (let i = 0; i < this.packets.length; i++) {
      const packet = this.packets[i];
      if (packet === undefined) return;
      writeU16(packet, 2, (sequence + i) & 0xffff);
      writeU32(packet, 4, timestamp);
      writeU32(packet, 8, ssrc);
    }
  }

  /** Writes the interleaved channel in front of every packet. */
  setChannel(channel: number): void {
    if (channel === this.#channel) return;
    this.#channel = channel;
    let at = 0;
    for (const packet of this.packets) {
      this.interleaved[at + 1] = channel;
      at += INTERLEAVED_HEADER_BYTES + packet.length;
    }
  }
}

function writePacket(packet: Uint8Array, { head, body }: Fragment, last: boolean): void {
  packet[0] = RTP_VERSION;
  packet[1] = PAYLOAD_TYPE | (last ? RTP_MARKER : 0);
  packet.set(head, RTP_HEADER_BYTES);
  packet.set(body, RTP_HEADER_BYTES + head.length);
}

/** A NAL unit as one payload, or as several when it is too long (RFC 6184 section 5.8). */
function fragmentsOf(nal: Uint8Array): Fragment[] {
  if (nal.length <= PAYLOAD_BYTES_MAX) return [{ head: [], body: nal }];
  const header = nal[0]!;
  const indicator = (header & 0xe0) | NAL_FU_A;
  const step = PAYLOAD_BYTES_MAX - FU_HEADER_BYTES;
  const fragments: Fragment[] = [];
  for (let at = 1; at < nal.length; at += step) {
    const flags = (at === 1 ? FU_START : 0) | (at + step >= nal.length ? FU_END : 0);
    const body = nal.subarray(at, at + step);
    fragments.push({ head: [indicator, (header & 0x1f) | flags], body });
  }
  return fragments;
}
