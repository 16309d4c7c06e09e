/** What a viewer is sent, by what the camera sends and what the browser takes. */
import type { AudioCodec, VideoCodec } from "../rtp/track-format.ts";

/** A camera's video, as far as it matters for that. */
export interface VideoSource {
  readonly codec: VideoCodec;
  /** See rtp/b-frames.ts. */
  readonly hasBFrames: boolean;
  /** profile_idc of H.264 and H.265, `null` while not known. */
  readonly profile: number | null;
}

/** Codecs in a browser's offer. */
export interface VideoOffer {
  readonly h264: boolean;
  readonly h265: boolean;
  readonly vp8: boolean;
}

/** Sent as it comes, in another codec, or not at all. */
export type VideoChoice = "passthrough" | "h264" | "vp8" | null;

/**
 * Baseline, Main and High: what every browser that has H.264 decodes, whichever of them it offers.
 * Others have ten bits or more colour.
 */
const H264_PROFILES: readonly number[] = [66, 77, 100];
/** Main. */
const H265_PROFILES: readonly number[] = [1];

/**
 * What of a camera's video a viewer with this offer gets. H.264 before VP8: hardware makes it, and
 * it takes less of a processor at the same size. `null` when they have nothing in common.
 */
export function needsTranscode(source: VideoSource, offer: VideoOffer): VideoChoice {
  if (passes(source, offer)) return "passthrough";
  if (offer.h264) return "h264";
  return offer.vp8 ? "vp8" : null;
}

function passes({ codec, hasBFrames, profile }: VideoSource, offer: VideoOffer): boolean {
  switch (codec) {
    case "h264":
      return offer.h264 && !hasBFrames && (profile === null || H264_PROFILES.includes(profile));
    case "h265":
      return offer.h265 && !hasBFrames && (profile === null || H265_PROFILES.includes(profile));
    case "vp8":
      return offer.vp8;
    case "mjpeg":
      // RFC 2435 is not for browsers.
      return false;
    default:
      return codec satisfies never;
  }
}

/** Codecs of sound in a browser's offer; one that has WebRTC has Opus and G.711 (RFC 7874). */
export type SoundOffer = Readonly<Record<Exclude<AudioCodec, "aac">, boolean>>;

/** What of a camera's sound a viewer with this offer gets. */
export function needsSoundTranscode(
  codec: AudioCodec,
  offer: SoundOffer,
): "passthrough" | "opus" | null {
  if (codec !== "aac" && offer[codec]) return "passthrough";
  return offer.opus ? "opus" : null;
}
