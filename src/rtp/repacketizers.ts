/** The repacketizer of each codec. */
import { Fault } from "../core/fault.ts";
import type { PacketRing } from "../core/packet-ring.ts";
import { H264Repacketizer } from "./h264.ts";
import { H265Repacketizer } from "./h265.ts";
import type { Repacketizer } from "./repacketizer.ts";
import type { TrackFormat } from "./track-format.ts";

/** @throws Fault `track_unsupported` */
export function createRepacketizer(format: TrackFormat, ring: PacketRing): Repacketizer {
  if (format.codec === "h264") return new H264Repacketizer(ring);
  if (format.codec === "h265") return new H265Repacketizer(ring);
  throw new Fault("track_unsupported", `${format.codec} cannot be forwarded`);
}
