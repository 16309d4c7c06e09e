/** How renditions are called and described between a transcoding process and media. */
import { VIDEO_CLOCK_HZ } from "../core/units.ts";
import { OPUS_CLOCK_HZ } from "../native/av-opus.ts";
import type { RenditionCodec } from "../process/protocol.ts";
import type { TrackFormat } from "../rtp/track-format.ts";
import type { Hello } from "../stream/unit-wire.ts";

/** What a rendition's track is encoded in; parameter sets come in band. */
export function renditionFormat(codec: RenditionCodec): TrackFormat {
  const sound = codec === "opus";
  return {
    kind: sound ? "audio" : "video",
    codec,
    clockHz: sound ? OPUS_CLOCK_HZ : VIDEO_CLOCK_HZ,
    // Opus is always described as two, whatever its frames hold (RFC 7587 section 7).
    channels: sound ? 2 : 1,
    parameterSets: [],
    auHeader: null,
  };
}

/** The first words of a rendition's connection: one connection each, named after its codec. */
export function renditionHello(codec: RenditionCodec): Hello {
  return { camera: codec, tracks: [renditionFormat(codec)] };
}

export function isRenditionCodec(name: string): name is RenditionCodec {
  return name === "h264" || name === "vp8" || name === "opus";
}
