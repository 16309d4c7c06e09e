/** What a hub decides about its RTSP server, and what it gives the server to work with. */
import type { Secret } from "../core/secret.ts";
import type { CameraState } from "../stream/camera-state.ts";
import type { Stream } from "../stream/stream.ts";
import type { Log } from "../telemetry/log.ts";

/** A stream in use. It is kept up until `release`, which is called once. */
export interface Lease {
  readonly stream: Stream;
  release(): void;
}

/** Who asks for what. */
export interface Asked {
  /** Decoded, without slashes at its ends: `lobby`, `lobby/sub`. */
  readonly path: string;
  /** `null` where nobody is asked for a password. */
  readonly user: string | null;
}

/** Where somebody's pushed stream goes. */
export interface PublishTarget {
  /** Gets the packets; the publisher is its only writer. */
  readonly stream: Stream;
  /** Called with every change; `idle` and `refused` are not among them. */
  onState(state: CameraState): void;
}

/** A user who may read and, where publishing is possible at all, publish. */
export interface Credentials {
  readonly user: string;
  readonly password: Secret;
}

/** Bounds on what clients may take up. */
export interface RestreamLimits {
  /** Sessions that are sent to, all together. */
  readonly readers: number;
  /** Of those, from one address. */
  readonly readersPerAddress: number;
  /** TCP connections, whatever they do. */
  readonly connections: number;
  readonly connectionsPerAddress: number;
}

/** Deadlines, in milliseconds. Tests shorten them; nothing else does. */
export interface RestreamTiming {
  /** For a camera that is on demand or coming up. */
  readonly readyMs: number;
  /** A reader whose connection takes nothing for this long is disconnected. */
  readonly stalledMs: number;
  /** A publisher that is silent for this long is stalled, and another one may take its place. */
  readonly silentMs: number;
}

/** What holds where nothing else is said. */
export const RESTREAM_LIMITS: RestreamLimits = {
  // 200 readers of 4 Mbps fill a gigabit link.
  readers: 200,
  readersPerAddress: 50,
  connections: 500,
  connectionsPerAddress: 100,
};

/** What holds outside tests. */
export const RESTREAM_TIMING: RestreamTiming = {
  // Below the 10 s that players give a response; most cameras are up within 2 s.
  readyMs: 5_000,
  // TCP repeats a lost segment after 0.2, 0.6, 1.4, 3, 6.2 s: who missed all of these is gone.
  stalledMs: 10_000,
  // A picture per second is the least that cameras send.
  silentMs: 5_000,
};

export interface RestreamOptions {
  /** Address to listen on. */
  readonly address: string;
  /** 0: any that is free. */
  readonly port: number;
  /**
   * The stream under a path, `null` when there is none. It need not be live yet: readers wait for
   * its first keyframe. A Fault says why it cannot be had; its message is shown to the reader.
   */
  readonly acquire: (asked: Asked) => Promise<Lease | null>;
  /** Where a stream sent to a path goes, `null` when nothing is to be sent there. */
  readonly publish: (asked: Asked) => PublishTarget | null;
  /** Who may connect; `null` for everyone. */
  readonly authorize: readonly Credentials[] | null;
  readonly log: Log;
  /** Where it says nothing, RESTREAM_LIMITS holds. */
  readonly limits?: Partial<RestreamLimits>;
  /** Where it says nothing, RESTREAM_TIMING holds. */
  readonly timing?: Partial<RestreamTiming>;
}
