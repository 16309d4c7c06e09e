/** How long a pull waits for what, in milliseconds. Tests shorten it; nothing else does. */
import type { BackoffLimits } from "../core/backoff.ts";

/** Each is a deadline or an interval of one pull. */
export interface PullTiming {
  /** For the TCP connection. */
  readonly connectMs: number;
  /** For each RTSP response. */
  readonly replyMs: number;
  /** For the first packet after PLAY. */
  readonly firstPacketMs: number;
  /** For a picture that decodes alone, while packets come. */
  readonly keyframeMs: number;
  /** Between two packets of a live stream. */
  readonly stallMs: number;
  /** Between two RTCP receiver reports over UDP. */
  readonly reportMs: number;
  /** A stream that lived this long has earned a quick first attempt again. */
  readonly steadyMs: number;
  /** Between attempts after a connection was lost or not had. */
  readonly lost: BackoffLimits;
  /** Between attempts after the camera said no. */
  readonly refused: BackoffLimits;
}

/** What holds outside tests. */
export const PULL_TIMING: PullTiming = {
  // A SYN that is lost once is repeated after 1 s, twice after 3 s.
  connectMs: 5_000,
  // Cameras that start an encoder for DESCRIBE take seconds.
  replyMs: 10_000,
  firstPacketMs: 10_000,
  // Cameras with "smart" codecs stretch their groups of pictures to tens of seconds.
  keyframeMs: 60_000,
  // Even cameras that lower their frame rate at night send a picture per second.
  stallMs: 5_000,
  // RFC 3550 section 6.2: the recommended minimum.
  reportMs: 5_000,
  steadyMs: 10_000,
  // A camera that comes back is asked within a second; a connection that is refused costs nothing.
  lost: { firstMs: 250, maxMs: 1_000 },
  // Cameras lock accounts after a handful of wrong passwords in a short time.
  refused: { firstMs: 2_000, maxMs: 30_000 },
};
