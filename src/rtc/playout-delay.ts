/**
 * The playout-delay header extension: how long the viewer may hold a picture back
 * (http://www.webrtc.org/experiments/rtp-hdrext/playout-delay).
 *
 * @module
 */
import { writeU16 } from "../rtp/header.ts";

/** What a viewer asks for: the browser's own judgement, no waiting at all, or no stutter. */
export type Latency = "default" | "lowest" | "smooth";

interface Bounds {
  readonly minMs: number;
  readonly maxMs: number;
}

const BOUNDS: Readonly<Record<Latency, Bounds | null>> = {
  default: null,
  /** Pictures are shown as soon as they are decoded. */
  lowest: { minMs: 0, maxMs: 0 },
  /** Hides a retransmission or two over a mobile network, and bad Wi-Fi up to a second. */
  smooth: { minMs: 200, maxMs: 1_000 },
};

/** Both bounds are 12 bits of ten milliseconds. */
const UNIT_MS = 10;
/** RFC 8285 section 4.2: marks one-byte headers. */
const ONE_BYTE_HEADERS = 0xbede;

/**
 * The whole header extension of an RTP packet, a multiple of four bytes; empty when there is
 * nothing to say.
 * @param id as negotiated; 0 when the extension was not
 */
export function playoutDelayExtension(id: number, latency: Latency): Uint8Array {
  const bounds = BOUNDS[latency];
  if (bounds === null || id === 0) return new Uint8Array(0);
  const min = bounds.minMs / UNIT_MS;
  const max = bounds.maxMs / UNIT_MS;
  const extension = new Uint8Array(8);
  writeU16(extension, 0, ONE_BYTE_HEADERS);
  writeU16(extension, 2, 1);
  extension[4] = (id << 4) | 2;
  extension[5] = min >> 4;
  extension[6] = ((min & 0x0f) << 4) | (max >> 8);
  extension[7] = max;
  return extension;
}
