/**
 * One camera in the codecs that its viewers take: decoded once, encoded once for each. Nothing that
 * may be wrong is encoded, and what is late is left out.
 *
 * @module
 */
import type { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { VideoDecoder } from "../native/av-decode.ts";
import { findHardwareDevices, HardwareDevices } from "../native/av-device.ts";
import type { ViewerCodec } from "../native/av-encoders.ts";
import type { SoundFormat } from "../native/av-opus.ts";
import type { LagPace } from "../picture/lag.ts";
import { type Outcome, type TakePicture, TrackDecoder } from "../picture/track-decoder.ts";
import type { RenditionCodec, RenditionStats, TranscoderStats } from "../process/protocol.ts";
import { isVideoCodec, type VideoCodec } from "../rtp/track-format.ts";
import type { Unit } from "../stream/sinks.ts";
import type { UnitReceiver } from "../stream/unit-intake.ts";
import { type Hello, type TrackKind, videoCodecOf } from "../stream/unit-wire.ts";
import { SoundRendition } from "./sound-rendition.ts";
import { VideoRendition } from "./video-rendition.ts";

/**
 * Two pictures wait when one is 0.1 s late: a viewer who watches live rather misses one. On a machine
 * that cannot keep up at all, some pictures a second are better than none.
 */
const PACE: LagPace = { skipMs: 100, freezeMs: 400 };

export interface TranscoderOptions {
  readonly camera: string;
  /** Decodes and encodes on hardware where that works. */
  readonly hardware: boolean;
  /** Wider pictures are scaled down to this. */
  readonly widthMax: Readonly<Record<ViewerCodec, number>>;
  /** Takes each unit of a rendition, borrowed. */
  readonly emit: (codec: RenditionCodec, unit: Unit) => void;
  /** Hears of what a person should know. */
  readonly fault: (fault: Fault) => void;
  readonly now: () => Millis;
}

export class Transcoder implements UnitReceiver, Disposable {
  readonly #options: TranscoderOptions;
  readonly #devices: HardwareDevices;
  #video: VideoCodec | null = null;
  #sound: SoundFormat | null = null;
  #decoder: TrackDecoder | null = null;
  readonly #renditions = new Map<ViewerCodec, VideoRendition>();
  #wantsSound = false;
  #soundRendition: SoundRendition | null = null;

  /** Looking for devices takes up to a second. */
  constructor(options: TranscoderOptions) {
    this.#options = options;
    this.#devices = options.hardware ? findHardwareDevices() : HardwareDevices.none();
  }

  /**
   * What is encoded from the next picture and sound on.
   *
   * @throws Fault `native_unavailable` when nothing here encodes or decodes it
   */
  want(codecs: readonly RenditionCodec[]): void {
    for (const codec of ["h264", "vp8"] as const) this.#wantVideo(codec, codecs.includes(codec));
    this.#wantsSound = codecs.includes("opus");
    this.#openDecoder();
    this.#openSound();
  }

  /** A viewer needs a keyframe. */
  keyframe(codec: RenditionCodec): void {
    if (codec !== "opus") this.#renditions.get(codec)?.keyframe();
  }

  /** A source in other codecs begins anew; renditions go on. */
  hello({ tracks }: Hello): void {
    const sound = tracks.find((track): track is SoundFormat => !isVideoCodec(track.codec)) ?? null;
    this.#video = videoCodecOf(tracks);
    this.#sound = sound;
    this.#closeSource();
    this.#openDecoder();
    this.#openSound();
  }

  unit(_camera: string, unit: Unit, kind: TrackKind): void {
    if (kind === "video") this.#decoder?.unit(unit);
    else this.#soundRendition?.unit(unit, this.#options.now);
  }

  replayEnded(): void {
    this.#decoder?.replayEnded();
  }

  /** Counters since the start; times since the last call. */
  takeStats(): TranscoderStats {
    const renditions: RenditionStats[] = [...this.#renditions.values()].map((one) =>
      one.takeStats(),
    );
    if (this.#soundRendition) renditions.push(this.#soundRendition.takeStats());
    const { camera } = this.#options;
    return { decoder: this.#decoder && { camera, ...this.#decoder.takeStats() }, renditions };
  }

  /** Frees everything. Idempotent. */
  close(): void {
    this.#closeSource();
    for (const rendition of this.#renditions.values()) rendition.close();
    this.#renditions.clear();
    this.#devices[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #wantVideo(codec: ViewerCodec, wanted: boolean): void {
    const rendition = this.#renditions.get(codec);
    if (wanted === (rendition !== undefined)) return;
    if (rendition) {
      rendition.close();
      this.#renditions.delete(codec);
      return;
    }
    const { hardware, fault, emit, widthMax } = this.#options;
    const made = new VideoRendition({
      codec,
      hardware,
      widthMax: widthMax[codec],
      emit: (unit) => emit(codec, unit),
      fault,
    });
    this.#renditions.set(codec, made);
  }

  /** Decodes while somebody wants pictures, and only then. */
  #openDecoder(): void {
    const wanted = this.#renditions.size > 0 && this.#video !== null;
    if (wanted === (this.#decoder !== null)) return;
    this.#decoder?.close();
    this.#decoder = null;
    if (!wanted || this.#video === null) return;
    const { camera, fault, now } = this.#options;
    this.#decoder = new TrackDecoder({
      camera,
      codec: this.#video,
      device: this.#devices.for(this.#video),
      openDecoder: (codec, device) => new VideoDecoder(codec, device),
      picture: this.#encode,
      pace: PACE,
      fault,
      now,
    });
  }

  #openSound(): void {
    const wanted = this.#wantsSound && this.#sound !== null;
    if (wanted === (this.#soundRendition !== null)) return;
    this.#soundRendition?.[Symbol.dispose]();
    this.#soundRendition = null;
    if (!wanted || this.#sound === null) return;
    const { emit } = this.#options;
    this.#soundRendition = new SoundRendition(this.#sound, (unit) => emit("opus", unit));
  }

  #closeSource(): void {
    this.#decoder?.close();
    this.#decoder = null;
    this.#soundRendition?.[Symbol.dispose]();
    this.#soundRendition = null;
  }

  readonly #encode: TakePicture = (_picture, decoder, facts): Outcome => {
    const frame = decoder.frame();
    if (frame === null) return "unreadable";
    let outcome: Outcome = "unused";
    for (const rendition of this.#renditions.values()) {
      if (rendition.picture(frame, facts, this.#options.now)) outcome = "delivered";
    }
    return outcome;
  };
}
