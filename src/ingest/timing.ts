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
  /** The same over UDP, while TCP may still be tried instead. */
  readonly firstDatagramMs: number;
  /** For a picture that decodes alone, while packets come. */
  readonly keyframeMs: number;
  /** Between two packets of live video, until it counts as stalled. */
  readonly stallMs: number;
  /** How long a stalled connection is kept, should video come back. */
  readonly stalledMs: number;
  /** Between two RTCP receiver reports of a track. */
  readonly reportMs: number;
  /** A stream that lived this long has earned a quick first attempt again. */
  readonly steadyMs: number;
  /** Between attempts after a connection was lost or not had. */
  readonly lost: BackoffLimits;
  /** Of failing, until `away` holds in place of `lost`. */
  readonly awayAfterMs: number;
  /** Between attempts at a camera that is away for long. */
  readonly away: BackoffLimits;
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
  // A firewall between the two drops UDP for good; a camera that is slow sends within this.
  firstDatagramMs: 4_000,
  // Cameras with "smart" codecs stretch their groups of pictures to tens of seconds.
  keyframeMs: 60_000,
  // Even cameras that lower their frame rate at night send a picture per second.
  stallMs: 5_000,
  // An encoder that starts anew takes a second or two; a camera that is gone is not waited for.
  stalledMs: 2_000,
  // RFC 3550 section 6.2: the recommended minimum.
  reportMs: 5_000,
  steadyMs: 10_000,
  // A camera that comes back is asked within a second; a connection that is refused costs nothing.
  lost: { firstMs: 250, maxMs: 1_000 },
  // A reboot, an update or a power cut is over by then. Hundreds of cameras that were taken down
  // must not cost a connection attempt a second each, for ever.
  awayAfterMs: 600_000,
  away: { firstMs: 5_000, maxMs: 5_000 },
  // Cameras lock accounts after a handful of wrong passwords in a short time.
  refused: { firstMs: 2_000, maxMs: 30_000 },
};
