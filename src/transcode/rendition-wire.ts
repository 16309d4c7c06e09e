/** How renditions are called and described between a transcoding process and media. */
import { OPUS_CLOCK_HZ } from "../native/av-opus.ts";
import type { RenditionCodec } from "../process/protocol.ts";
import { type TrackFormat, videoFormat } from "../rtp/track-format.ts";
import type { Hello } from "../stream/unit-wire.ts";

/** What a rendition's track is encoded in; parameter sets come in band. */
export function renditionFormat(codec: RenditionCodec): TrackFormat {
  if (codec !== "opus") return videoFormat(codec);
  // Always described as two channels, whatever its frames hold (RFC 7587 section 7).
  const sound = { kind: "audio", codec, clockHz: OPUS_CLOCK_HZ, channels: 2 } as const;
  return { ...sound, parameterSets: [], auHeader: null };
}

/** The first words of a rendition's connection: one connection each, named after its codec. */
export function renditionHello(codec: RenditionCodec): Hello {
  return { camera: codec, tracks: [renditionFormat(codec)] };
}

export function isRenditionCodec(name: string): name is RenditionCodec {
  return name === "h264" || name === "vp8" || name === "opus";
}
