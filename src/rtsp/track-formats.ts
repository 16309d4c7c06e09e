/** From a session description's formats to what the hub can carry. */
import type { TrackFormat } from "../rtp/track-format.ts";
import { type Format, type Media, parameterSets } from "./sdp.ts";

/** What the format carries; `null` when the hub cannot forward it. */
export function trackFormatOf(media: Media, format: Format): TrackFormat | null {
  // RFC 6184's interleaved mode (2) is sent by no camera; modes 0 and 1 read the same.
  if (media.kind !== "video" || format.encoding !== "H264") return null;
  if (format.parameters.get("packetization-mode") === "2") return null;
  return {
    kind: "video",
    codec: "h264",
    clockHz: 90_000,
    channels: 1,
    parameterSets: parameterSets(format),
    auHeader: null,
  };
}
