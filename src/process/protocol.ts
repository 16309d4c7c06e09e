/**
 * What the hub and its child processes say to each other. Everything here is plain data: it crosses
 * process boundaries.
 *
 * @module
 */
import type { UnixMs } from "../core/units.ts";
import type { CapturedClock } from "../rtp/media-clock.ts";
import type { Codec } from "../rtp/track-format.ts";
import type { CameraState } from "../stream/camera-state.ts";
import type { Lag } from "../telemetry/lag.ts";

/** Which of a camera's streams. `sub` is the smaller one, where there is one. */
export type StreamName = "main" | "sub";

/** How one stream is pulled. `source` holds credentials: never log it. */
export interface UpstreamSpec {
  readonly source: string;
  readonly transport: "auto" | "tcp" | "udp";
  readonly puller: "auto" | "native" | "ffmpeg";
  readonly tls: { readonly verify: boolean; readonly fingerprint: string | null };
}

/** How a camera is pulled. */
export interface CameraSpec {
  readonly id: string;
  readonly main: UpstreamSpec;
  readonly sub: UpstreamSpec | null;
  /** Streams that are pulled though nobody uses them. */
  readonly kept: readonly StreamName[];
  /** How long the others are pulled after their last consumer. */
  readonly lingerMs: number;
}

/** What every process tells of itself, once a second. */
export interface ProcessStats {
  readonly pid: number;
  readonly lagMs: Lag;
  /** Of all its threads, since it started. */
  readonly cpuMs: number;
  readonly rssBytes: number;
}

export type Latency = "default" | "lowest" | "smooth";

// ---- media: pulls, rings, viewers

export type MediaMethods = {
  readonly openCamera: { readonly takes: CameraSpec; readonly gives: null };
  readonly closeCamera: { readonly takes: { readonly camera: string }; readonly gives: null };
  readonly offer: {
    readonly takes: {
      readonly camera: string;
      readonly stream: StreamName;
      readonly sdp: string;
      readonly latency: Latency;
    };
    /** `stream` is what is sent: main where there is no sub, or none that lives. */
    readonly gives: {
      readonly session: string;
      readonly sdp: string;
      readonly stream: StreamName;
    };
  };
  readonly endViewer: {
    readonly takes: { readonly camera: string; readonly session: string };
    readonly gives: { readonly found: boolean };
  };
  /** Sends the camera's access units to a decode process; `socket: null` ends that. */
  readonly feed: {
    readonly takes: { readonly camera: string; readonly socket: string | null };
    readonly gives: null;
  };
};

export type MediaEvents = {
  readonly state: {
    readonly camera: string;
    readonly stream: StreamName;
    readonly state: CameraState;
  };
  readonly stats: MediaStats;
};

/** Counters only grow while the track lives; one of another codec counts anew. */
export interface TrackStats {
  readonly codec: Codec;
  readonly clockHz: number;
  readonly channels: number;
  readonly packets: number;
  readonly bytes: number;
  readonly units: number;
  readonly keyframes: number;
  readonly damagedUnits: number;
  readonly lost: number;
  readonly late: number;
  readonly malformed: number;
  readonly ringBytes: number;
  /** Pixels; 0 until known, and for audio. */
  readonly width: number;
  readonly height: number;
  /** Of H.264 (RFC 6184 section 8.1); empty until known, and for other codecs. */
  readonly profileLevelId: string;
  /** The camera's clock: this timestamp was captured then. `null` until known. */
  readonly clock: {
    readonly timestamp: number;
    readonly captured: UnixMs;
    readonly source: CapturedClock;
    /** The camera's wall clock minus the hub's at arrival, in ms; `null` until reported. */
    readonly cameraOffsetMs: number | null;
    /** How often the camera's wall clock was set while it was pulled. */
    readonly cameraSteps: number;
    /** Sender reports that could not be right. */
    readonly ignoredReports: number;
  } | null;
}

/** One stream of a camera. Cameras that share an upstream tell the same. */
export interface StreamStats {
  /** What fetches it; `null` while nothing does. */
  readonly puller: "native" | "ffmpeg" | null;
  /** What carries it (`tcp`, `udp`); `null` while nothing does, or when it is not known. */
  readonly transport: string | null;
  readonly connects: number;
  readonly reconnects: number;
  /** `null` until the camera described what it sends. */
  readonly video: TrackStats | null;
  readonly audio: TrackStats | null;
}

export interface CameraStats {
  readonly camera: string;
  readonly main: StreamStats;
  readonly sub: StreamStats | null;
}

export interface ViewerStats {
  readonly session: string;
  readonly camera: string;
  readonly connected: boolean;
  readonly since: UnixMs;
  readonly packets: number;
  readonly bytes: number;
  readonly retransmitted: number;
  readonly roundTripMs: number | null;
  readonly lostFraction: number | null;
}

export interface EgressStats {
  readonly crypto: "ffi" | "node";
  readonly send: "gso" | "sendmmsg" | "bun";
  readonly packets: number;
  readonly bytes: number;
  readonly dropped: number;
  /** Packets that a full send buffer did not take at first; they were sent later. */
  readonly refused: number;
  readonly systemCalls: number;
  readonly retransmitted: number;
  readonly handshakes: number;
  readonly handshakeFailures: number;
}

export interface MediaStats {
  readonly process: ProcessStats;
  readonly cameras: readonly CameraStats[];
  readonly viewers: readonly ViewerStats[];
  readonly egress: EgressStats;
  /** Broken assumptions of our own; each ended one camera's connection or one viewer's session. */
  readonly bugs: number;
  /** Cameras whose decode process went away under the feed; the hub arranges a new one. */
  readonly feedsLost: readonly string[];
}

// ---- bus: who subscribes to what

/** It hears of nothing: what it needs stands in its options. */
export type BusMethods = Record<never, never>;

export type BusEvents = {
  /** All topics that anyone subscribes to, whenever that changes. */
  readonly demand: { readonly topics: readonly TopicDemand[] };
  readonly stats: BusStats;
};

export interface TopicDemand {
  readonly topic: string;
  readonly subscribers: number;
}

export interface BusStats {
  readonly process: ProcessStats;
  readonly topics: readonly (TopicDemand & { readonly sent: number; readonly dropped: number })[];
}

// ---- decode: pictures of a group of cameras

export type DecodeMethods = {
  /** Decodes the camera into these topics; none ends it. */
  readonly decode: {
    readonly takes: { readonly camera: string; readonly topics: readonly string[] };
    readonly gives: null;
  };
};

export type DecodeEvents = {
  readonly stats: DecodeStats;
};

export interface DecoderStats {
  readonly camera: string;
  readonly device: string;
  readonly degraded: boolean;
  readonly decoded: number;
  readonly delivered: number;
  /** Pictures not delivered, by cause. */
  readonly dropped: Readonly<Record<string, number>>;
  /** Of the last second: decoding alone, and from arrival of the unit to the finished picture. */
  readonly decodeMs: { readonly mean: number; readonly max: number };
  readonly latencyMs: { readonly mean: number; readonly max: number };
}

export interface DecodeStats {
  readonly process: ProcessStats;
  readonly decoders: readonly DecoderStats[];
}

/** What browsers are sent when they do not take what the camera sends. */
export type RenditionCodec = "h264" | "vp8" | "opus";

/** Served by a transcoding process. */
export type TranscodeMethods = {
  /** What is encoded from now on. */
  readonly want: {
    readonly takes: { readonly codecs: readonly RenditionCodec[] };
    readonly gives: null;
  };
  /** A viewer needs a keyframe. */
  readonly keyframe: { readonly takes: { readonly codec: RenditionCodec }; readonly gives: null };
};

export type TranscodeEvents = {
  readonly stats: TranscodeStats;
};

export interface RenditionStats {
  readonly codec: RenditionCodec;
  /** libav's name of what encodes. */
  readonly encoder: string;
  /** Pixels; 0 for sound, and until the first picture. */
  readonly width: number;
  readonly height: number;
  /** Pictures or frames of sound since the start, and their bytes. */
  readonly units: number;
  readonly bytes: number;
  /** Of the last second: scaling and encoding one; for sound decoding as well. */
  readonly encodeMs: { readonly mean: number; readonly max: number };
}

export interface TranscoderStats {
  /** `null` while no pictures are wanted. */
  readonly decoder: DecoderStats | null;
  readonly renditions: readonly RenditionStats[];
}

export interface TranscodeStats extends TranscoderStats {
  readonly process: ProcessStats;
}
