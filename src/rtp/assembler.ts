/**
 * Puts the packets of one unit together again, from the ring: what decoders, recorders and muxers
 * take. The reverse of the repacketizers, and of them only: no other shape of packet is in a ring.
 *
 * @module
 */
import { FLAG_HOLE, type PacketRing } from "../core/packet-ring.ts";
import { AAC_HEAD_BYTES } from "./aac.ts";
import { H264 } from "./h264.ts";
import { H265 } from "./h265.ts";
import { addJpegPacket, endJpeg } from "./jpeg-assembly.ts";
import type { NalSyntax } from "./nal-syntax.ts";
import { Scratch } from "./scratch.ts";
import type { Codec, PictureSize } from "./track-format.ts";
import { VP8_DESCRIPTOR_BYTES } from "./vp8.ts";

/** A 1080p keyframe of 20 Mbps is about 1 MB; nothing real comes near this. */
const UNIT_BYTES_MAX = 8 << 20;
const FU_START = 0x80;
const START_CODE_BYTES = 4;

/** One serves all tracks of a codec in a process: a unit is borrowed during one call only. */
export interface Assembler {
  /**
   * The unit: Annex B of H.264 and H.265, a JFIF file of MJPEG, a VP8 frame, the bytes of an audio
   * frame (AAC without ADTS). Replaced when it grows.
   */
  readonly bytes: Uint8Array;
  /** Bytes of the unit; what is behind them is left over. */
  readonly length: number;
  /**
   * Fills `bytes` with the packets `from` to `to` (exclusive). False when they do not fit, and when
   * an MJPEG unit lacks its beginning. `picture` is needed of MJPEG above 2,040 pixels, whose
   * packets cannot say it.
   */
  assemble(ring: PacketRing, from: number, to: number, picture?: PictureSize | null): boolean;
}

export function createAssembler(codec: Codec): Assembler {
  return new PacketAssembler(SHAPES[codec]);
}

/** How the packets of a codec become a unit. */
interface Shape {
  /** Adds the packet in [start, end) of `b`. False when it does not fit or makes no sense. */
  readonly add: (
    out: Scratch,
    b: Uint8Array,
    start: number,
    end: number,
    picture: PictureSize | null,
  ) => boolean;
  /** Adds what follows the last packet. */
  readonly end?: (out: Scratch) => boolean;
}

class PacketAssembler implements Assembler {
  readonly #out = new Scratch(UNIT_BYTES_MAX);
  readonly #shape: Shape;

  constructor(shape: Shape) {
    this.#shape = shape;
  }

  get bytes(): Uint8Array {
    return this.#out.bytes;
  }
  get length(): number {
    return this.#out.length;
  }

  assemble(
    ring: PacketRing,
    from: number,
    to: number,
    picture: PictureSize | null = null,
  ): boolean {
    const out = this.#out;
    out.length = 0;
    for (let id = from; id < to; id++) {
      if ((ring.flags(id) & FLAG_HOLE) !== 0) continue;
      const start = ring.start(id);
      if (!this.#shape.add(out, ring.bytes, start, start + ring.length(id), picture)) return false;
    }
    return this.#shape.end?.(out) ?? true;
  }
}

/** All but the first `headBytes` of each packet. */
function behind(headBytes: number): Shape {
  return { add: (out, b, start, end) => out.add(b, start + headBytes, end) };
}

/** Annex B from single NAL units and fragments. */
function annexB(syntax: NalSyntax): Shape {
  const { headerBytes, typeShift, typeMask, fragmentType } = syntax;
  return {
    add(out, b, start, end) {
      const type = (b[start]! >> typeShift) & typeMask;
      if (type !== fragmentType) return addStartCode(out) && out.add(b, start, end);
      const body = start + headerBytes + 1;
      const head = b[body - 1]!;
      if ((head & FU_START) === 0) return out.add(b, body, end);
      if (!addStartCode(out) || !out.add(b, start, body - 1)) return false;
      const others = b[start]! & ~(typeMask << typeShift);
      out.bytes[out.length - headerBytes] = others | ((head & typeMask) << typeShift);
      return out.add(b, body, end);
    },
  };
}

function addStartCode(out: Scratch): boolean {
  if (!out.reserve(START_CODE_BYTES)) return false;
  out.bytes.fill(0, out.length, out.length + START_CODE_BYTES);
  out.length += START_CODE_BYTES;
  out.bytes[out.length - 1] = 1;
  return true;
}

const PLAIN = behind(0);

const SHAPES: Readonly<Record<Codec, Shape>> = {
  h264: annexB(H264),
  h265: annexB(H265),
  mjpeg: { add: addJpegPacket, end: endJpeg },
  vp8: behind(VP8_DESCRIPTOR_BYTES),
  pcmu: PLAIN,
  pcma: PLAIN,
  g722: PLAIN,
  opus: PLAIN,
  aac: behind(AAC_HEAD_BYTES),
};
