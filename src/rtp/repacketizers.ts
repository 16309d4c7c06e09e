/** The repacketizer of each codec. */
import type { PacketRing } from "../core/packet-ring.ts";
import { AacRepacketizer } from "./aac.ts";
import { H264Repacketizer } from "./h264.ts";
import { H265Repacketizer } from "./h265.ts";
import { MjpegRepacketizer } from "./mjpeg.ts";
import { PlainAudioRepacketizer } from "./plain-audio.ts";
import type { Repacketizer } from "./repacketizer.ts";
import type { TrackFormat } from "./track-format.ts";
import { Vp8Repacketizer } from "./vp8.ts";

/** What writes a track of this format into `ring`. Its parameter sets are not offered yet. */
export function createRepacketizer(format: TrackFormat, ring: PacketRing): Repacketizer {
  switch (format.codec) {
    case "h264":
      return new H264Repacketizer(ring);
    case "h265":
      return new H265Repacketizer(ring);
    case "mjpeg":
      return new MjpegRepacketizer(ring, format);
    case "vp8":
      return new Vp8Repacketizer(ring, format);
    case "aac":
      return new AacRepacketizer(ring, format);
    // One byte per tick and channel (RFC 3551 sections 4.5.2 and 4.5.14).
    case "pcmu":
    case "pcma":
    case "g722":
      return new PlainAudioRepacketizer(ring, format.channels);
    case "opus":
      return new PlainAudioRepacketizer(ring, 0);
    default:
      return format.codec satisfies never;
  }
}
