/**
 * What a session's sender reports say the time is. Players synchronise sound and picture by them,
 * and take a jump for a jump of the stream: when a track's clock is set anew, the session's goes on.
 *
 * @module
 */
import { type RtpTicks, ticksBetween, type UnixMs } from "../core/units.ts";

/** What is asked about; a Track is one. */
export interface TimedTrack {
  readonly format: { readonly clockHz: number };
  /** See MediaClock. */
  readonly clock: {
    readonly known: boolean;
    readonly steps: number;
    at(timestamp: RtpTicks): UnixMs;
  };
}

/** The last that was said of a track. */
interface Said {
  /** Of the track's clock at that time. */
  readonly steps: number;
  /** Added to the track's clock, in milliseconds. */
  readonly shift: number;
  readonly timestamp: RtpTicks;
  readonly wall: UnixMs;
}

/** One session's. */
export class SessionClock {
  readonly #said = new Map<TimedTrack, Said>();

  /** The time of a packet of the track; `null` while the track knows none. */
  at(track: TimedTrack, timestamp: RtpTicks): UnixMs | null {
    const { known, steps } = track.clock;
    if (!known) return null;
    const shift = this.#shift(track, timestamp);
    const wall = track.clock.at(timestamp) + shift;
    this.#said.set(track, { steps, shift, timestamp, wall });
    return wall;
  }

  #shift(track: TimedTrack, timestamp: RtpTicks): number {
    const said = this.#said.get(track);
    if (said?.steps === track.clock.steps) return said.shift;
    // Both tracks go by one clock: what the other was shifted by since, this one is too.
    for (const other of this.#said.values()) {
      if (other !== said && other.shift !== said?.shift) return other.shift;
    }
    if (said === undefined) return 0;
    const passedMs = (ticksBetween(timestamp, said.timestamp) * 1000) / track.format.clockHz;
    return said.wall + passedMs - track.clock.at(timestamp);
  }
}
