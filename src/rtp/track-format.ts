/**
 * What one track of a camera is encoded in, as whoever sends it describes it: a session description
 * (RFC 8866), or a container that libav opened.
 *
 * @module
 */
import { VIDEO_CLOCK_HZ } from "../core/units.ts";

export type VideoCodec = "h264" | "h265" | "mjpeg" | "vp8";
export type AudioCodec = "pcmu" | "pcma" | "g722" | "opus" | "aac";
export type Codec = VideoCodec | AudioCodec;

const VIDEO_CODECS: readonly Codec[] = ["h264", "h265", "mjpeg", "vp8"] satisfies VideoCodec[];

export function isVideoCodec(codec: Codec): codec is VideoCodec {
  return VIDEO_CODECS.includes(codec);
}

/** Widths of the fields in front of each AAC frame, in bits (RFC 3640 section 3.2.1.1). */
export interface AuHeaderFormat {
  readonly sizeBits: number;
  readonly indexBits: number;
  readonly indexDeltaBits: number;
}

/** Pixels. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

export interface TrackFormat {
  readonly kind: "video" | "audio";
  readonly codec: Codec;
  /** Of its RTP timestamps: 90,000 for video; for audio the sampling rate, with G.722's exception. */
  readonly clockHz: number;
  /** 1 for video. */
  readonly channels: number;
  /**
   * What a decoder needs beforehand, as far as it is known out of band: NAL units without start code
   * (H.264: SPS, PPS; H.265: VPS, SPS, PPS), or the one AudioSpecificConfig of AAC (ISO/IEC 14496-3).
   */
  readonly parameterSets: readonly Uint8Array[];
  /** AAC by RTP only, `null` for all others. */
  readonly auHeader: AuHeaderFormat | null;
  /** As far as it is known out of band. Packets of MJPEG cannot say it of pictures above 2,040. */
  readonly picture?: PictureSize;
}

/** A video track as every source describes it at least. */
export function videoFormat(
  codec: VideoCodec,
  parameterSets: readonly Uint8Array[] = [],
): TrackFormat {
  const clockHz = VIDEO_CLOCK_HZ;
  return { kind: "video", codec, clockHz, channels: 1, parameterSets, auHeader: null };
}
