/** The repacketizer of each codec. */

import { Fault } from "../core/fault.ts";
import type { PacketRing } from "../core/packet-ring.ts";
import { H264Repacketizer } from "./h264.ts";
import { type Repacketizer, Verdict } from "./repacketizer.ts";
import { readSps } from "./sps.ts";
import type { TrackFormat } from "./track-format.ts";

class H264 extends H264Repacketizer implements Repacketizer {
  get changes(): number {
    return this.spsChanges;
  }
  get parameterSets(): readonly Uint8Array[] {
    return [this.sps, this.pps].filter(({ length }) => length > 0);
  }
  get picture(): Repacketizer["picture"] {
    return readSps(this.sps);
  }
  pushUnit(): Verdict {
    return Verdict.Malformed;
  }
}

/** @throws Fault `track_unsupported` */
export function createRepacketizer(format: TrackFormat, ring: PacketRing): Repacketizer {
  if (format.codec === "h264") return new H264(ring);
  throw new Fault("track_unsupported", `${format.codec} cannot be forwarded`);
}
