import type { PacketRing } from "../core/packet-ring.ts";
import type { RtpTicks } from "../core/units.ts";
import type { RtpHeader } from "./header.ts";
import type { Repacketizer, Verdict, WholeUnit } from "./repacketizer.ts";
import type { PictureSize } from "./track-format.ts";
import { UnitWriter } from "./unit-writer.ts";

const NO_SETS: readonly Uint8Array[] = [];

/** What all repacketizers answer alike; of a codec without parameter sets and pictures, all of it. */
export abstract class RingRepacketizer implements Repacketizer {
  protected readonly out: UnitWriter;

  constructor(ring: PacketRing) {
    this.out = new UnitWriter(ring);
  }

  get lost(): number {
    return this.out.lost;
  }
  get unitStart(): number {
    return this.out.unitStart;
  }
  get keyframe(): number {
    return this.out.keyframe;
  }
  get changes(): number {
    return 0;
  }
  get parameterSets(): readonly Uint8Array[] {
    return NO_SETS;
  }
  get picture(): PictureSize | null {
    return null;
  }
  offerParameterSets(_sets: readonly Uint8Array[]): void {}
  restart(): void {
    this.out.restart();
  }

  abstract push(b: Uint8Array, header: RtpHeader, timestamp: RtpTicks): Verdict;
  abstract pushUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit): Verdict;
}
