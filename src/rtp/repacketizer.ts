/**
 * From what a camera sends to what the ring holds: RTP payloads in the codec's own payload format,
 * at most PAYLOAD_BYTES_MAX long, that can go to browsers and players as they are.
 *
 * @module
 */
import type { RtpTicks } from "../core/units.ts";
import type { RtpHeader } from "./header.ts";

/** What one packet meant. A code, not an exception: lost packets are ordinary traffic. */
export const Verdict = { Taken: 0, Lost: 1, Late: 2, Malformed: 3 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Writes one track into its ring as the bytes arrive. One per track and codec. */
export interface Repacketizer {
  /** Packets missing upstream, by sequence number. */
  readonly lost: number;
  /** First packet of the unit being written, -1 before the first. */
  readonly unitStart: number;
  /**
   * First packet of the last undamaged unit that decodes alone, -1 when there is none to start
   * from. Of audio that is every unit.
   */
  readonly keyframe: number;
  /** Counts changes of what `picture` and `parameterSets` say, so that a reader looks again. */
  readonly changes: number;
  /** In force now; see TrackFormat. Empty until known, and for codecs without. */
  readonly parameterSets: readonly Uint8Array[];
  /** Pixels by the last parameter set or picture; `null` until known, and for audio. */
  readonly picture: { readonly width: number; readonly height: number } | null;

  /** Takes parameter sets from a description; those in band replace them. */
  offerParameterSets(sets: readonly Uint8Array[]): void;
  /** The upstream session is a new one: numbering starts anew, and what follows needs a keyframe. */
  restart(): void;
  /**
   * Takes one RTP packet, borrowed. `timestamp` is the one to store; the header's own is not looked
   * at.
   */
  push(b: Uint8Array, header: RtpHeader, timestamp: RtpTicks): Verdict;
  /**
   * Takes a whole unit of a source that is no RTP, borrowed: an access unit in Annex B form, a JPEG
   * file, a VP8 frame, an audio frame. `gapBefore`: something is missing in front of it.
   */
  pushUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit): Verdict;
}

/** What is known of a unit that came whole. */
export interface WholeUnit {
  readonly timestamp: RtpTicks;
  readonly gapBefore: boolean;
}
