/**
 * What a pull needs of whatever fetches a source: the RTSP client (rtsp-puller.ts), or libav in a
 * child process. A pull opens one session after another and decides what each end means.
 *
 * @module
 */
import type { Fault } from "../core/fault.ts";
import type { Secret } from "../core/secret.ts";
import type { Millis } from "../core/units.ts";
import type { Stream } from "../stream/stream.ts";
import type { PullTiming } from "./timing.ts";

/** Why a session is over. */
export type SessionEnd =
  | { readonly kind: "failed"; readonly fault: Fault }
  /** The source is finite and came to its end: nothing to connect to again. */
  | { readonly kind: "ended" }
  /** By `close`. */
  | { readonly kind: "closed" };

/** What a pull counts across its sessions; they only grow. */
export interface PullCounters {
  /** Connections tried. */
  attempts: number;
  /** Times that the source agreed to send. */
  connects: number;
  /** Those after the first. */
  reconnects: number;
  /** Packets of channels, payload types and sources that were not asked for. */
  ignored: number;
  /** UDP packets from addresses that are not the camera's. */
  strangers: number;
  /** UDP packets that came after a later one, and were put in their place. */
  reordered: number;
  /** UDP packets that came twice, or when they had been given up. */
  late: number;
  /** Times that the other transport was tried, because the camera refused one or was silent. */
  fallbacks: number;
  /** Broken assumptions of our own; each cost this camera one connection. */
  bugs: number;
}

/** One connection to a source, from the first packet out to the last one in. Runs once. */
export interface PullSession {
  /** Packets or units of media that were handed to the stream. */
  readonly packets: number;
  /** What carries the media (`tcp`, `udp`); `null` while that is open, or when it is not known. */
  readonly transport: string | null;
  /** Connects and pulls until it is over. Never rejects; what it owns is freed by then. */
  run(): Promise<SessionEnd>;
  /** Takes leave and ends, within a second. Idempotent, at any time; `run` resolves with `closed`. */
  close(): Promise<void>;
}

/** What a session is given. */
export interface SessionContext {
  /** Names the camera in the log. */
  readonly camera: string;
  /** The address with its credentials. */
  readonly source: Secret;
  /** Gets the media. Nobody else writes to it while the session runs. */
  readonly stream: Stream;
  readonly timing: PullTiming;
  readonly counters: PullCounters;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** The source agreed to send. At most once; it counts as a connect. */
  readonly onPlaying: () => void;
  /** A viewer gets a picture from now on; also when video is back after `onStalled`. */
  readonly onLive: () => void;
  /** Connected, but video does not come; the session fails at `until` unless it comes back. */
  readonly onStalled: (fault: Fault, until: Millis) => void;
}

/** Makes a session. It begins with `run`. */
export type OpenSession = (context: SessionContext) => PullSession;
