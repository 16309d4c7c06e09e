/** Somebody who sends a stream to the hub: what was announced, and how far it is live. */
import type { Millis } from "../core/units.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import { ReorderWindow } from "../rtp/reorder.ts";
import type { TrackFormat } from "../rtp/track-format.ts";
import type { Media, SessionDescription } from "../rtsp/sdp.ts";
import { trackFormatOf } from "../rtsp/track-formats.ts";
import type { CameraState } from "../stream/camera-state.ts";
import type { Track } from "../stream/track.ts";
import type { PublishTarget } from "./options.ts";

/** A medium of the announcement. Those that cannot be forwarded are taken and left alone. */
export interface AnnouncedTrack {
  readonly media: Media;
  /** `null` for what cannot be forwarded. */
  readonly chosen: { readonly format: TrackFormat; readonly payloadType: number } | null;
  track: Track | null;
  isSetUp: boolean;
  /** Of packets that come by UDP and may overtake each other; `null` for others. */
  window: ReorderWindow | null;
}

type State =
  | { readonly at: "announced" }
  /** Packets may come; no keyframe has. */
  | { readonly at: "starting" }
  | { readonly at: "live" }
  | { readonly at: "stalled" }
  | { readonly at: "over" };

/** How it ended. */
export type PublishEnd = "finished" | "lost" | "replaced";

export interface PublisherOptions {
  readonly path: string;
  readonly target: PublishTarget;
  /** Without a packet for this long it is stalled. */
  readonly silentMs: number;
  /** Another publisher took its place: the connection is to be closed. */
  readonly onReplaced: () => void;
  /** Runs what packets bring later than they come; a bug of ours ends the connection. */
  readonly run: (step: () => void) => void;
}

/** What can be forwarded of what was announced; `null` when nothing can. */
export function choose({ media }: SessionDescription): AnnouncedTrack[] | null {
  const tracks = media.map((medium): AnnouncedTrack => {
    const formats = medium.formats.map((format) => {
      const carried = trackFormatOf(medium, format);
      return carried && { format: carried, payloadType: format.payloadType };
    });
    const chosen = formats.find((format) => format !== null) ?? null;
    return { media: medium, chosen, track: null, isSetUp: false, window: null };
  });
  return tracks.some(({ chosen }) => chosen !== null) ? tracks : null;
}

export class Publisher {
  readonly path: string;
  /** RTP packets that were not forwarded: of other media, or before RECORD. */
  ignored = 0;
  readonly #options: PublisherOptions;
  readonly #tracks: readonly AnnouncedTrack[];
  #state: State = { at: "announced" };
  #packetAt: Millis = monotonicMs();
  #arrived = false;
  /** When the packets came that are handed on now. */
  #now: Millis = 0;
  #flushing: ReturnType<typeof setImmediate> | null = null;
  /** For packets that are waited for. */
  #expiring: Timer | null = null;

  constructor(tracks: readonly AnnouncedTrack[], options: PublisherOptions) {
    this.path = options.path;
    this.#tracks = tracks;
    this.#options = options;
  }

  /** True when nothing came for so long that another publisher may take the place. */
  isSilent(now: Millis): boolean {
    return now - this.#packetAt >= this.#options.silentMs;
  }

  /** The announced track that is set up by this control, `null` when there is none. */
  find(control: string): AnnouncedTrack | null {
    if (control === "" && this.#tracks.length === 1) return this.#tracks[0] ?? null;
    const named = (wanted: string | null): boolean =>
      wanted !== null && (wanted === control || wanted.endsWith(`/${control}`));
    return this.#tracks.find(({ media }) => control !== "" && named(media.control)) ?? null;
  }

  /** Packets are meant from now on. */
  record(): void {
    if (this.#state.at !== "announced") return;
    const usable = this.#tracks.filter(({ isSetUp, chosen }) => isSetUp && chosen !== null);
    const formats = usable.flatMap(({ chosen }) => (chosen === null ? [] : [chosen.format]));
    const tracks = this.#options.target.stream.describe(formats);
    for (const [i, track] of tracks.entries()) {
      const announced = usable[i];
      if (announced) announced.track = track;
    }
    this.#state = { at: "starting" };
    this.#packetAt = monotonicMs();
    this.#tell({ at: "connecting", since: unixMs() });
  }

  /** Takes the RTP packet in [start, end) of `b`, borrowed; `flush` hands it on. */
  rtp(announced: AnnouncedTrack, b: Uint8Array, start: number, end: number, now: Millis): void {
    const { track, chosen } = announced;
    if (track === null || end - start < 4 || (b[start + 1]! & 0x7f) !== chosen?.payloadType) {
      this.ignored++;
      return;
    }
    this.#arrived = true;
    this.#now = now;
    if (announced.window === null) track.receive(b, start, end, now);
    else announced.window.push(b, start, end, (b[start + 2]! << 8) | b[start + 3]!, now);
  }

  /** Packets of this track come by UDP, and may overtake each other. */
  order(announced: AnnouncedTrack): void {
    announced.window = new ReorderWindow((b, start, end) =>
      announced.track?.receive(b, start, end, this.#now),
    );
  }

  /** Takes one RTP packet that came by itself; what one turn of the loop brings is one flush. */
  datagram(announced: AnnouncedTrack, packet: Uint8Array): void {
    if (this.#state.at === "over") return;
    this.rtp(announced, packet, 0, packet.length, monotonicMs());
    this.#flushing ??= setImmediate(() => {
      this.#flushing = null;
      this.#options.run(() => this.#expire(monotonicMs()));
    });
  }

  /** Packets that were overtaken are waited for, but not for long. */
  #expire(now: Millis): void {
    this.#now = now;
    for (const { window } of this.#tracks) window?.expire(now);
    this.flush(now);
    const due = this.#tracks.map(({ window }) => window?.deadline ?? Number.POSITIVE_INFINITY);
    const deadline = Math.min(...due);
    if (this.#state.at === "over" || deadline === Number.POSITIVE_INFINITY) return;
    this.#expiring ??= setTimeout(
      () => {
        this.#expiring = null;
        this.#arrived = true;
        this.#options.run(() => this.#expire(monotonicMs()));
      },
      Math.ceil(deadline - now),
    );
  }

  /** Everything that one read brought goes to the sinks at once. */
  flush(now: Millis): void {
    if (!this.#arrived || this.#state.at === "over") return;
    this.#arrived = false;
    this.#packetAt = now;
    const { stream } = this.#options.target;
    stream.flush(now, unixMs());
    if (this.#state.at === "live") return;
    if (((stream.video ?? stream.audio)?.keyframe ?? -1) < 0) return;
    this.#state = { at: "live" };
    this.#tell({ at: "live", since: unixMs() });
  }

  /** Time has passed: notices silence. */
  tick(now: Millis): void {
    if (this.#state.at !== "live" || !this.isSilent(now)) return;
    this.#state = { at: "stalled" };
    const { path, silentMs } = this.#options;
    const since = unixMs();
    const message = `who publishes to /${path} is connected, but silent for ${silentMs / 1000} s`;
    const cause = { code: "camera_stalled", message } as const;
    this.#tell({ at: "stalled", since, cause, attempt: 0, nextAttempt: since });
  }

  /** Nothing comes any more. Idempotent. */
  end(how: PublishEnd): void {
    const { at } = this.#state;
    if (at === "over") return;
    this.#state = { at: "over" };
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    if (this.#expiring !== null) clearTimeout(this.#expiring);
    if (how === "replaced") this.#options.onReplaced();
    if (at === "announced") return;
    const { target, path } = this.#options;
    target.stream.restart();
    const since = unixMs();
    if (how === "finished") this.#tell({ at: "ended", since });
    else if (how === "lost") {
      const message = `the connection of who published to /${path} was lost; send again`;
      const cause = { code: "camera_closed", message } as const;
      this.#tell({ at: "reconnecting", since, cause, attempt: 0, nextAttempt: since });
    }
  }

  #tell(state: CameraState): void {
    this.#options.target.onState(state);
  }
}

/** Who publishes where: one at a time per path. */
export class Publishers {
  readonly #byPath = new Map<string, Publisher>();

  get paths(): string[] {
    return [...this.#byPath.keys()];
  }

  /** True when nobody else sends to the path. One who is silent is replaced. */
  claim(publisher: Publisher, now: Millis): boolean {
    const other = this.#byPath.get(publisher.path);
    if (other !== undefined && !other.isSilent(now)) return false;
    other?.end("replaced");
    this.#byPath.set(publisher.path, publisher);
    return true;
  }

  release(publisher: Publisher): void {
    if (this.#byPath.get(publisher.path) === publisher) this.#byPath.delete(publisher.path);
  }
}
