/** What the codecs made of NAL units (H.264, H.265) have in common, and where they differ. */
import type { PictureSize } from "./track-format.ts";

/** Who a parameter set is, and which set it builds on. */
export interface SetIdentity {
  readonly id: number;
  /** Id of the set it refers to: a PPS its SPS, an SPS of H.265 its VPS. 0 for those on top. */
  readonly parent: number;
}

export interface NalSyntax {
  /** Bytes of a NAL unit header. */
  readonly headerBytes: 1 | 2;
  /** The type is `(first byte >> typeShift) & typeMask`. */
  readonly typeShift: number;
  readonly typeMask: number;
  /** Types of RTP payload that are no NAL units: aggregates and fragments. */
  readonly aggregateType: number;
  readonly fragmentType: number;
  /** Types of NAL unit that RTP carries: [first, last]. Others mean something else there. */
  readonly nalTypes: readonly [number, number];
  /** NAL units of pictures: [first, last]. Everything else describes them. */
  readonly sliceTypes: readonly [number, number];
  readonly informationType: number;
  /** Types of parameter set, those first that others refer to. The last belongs to pictures. */
  readonly setTypes: readonly number[];
  /** Which of `setTypes` says the picture's size. */
  readonly sizeSetType: number;

  /** Who the set in [start, end) of `b` is, NAL unit header included. Cut short, it is number 0. */
  identify(b: Uint8Array, start: number, end: number): SetIdentity;
  /**
   * Id of the picture parameter set that a keyframe's slice uses, whose header starts at `start`;
   * -1 when it is cut off before `end`.
   */
  pictureSetOf(b: Uint8Array, start: number, end: number): number;
  /** Size by a parameter set of `sizeSetType`; `null` when it is nonsense. */
  pictureOf(set: Uint8Array): PictureSize | null;
  /**
   * Whether a picture decodes without those before it, by the type of its first slice and the first
   * byte behind the header. `recoveryPoint`: an information message in front of it announces so.
   */
  isKeyframe(type: number, firstByte: number, recoveryPoint: boolean): boolean;
  /** Whether the information message in [start, end) is a recovery point right here. */
  isRecoveryPoint(b: Uint8Array, start: number, end: number): boolean;
}
