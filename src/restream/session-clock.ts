/**
 * What a session's sender reports say the time is. Players synchronise sound and picture by them,
 * so the tracks of one session share one clock, and it never jumps: not when the camera's own
 * reports begin, nor when they are missing for one of its tracks.
 *
 * @module
 */
import { type RtpTicks, ticksBetween, type UnixMs } from "../core/units.ts";
import type { CapturedClock, MediaClock } from "../rtp/media-clock.ts";

/** What is asked about; a Track is one. */
export interface TimedTrack {
  readonly clock: MediaClock;
  readonly format: { readonly clockHz: number };
  readonly newestTimestamp: RtpTicks;
}

/** The last that was said of a track. */
interface Said {
  readonly source: CapturedClock;
  /** Added to the track's own clock, in milliseconds. */
  readonly shift: number;
  readonly timestamp: RtpTicks;
  readonly wall: UnixMs;
}

/** One session's. */
export class SessionClock {
  readonly #said = new Map<TimedTrack, Said>();

  /** The time of a packet of the track; `null` while the track knows none. */
  at(track: TimedTrack, timestamp: RtpTicks): UnixMs | null {
    const { clock } = track;
    if (!clock.known) return null;
    const before = this.#said.get(track);
    const same = before !== undefined && before.source === clock.source;
    const shift = same ? before.shift : this.#shift(track, before);
    const wall = clock.at(timestamp) + shift;
    this.#said.set(track, { source: clock.source, shift, timestamp, wall });
    return wall;
  }

  /** For a track whose clock speaks of another source than before, or is asked for the first time. */
  #shift(track: TimedTrack, before: Said | undefined): number {
    const { clock, format, newestTimestamp } = track;
    let other: [TimedTrack, Said] | null = null;
    for (const entry of this.#said) {
      if (entry[0] === track) continue;
      if (entry[1].source === clock.source) return entry[1].shift;
      other = entry;
    }
    const own = clock.at(newestTimestamp);
    if (before !== undefined) return extrapolated(before, newestTimestamp, format.clockHz) - own;
    if (other === null) return 0;
    // The newest packets of both arrived about now.
    const [aside, said] = other;
    return extrapolated(said, aside.newestTimestamp, aside.format.clockHz) - own;
  }
}

function extrapolated(said: Said, timestamp: RtpTicks, clockHz: number): UnixMs {
  return said.wall + (ticksBetween(timestamp, said.timestamp) * 1000) / clockHz;
}
