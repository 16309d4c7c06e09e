/**
 * What a viewer is sent of a stream: its tracks as they come, or, where the browser cannot take
 * those, renditions that a transcoding process makes for all such viewers.
 *
 * @module
 */
import { join } from "node:path";
import { Fault } from "../core/fault.ts";
import type { Upstream } from "../ingest/upstream.ts";
import type { RenditionCodec } from "../process/protocol.ts";
import { offeredCodecs } from "../rtc/whep-choice.ts";
import type { WhepOffer } from "../rtc/whep-offer.ts";
import type { AudioCodec, VideoCodec } from "../rtp/track-format.ts";
import { Track } from "../stream/track.ts";
import type { Log, LogOptions } from "../telemetry/log.ts";
import { needsSoundTranscode, needsTranscode } from "../transcode/choice.ts";
import { type Lease, Renditions, type RenditionsStats } from "../transcode/renditions.ts";
import { hasRoom } from "../transcode/room.ts";
import { PictureOrder, profileOf } from "./picture-order.ts";

/** What holds for all transcoding. */
export interface TranscodeConfig {
  /** Cameras whose pictures are transcoded at once; each takes most of a core. 0 for none. */
  readonly camerasMax: number;
  readonly hardware: boolean;
  /** Where sockets go. */
  readonly folder: string;
}

export interface ViewingOptions {
  readonly transcode: TranscodeConfig;
  /** Whether a viewer with this offer can play the track as it is. */
  readonly canPlay: (offer: WhepOffer, track: Track) => boolean;
  /** The track's pictures turn out to come in another order than they are shown in. */
  readonly disordered: (track: Track) => void;
  readonly log: Log;
  readonly childLog: Pick<LogOptions, "level" | "format">;
}

/** The tracks of one viewer. */
export interface ViewerTracks {
  readonly video: Track | null;
  readonly audio: Track | null;
  /** The viewer has gone. Idempotent. */
  release(): void;
}

/** Pixels: VP8 in software takes most of a core at 1280 wide, H.264 at 1920. */
const WIDTH_MAX = { h264: 1920, vp8: 1280 } as const;
/** A dozen pictures of a camera that announces B-frames, and has only just begun to send. */
const ORDER_WAIT_MS = 800;
const ENTRY = join(import.meta.dir, "transcode.ts");

export class Viewing implements AsyncDisposable {
  readonly #config: TranscodeConfig;
  readonly #canPlay: ViewingOptions["canPlay"];
  readonly #disordered: ViewingOptions["disordered"];
  readonly #orders = new WeakMap<Track, PictureOrder>();
  readonly #log: Log;
  readonly #childLog: Pick<LogOptions, "level" | "format">;
  readonly #renditions = new Map<Upstream, Renditions<Track>>();

  constructor({ canPlay, childLog, disordered, log, transcode }: ViewingOptions) {
    this.#disordered = disordered;
    this.#config = transcode;
    this.#canPlay = canPlay;
    this.#log = log;
    this.#childLog = childLog;
  }

  /**
   * Chooses for a viewer with this offer; what the viewer has no use for is `null`.
   *
   * @throws Fault `camera_not_live`, `codec_mismatch`, `limit_reached`
   */
  async tracks(camera: string, upstream: Upstream, offer: WhepOffer): Promise<ViewerTracks> {
    await this.#orderOf(upstream)?.known(ORDER_WAIT_MS);
    if (upstream.closed) throw new Fault("camera_not_live", `\`${camera}\` was closed just now.`);
    // Of the track that it sends by now.
    const hasBFrames = this.#orderOf(upstream)?.found ?? false;
    const leases: Lease<Track>[] = [];
    const acquire = (codec: RenditionCodec): Track => {
      this.#makeRoom(camera, upstream, codec);
      const lease = this.#of(camera, upstream).acquire(codec);
      leases.push(lease);
      return lease.track;
    };
    const release = (): void => {
      for (const lease of leases) lease.release();
    };
    try {
      const { video, audio } = upstream.stream;
      return {
        video: video && this.#video(video, hasBFrames, offer, acquire),
        audio: audio && this.#audio(audio, offer, acquire),
        release,
      };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** The stream's tracks are others now. */
  sourceChanged(upstream: Upstream): void {
    // Before anybody asks: then a viewer is answered at once.
    this.#orderOf(upstream);
    this.#renditions.get(upstream)?.sourceChanged();
  }

  /** The upstream is closed. */
  async forget(upstream: Upstream): Promise<void> {
    const renditions = this.#renditions.get(upstream);
    this.#renditions.delete(upstream);
    await renditions?.close();
  }

  /** Of streams that are transcoded now. */
  stats(): RenditionsStats[] {
    return [...this.#renditions.values()].flatMap((renditions) => renditions.stats() ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#renditions.keys()].map((upstream) => this.forget(upstream)));
  }

  #video(
    track: Track,
    hasBFrames: boolean,
    offer: WhepOffer,
    acquire: (codec: "h264" | "vp8") => Track,
  ): Track | null {
    if (!wants(offer, "video")) return null;
    // Tracks of a kind have codecs of that kind.
    const codec = track.format.codec as VideoCodec;
    const source = { codec, hasBFrames, profile: profileOf(track) };
    const choice = needsTranscode(source, offeredCodecs(offer).video);
    // What they have nothing in common for is said by whoever answers.
    return choice === null || choice === "passthrough" ? track : acquire(choice);
  }

  #audio(track: Track, offer: WhepOffer, acquire: (codec: "opus") => Track): Track | null {
    if (!wants(offer, "audio")) return null;
    const { audio: offered } = offeredCodecs(offer);
    const choice = needsSoundTranscode(track.format.codec as AudioCodec, offered);
    if (choice === null) return null;
    // G.711 of another rate or in stereo is not what browsers mean by it.
    if (choice === "passthrough" && this.#canPlay(offer, track)) return track;
    if (!offered.opus) return null;
    try {
      return acquire("opus");
    } catch (error) {
      // A picture without its sound is better than none.
      if (error instanceof Fault && error.code === "limit_reached") return null;
      throw error;
    }
  }

  #orderOf({ stream }: Upstream): PictureOrder | null {
    const { video } = stream;
    if (video === null) return null;
    let order = this.#orders.get(video);
    if (order === undefined) {
      order = new PictureOrder(video, () => this.#disordered(video));
      this.#orders.set(video, order);
    }
    order.look();
    return order;
  }

  #of(camera: string, upstream: Upstream): Renditions<Track> {
    const known = this.#renditions.get(upstream);
    if (known) return known;
    const { folder, hardware } = this.#config;
    const renditions = new Renditions<Track>({
      camera,
      source: upstream.stream,
      openTrack: (format) => new Track(format),
      settings: { entry: ENTRY, folder, hardware, widthMax: WIDTH_MAX, childLog: this.#childLog },
      log: this.#log,
    });
    this.#renditions.set(upstream, renditions);
    return renditions;
  }

  /** Processes that only linger make way for one that is wanted. */
  #makeRoom(camera: string, upstream: Upstream, codec: RenditionCodec): void {
    const { camerasMax } = this.#config;
    const known = this.#renditions.get(upstream)?.use ?? "nothing";
    // Sound comes along with pictures, and for one more viewer nothing more is transcoded.
    if (known === "pictures" || (known === "sound" && codec === "opus")) return;
    const others = [...this.#renditions].filter(([other]) => other !== upstream);
    const uses = others.map(([, { use }]) => use);
    if (!hasRoom(codec === "opus" ? "sound" : "pictures", uses, camerasMax)) {
      throw full(camera, camerasMax);
    }
    let beside = others.length;
    for (const [other, { use }] of others) {
      if (beside < camerasMax) return;
      if (use !== "nothing") continue;
      void this.forget(other);
      beside--;
    }
  }
}

/** What keeps a camera from being transcoded. */
function full(camera: string, camerasMax: number): Fault {
  const message =
    camerasMax === 0
      ? `\`${camera}\` sends what this browser does not take, and \`transcode.cameras_max\` is 0.`
      : `${camerasMax} cameras are transcoded already: raise \`transcode.cameras_max\`, or close some.`;
  return new Fault("limit_reached", message);
}

function wants({ receiving }: WhepOffer, kind: "video" | "audio"): boolean {
  return receiving.some((section) => section.kind === kind);
}
