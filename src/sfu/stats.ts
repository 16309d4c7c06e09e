/** What the part tells of itself. Counters only grow while it lives. */
import type { UnixMs } from "../core/units.ts";
import type { Codec } from "../rtp/track-format.ts";
import type { EgressKind } from "./egress.ts";

/** Sums over all viewers, those that left included. */
export interface SfuTotals {
  handshakes: number;
  handshakeFailures: number;
  nacks: number;
  retransmitted: number;
  /** Requests for a keyframe (PLI, FIR): the camera is not asked, they tell of bad networks. */
  pictureLosses: number;
  /** Sessions that ended by a broken assumption of ours. */
  bugs: number;
}

/** What the viewer reports of its side as a whole. */
export interface ViewerFacts {
  readonly nacks: number;
  readonly pictureLosses: number;
  /** `null` until a report told. */
  readonly roundTripMs: number | null;
  /** The viewer's own estimate (REMB); `null` when it makes none. */
  readonly estimatedBitsPerSecond: number | null;
}

/** One track of a viewer. */
export interface ViewerTrackStats {
  readonly codec: Codec;
  readonly packets: number;
  /** Of payload. */
  readonly bytes: number;
  readonly retransmitted: number;
  /** Of the packets since the viewer's last report, in [0, 1); `null` before the first. */
  readonly lostFraction: number | null;
  readonly lost: number;
  readonly jitterMs: number;
}

export interface ViewerStats extends ViewerFacts {
  /** Names the session in the API and grants its end: not for logs. */
  readonly session: string;
  readonly camera: string;
  readonly connected: boolean;
  /** Of the video, where there is one. `waiting`: for a keyframe. `burst`: catching up. */
  readonly state: "connecting" | "waiting" | "burst" | "live";
  readonly since: UnixMs;
  /** From the offer to the first packet of media; `null` before it. */
  readonly firstMediaMs: number | null;
  /** Of all tracks. */
  readonly packets: number;
  /** Of payload. */
  readonly bytes: number;
  readonly retransmitted: number;
  /** Of the video, or of the audio where that is all; see ViewerTrackStats. */
  readonly lostFraction: number | null;
  /** The tracks that are sent, video first; empty until the viewer is connected. */
  readonly tracks: readonly ViewerTrackStats[];
}

export interface SfuStats extends Readonly<SfuTotals> {
  readonly crypto: "ffi" | "node";
  readonly send: EgressKind;
  /** Media datagrams, retransmissions included. */
  readonly packets: number;
  /** With headers and tags, without UDP and IP. */
  readonly bytes: number;
  /** Datagrams that a full send buffer refused; they were sent again later. */
  readonly refused: number;
  /** Datagrams lost on this machine for another reason, such as a viewer without a route. */
  readonly dropped: number;
  readonly systemCalls: number;
  readonly viewers: readonly ViewerStats[];
}
