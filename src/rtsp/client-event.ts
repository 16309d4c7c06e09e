/** What an RTSP client and its driver say to each other. */
import type { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import type { RtspAddress } from "./address.ts";
import type { AgreedTrack } from "./client-track.ts";
import type { Hash } from "./digest.ts";
import type { PacketSink } from "./interleaved.ts";
import type { Lower } from "./transport.ts";

/** What a client tells its driver. */
export type ClientEvent =
  /** Bind two UDP ports for the track and answer with `bound`. Over UDP only. */
  | { readonly kind: "bind"; readonly index: number }
  /** These tracks are set up, the video first. PLAY is asked for next, and packets may come. */
  | { readonly kind: "tracks"; readonly tracks: readonly AgreedTrack[] }
  /** The camera was told to send. */
  | { readonly kind: "playing" }
  /** The stream is at another address. Nothing comes after this. */
  | { readonly kind: "redirected"; readonly location: string }
  /** Nothing comes after this. */
  | { readonly kind: "failed"; readonly fault: Fault }
  /** The camera took leave, or was waited for long enough. Nothing comes after this. */
  | { readonly kind: "closed" };

/** What a client is made of. */
export interface ClientOptions {
  readonly now: Millis;
  readonly address: RtspAddress;
  readonly transport: Lower;
  /** The other transport is tried, on the same connection, where the camera refuses this one. */
  readonly mayFallBack?: boolean;
  /** False to leave the audio alone; true unless stated. */
  readonly audio?: boolean;
  readonly hash: Hash;
  /** A new unpredictable text of hex digits per call. */
  readonly cnonce: () => string;
  /** Takes the packets of every channel; see the `tracks` event for which is which. */
  readonly sink: PacketSink;
  /** For each request; 10 s unless stated. */
  readonly replyTimeoutMs?: Millis;
}
