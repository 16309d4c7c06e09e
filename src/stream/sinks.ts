/**
 * What a part of the hub implements to receive a track of a camera. The track calls its sinks one
 * after another inside the ingest turn: a sink copies or sends, and never waits.
 *
 * @module
 */
import type { Millis, RtpTicks, UnixMs } from "../core/units.ts";
import type { CapturedClock } from "../rtp/media-clock.ts";

/** Takes packets, as they arrive. */
export interface PacketSink {
  /** Packets `from` up to but without `to` are new in the track's ring. */
  packets(from: number, to: number, now: Millis): void;
  /** The track ended, and nothing comes after this: the camera sends another codec, or none. */
  ended(): void;
}

/**
 * One access unit of a track: a picture of H.264 or H.265 in Annex B form (ITU-T H.264 annex B), a
 * JPEG file, a VP8 frame; or the audio of one packet, AAC without ADTS.
 */
export interface Unit {
  /** Borrowed until the sink returns: copy what must outlive the call. */
  readonly bytes: Uint8Array;
  readonly length: number;
  /** Consecutive per track; survives reconnects. */
  readonly sequence: number;
  readonly timestamp: RtpTicks;
  /** When its first packet arrived. */
  readonly arrived: Millis;
  /** When it was complete: over a slow link a keyframe takes its time. */
  readonly completed: Millis;
  readonly captured: UnixMs;
  readonly capturedClock: CapturedClock;
  /** Decodes alone; parameter sets are in front. */
  readonly keyframe: boolean;
  /** Bytes are missing in this unit. */
  readonly damaged: boolean;
  /** Something between the unit before and this one is missing. */
  readonly gapBefore: boolean;
  /** Replayed from the ring for a late joiner, not live. */
  readonly replayed: boolean;
}

/** Takes whole access units. Costs a copy per unit, so attach only while somebody wants them. */
export interface UnitSink {
  unit(unit: Unit): void;
  /** The track ended, and nothing comes after this. */
  ended(): void;
}

/** What somebody asks for of one camera's pictures. */
export interface FrameFormat {
  /** `shm`: BGR24 in shared memory. */
  readonly kind: "shm";
  /** Pixels. The height follows from the camera's shape; a smaller picture is not enlarged. */
  readonly width: number;
}

/** What is known of one decoded frame. Times on the wall clock. */
export interface FrameFacts {
  /** Of its access unit. */
  readonly sequence: number;
  readonly width: number;
  readonly height: number;
  /** Bytes from one row to the next. */
  readonly stride: number;
  readonly timestamp: RtpTicks;
  /** `timestamp` without the wrap: ticks that go on growing while the camera is decoded. */
  readonly mediaTicks: number;
  readonly captured: UnixMs;
  readonly capturedClock: CapturedClock;
  readonly decoded: UnixMs;
  readonly keyframe: boolean;
  /** The picture may show something that was never there. */
  readonly damaged: boolean;
  /** Pictures of this camera that were not delivered since the last one that was. */
  readonly droppedBefore: number;
}

/** Bytes behind a claimed picture that are the sink's too: scalers write whole vectors. */
export const FRAME_SLACK_BYTES = 64;

/** Takes decoded pictures of one camera in one format and size. */
export interface FrameSink {
  /**
   * Where the next picture goes: BGR24 rows without padding, `width * height * 3` bytes, with
   * FRAME_SLACK_BYTES of memory behind them that may be overwritten. Borrowed until `publish`, or
   * until the next `claim` when the picture came to nothing.
   *
   * @throws Fault `shared_memory` when there is no room for pictures of this size
   */
  claim(width: number, height: number): Uint8Array;
  /** The claimed picture is complete. */
  publish(facts: FrameFacts): void;
  /** Nobody wants the pictures any longer. Idempotent. */
  close(): void;
}
