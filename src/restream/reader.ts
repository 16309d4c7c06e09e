/** One reader's session: the tracks of a stream that it set up, and is sent while it plays. */
import { assert } from "../core/fault.ts";
import type { Codec } from "../rtp/track-format.ts";
import { writeSdp } from "../rtsp/sdp.ts";
import type { TrackStart } from "../rtsp/server-session.ts";
import { formatOf } from "../rtsp/track-formats.ts";
import type { Track } from "../stream/track.ts";
import type { Audiences } from "./audiences.ts";
import { newestGroup, packetBeside } from "./beginning.ts";
import type { Lease } from "./options.ts";
import { type Carrier, Sender } from "./sender.ts";
import { SessionClock } from "./session-clock.ts";

/** Payload types that RFC 3551 section 6 fixes. */
const STATIC_TYPES: Partial<Record<Codec, number>> = { pcmu: 0, pcma: 8, g722: 9, mjpeg: 26 };
/** The first of those that sessions may give to what they like. */
const DYNAMIC_TYPES = { video: 96, audio: 97 } as const;

/** Counters of a path since its first reader; they only grow. */
export interface ReadCounters {
  sessions: number;
  packets: number;
  /** Payload bytes. */
  bytes: number;
  /** Access units that slow readers did not get, each reader's counted. */
  droppedUnits: number;
}

/** What a session is made of. */
export interface ReaderOptions {
  readonly path: string;
  /** Released when the session is closed. */
  readonly lease: Lease;
  readonly audiences: Audiences;
  readonly counters: ReadCounters;
  /** The stream ended: the connection is to be closed, so that the player asks again. */
  readonly onEnd: () => void;
  /** A bug of ours ended the session. */
  readonly onBug: (error: unknown) => void;
}

/** A track as it was described. */
interface Offered {
  readonly control: "video" | "audio";
  readonly track: Track;
  readonly payloadType: number;
}

/** A track that was set up. */
interface Leg {
  readonly control: string;
  readonly sender: Sender;
  readonly close: () => void;
  /** Ends the sending; `null` while paused. */
  leave: (() => void) | null;
}

export class Reader {
  readonly path: string;
  readonly #options: ReaderOptions;
  readonly #offered: readonly Offered[];
  readonly #legs: Leg[] = [];
  readonly #clock = new SessionClock();
  #closed = false;

  constructor(options: ReaderOptions) {
    this.path = options.path;
    this.#options = options;
    const { video, audio } = options.lease.stream;
    this.#offered = [video, audio].filter((track) => track !== null).map(offered);
  }

  /** True once a track was set up. */
  get isSetUp(): boolean {
    return this.#legs.length > 0;
  }

  /** The session description, with the parameter sets in force now. */
  describe(): string {
    const media = this.#offered.map(({ control, track, payloadType }) => {
      const current = { ...track.format, parameterSets: track.parameterSets };
      return { kind: control, control, format: formatOf(current, payloadType) };
    });
    return writeSdp(this.path, media);
  }

  /** True when there is such a track, and it was not set up yet. */
  offers(control: string): boolean {
    const offer = this.#find(control);
    return offer !== null && !this.#legs.some((leg) => leg.sender.track === offer.track);
  }

  /**
   * Sets a track up. Returns the SSRC of its packets.
   *
   * @param close called with the session's end
   */
  setup(control: string, carrier: Carrier, close: () => void): number {
    const offer = this.#find(control);
    assert(offer !== null, "what is set up is offered");
    const [ssrc = 0, random = 0] = crypto.getRandomValues(new Uint32Array(2));
    const sender = new Sender({
      track: offer.track,
      carrier,
      clock: this.#clock,
      ssrc,
      payloadType: offer.payloadType,
      firstSequence: random & 0x7fff,
    });
    this.#legs.push({ control, sender, close, leave: null });
    return ssrc;
  }

  /** True when the stream still has the tracks that were described. */
  get isCurrent(): boolean {
    const { video, audio } = this.#options.lease.stream;
    return this.#offered.every(({ track }) => track === video || track === audio);
  }

  /**
   * Decides where each track begins; `join` sends. With `gop`, that is the last keyframe, and sound
   * from the same moment on; otherwise the next one.
   */
  start(gop: boolean): TrackStart[] {
    const video = this.#leg("video");
    const first = gop && video ? newestGroup(video.sender.track) : -1;
    return this.#legs.flatMap((leg) => {
      const { track } = leg.sender;
      if (leg === video) return begun(leg, first);
      const beside = video && first >= 0 ? packetBeside(track, video.sender.track, first) : -1;
      return begun(leg, beside >= 0 ? beside : track.keyframe);
    });
  }

  /** Sends from where `start` decided. */
  join(): void {
    const { audiences, onEnd, onBug, counters } = this.#options;
    counters.sessions++;
    for (const leg of this.#legs) {
      leg.leave ??= audiences.join(leg.sender.track, {
        sender: leg.sender,
        ended: onEnd,
        failed: onBug,
      });
    }
  }

  /** Sends no more, until the next `start` and `join`. */
  pause(): void {
    for (const leg of this.#legs) {
      leg.leave?.();
      leg.leave = null;
    }
  }

  /** The last words, when it is the stream that ended. */
  goodbye(): void {
    for (const { sender } of this.#legs) sender.goodbye();
  }

  /** Adds what was sent since the last call to the counters. */
  count(): void {
    const { counters } = this.#options;
    for (const { sender } of this.#legs) sender.take(counters);
  }

  /** Releases everything. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.pause();
    this.count();
    for (const { close } of this.#legs) close();
    this.#options.lease.release();
  }

  #find(control: string): Offered | null {
    // A stream of one track may be set up by its own address.
    if (control === "" && this.#offered.length === 1) return this.#offered[0] ?? null;
    return this.#offered.find((offer) => offer.control === control) ?? null;
  }

  #leg(kind: "video" | "audio"): Leg | null {
    return this.#legs.find(({ sender }) => sender.track.format.kind === kind) ?? null;
  }
}

function offered(track: Track): Offered {
  const { kind, codec, clockHz, channels } = track.format;
  // Their clock is fixed too: 8 kHz and one channel for sound.
  const usual = kind === "video" || (clockHz === 8_000 && channels === 1);
  const fixed = usual ? STATIC_TYPES[codec] : undefined;
  return { control: kind, track, payloadType: fixed ?? DYNAMIC_TYPES[kind] };
}

/** Begins at a packet, or with the next keyframe when there is none to begin with. */
function begun({ control, sender }: Leg, first: number): TrackStart[] {
  if (first >= 0) return [{ control, ...sender.startAt(first) }];
  sender.startLater();
  return [];
}
