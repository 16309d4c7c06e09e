/**
 * What one upstream sends: at most one video and one audio track. Tracks live across reconnects;
 * one whose codec changes is replaced, and its consumers are told that it ended.
 *
 * @module
 */
import type { Millis, UnixMs } from "../core/units.ts";
import type { TrackFormat } from "../rtp/track-format.ts";
import { Track } from "./track.ts";

export class Stream {
  /** `null` until described, and when the upstream has none. */
  video: Track | null = null;
  audio: Track | null = null;
  /** Called after a track was added, replaced or taken away; its old consumers know by then. */
  onChange: (() => void) | null = null;

  /** First packet to start the video from; -1 while there is none. */
  get keyframe(): number {
    return this.video?.keyframe ?? -1;
  }

  /**
   * An upstream session begins, and sends this. Returns the track of each format; `null` for a
   * second one of its kind. A kind that is not described any more ends.
   */
  describe(formats: readonly TrackFormat[]): (Track | null)[] {
    const video = formats.find(({ kind }) => kind === "video") ?? null;
    const audio = formats.find(({ kind }) => kind === "audio") ?? null;
    const before = [this.video, this.audio];
    this.video = continued(this.video, video);
    this.audio = continued(this.audio, audio);
    this.#link();
    if (this.video !== before[0] || this.audio !== before[1]) this.onChange?.();
    return formats.map((format) => {
      if (format === video) return this.video;
      return format === audio ? this.audio : null;
    });
  }

  /** The turn of the event loop is over: sinks see what it brought. `wall` is when that was. */
  flush(now: Millis, wall: UnixMs): void {
    this.video?.flush(now, wall);
    this.audio?.flush(now, wall);
  }

  /** The upstream session ended; the next one goes on in the same rings. */
  restart(): void {
    this.video?.restart();
    this.audio?.restart();
  }

  /** Nothing comes any more: consumers of both tracks are told. */
  end(): void {
    this.video?.end();
    this.audio?.end();
  }

  /** Sound and picture keep together: one that brings no reports goes by the other's. */
  #link(): void {
    if (this.video) this.video.clock.sibling = this.audio?.clock ?? null;
    if (this.audio) this.audio.clock.sibling = this.video?.clock ?? null;
  }
}

/** The track that carries on in this format: the same one when it can. */
function continued(track: Track | null, format: TrackFormat | null): Track | null {
  if (track !== null && format !== null && isSame(track.format, format)) {
    track.offerParameterSets(format.parameterSets);
    return track;
  }
  track?.end();
  return format === null ? null : new Track(format);
}

/** Consumers were told what they cannot unlearn, and packets are read by what was described. */
function isSame(a: TrackFormat, b: TrackFormat): boolean {
  const alike = a.codec === b.codec && a.clockHz === b.clockHz && a.channels === b.channels;
  return alike && outOfBand(a) === outOfBand(b);
}

/** What holds until the track ends. Parameter sets of video may change at any time. */
function outOfBand({ codec, auHeader, picture, parameterSets }: TrackFormat): string {
  const config = codec === "aac" ? parameterSets.map((set) => set.toHex()) : [];
  return JSON.stringify([auHeader, picture ?? null, config]);
}
