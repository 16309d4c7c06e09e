/**
 * Audio whose RTP payload is the codec's bytes and nothing else: PCMU, PCMA and G.722 (RFC 3551),
 * Opus (RFC 7587).
 *
 * @module
 */
import type { PacketRing } from "../core/packet-ring.ts";
import type { RtpTicks } from "../core/units.ts";
import { PAYLOAD_BYTES_MAX, type RtpHeader } from "./header.ts";
import { Verdict, type WholeUnit } from "./repacketizer.ts";
import { RingRepacketizer } from "./ring-repacketizer.ts";

/** Every packet is a unit, and decodes alone. */
export class PlainAudioRepacketizer extends RingRepacketizer {
  /** Bytes of one tick of the RTP clock; 0 when frames cannot be cut. */
  readonly #tickBytes: number;
  readonly #unitBytesMax: number;

  /** @param tickBytes bytes of one tick of the RTP clock; 0 when frames cannot be cut (Opus) */
  constructor(ring: PacketRing, tickBytes: number) {
    super(ring);
    this.#tickBytes = tickBytes;
    this.#unitBytesMax = PAYLOAD_BYTES_MAX - (tickBytes > 0 ? PAYLOAD_BYTES_MAX % tickBytes : 0);
  }

  push(b: Uint8Array, header: RtpHeader, timestamp: RtpTicks): Verdict {
    const arrived = this.out.arrive(header.sequence, timestamp);
    if (arrived === Verdict.Late) return arrived;
    return this.#units(b, header.payloadStart, header.payloadEnd, timestamp);
  }

  pushUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit): Verdict {
    if (unit.gapBefore) this.out.missed(unit.timestamp);
    return this.#units(b, start, end, unit.timestamp);
  }

  #units(b: Uint8Array, start: number, end: number, timestamp: RtpTicks): Verdict {
    const { out } = this;
    let ticks = timestamp;
    let at = start;
    do {
      out.begin(ticks);
      out.ended = true;
      const next = Math.min(end, at + this.#unitBytesMax);
      if (next === at || (next < end && this.#tickBytes === 0)) return out.malformed();
      out.enterKeyframe();
      out.write(b, at, next, true);
      if (this.#tickBytes > 0) ticks = (ticks + Math.floor((next - at) / this.#tickBytes)) >>> 0;
      at = next;
    } while (at < end);
    return Verdict.Taken;
  }
}
