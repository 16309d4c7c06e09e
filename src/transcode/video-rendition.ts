/** One camera's video in another codec: believed pictures in, access units out. */
import { Fault } from "../core/fault.ts";
import { type RtpTicks, ticksBetween, VIDEO_CLOCK_HZ } from "../core/units.ts";
import type { PictureFrame } from "../native/av-decode.ts";
import { VideoEncoder } from "../native/av-encode.ts";
import { type EncoderSearch, findVideoEncoder, type ViewerCodec } from "../native/av-encoders.ts";
import { Meter } from "../picture/meter.ts";
import type { PictureFacts } from "../picture/track-decoder.ts";
import type { RenditionStats } from "../process/protocol.ts";
import type { Unit } from "../stream/sinks.ts";

/** A viewer that lost a picture waits for the next keyframe this long at most. */
const KEYFRAME_INTERVAL_TICKS = 2 * VIDEO_CLOCK_HZ;
/** Many viewers that ask at once get one, and none can make the stream all keyframes. */
const KEYFRAME_SPACING_TICKS = 0.3 * VIDEO_CLOCK_HZ;
/** What a viewer sees well: 1080p25 gets 4.1 Mbps, 720p25 1.8. */
const BITS_PER_PIXEL = 0.08;
const BITRATE_FPS = 25;
/** Below this, text and edges fall apart at any size. */
const BITRATE_MIN = 300_000;
/** Pictures in the encoder: none after each call, for an encoder that keeps its promise. */
const PENDING_MAX = 16;
/** A picture from further back is not an old one but another clock. */
const BACKWARDS_TICKS_MAX = 10 * VIDEO_CLOCK_HZ;

export interface VideoRenditionOptions {
  readonly codec: ViewerCodec;
  /** Wider pictures are scaled down to this. */
  readonly widthMax: number;
  /** Tries hardware first. */
  readonly hardware: boolean;
  /** Takes each unit, borrowed. */
  readonly emit: (unit: Unit) => void;
  /** Hears of what a person should know. */
  readonly fault: (fault: Fault) => void;
}

export class VideoRendition implements Disposable {
  readonly #options: VideoRenditionOptions;
  #search: EncoderSearch;
  #encoder: VideoEncoder | null = null;
  /** By the ticks that the encoder knows them by. */
  readonly #pending = new Map<number, PictureFacts["unit"]>();
  #keyframeWanted = true;
  #keyframeTicks = 0;
  /** Of the last picture that was sent to the encoder: ticks since the first one. */
  #ticks = 0;
  #timestamp: RtpTicks | null = null;
  #units = 0;
  #bytes = 0;
  #failures = 0;
  readonly #encodeMs = new Meter();

  /** @throws Fault `native_unavailable` when nothing here encodes this codec */
  constructor(options: VideoRenditionOptions) {
    this.#options = options;
    this.#search = findVideoEncoder(options.codec, options.hardware);
  }

  /** The next picture becomes a keyframe, or one soon after when there has just been one. */
  keyframe(): void {
    this.#keyframeWanted = true;
  }

  /**
   * Encodes a picture, borrowed, and hands out what comes of it before it returns. False when
   * nothing does.
   *
   * @param now reads a clock, to measure with
   */
  picture(frame: PictureFrame, facts: PictureFacts, now: () => number): boolean {
    const { unit } = facts;
    if (this.#isOld(unit.timestamp)) return false;
    const started = now();
    const encoder = this.#encoderFor(frame);
    if (encoder === null) return false;
    this.#follow(unit.timestamp);
    const keyframe = this.#isKeyframeDue();
    this.#pending.set(this.#ticks, unit);
    if (this.#pending.size > PENDING_MAX || !encoder.send(frame, this.#ticks, keyframe)) {
      this.#failed();
      return false;
    }
    if (keyframe) this.#keyframeServed();
    const before = this.#units;
    this.#handOut(encoder);
    this.#encodeMs.add(now() - started);
    return this.#units > before;
  }

  /** Counters since the start; times since the last call. */
  takeStats(): RenditionStats {
    return {
      codec: this.#options.codec,
      encoder: this.#search.encoder.name,
      width: this.#encoder?.width ?? 0,
      height: this.#encoder?.height ?? 0,
      units: this.#units,
      bytes: this.#bytes,
      encodeMs: this.#encodeMs.take(),
    };
  }

  /** Frees the encoder. Idempotent. */
  close(): void {
    this.#encoder?.close();
    this.#encoder = null;
    this.#search[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A replay repeats pictures that viewers have seen. */
  #isOld(timestamp: RtpTicks): boolean {
    if (this.#timestamp === null) return false;
    const step = ticksBetween(timestamp, this.#timestamp);
    return step <= 0 && step > -BACKWARDS_TICKS_MAX;
  }

  /** Encoders want times that grow, whatever became of the camera's clock. */
  #follow(timestamp: RtpTicks): void {
    if (this.#timestamp !== null) {
      this.#ticks += Math.max(1, ticksBetween(timestamp, this.#timestamp));
    }
    this.#timestamp = timestamp;
  }

  #isKeyframeDue(): boolean {
    const since = this.#ticks - this.#keyframeTicks;
    const wanted = this.#keyframeWanted && since >= KEYFRAME_SPACING_TICKS;
    return this.#units === 0 || wanted || since >= KEYFRAME_INTERVAL_TICKS;
  }

  #keyframeServed(): void {
    this.#keyframeWanted = false;
    this.#keyframeTicks = this.#ticks;
  }

  #handOut(encoder: VideoEncoder): void {
    for (let out = encoder.receive(); out; out = encoder.receive()) {
      const facts = this.#pending.get(out.ticks);
      if (facts === undefined) continue;
      this.#pending.delete(out.ticks);
      this.#failures = 0;
      this.#bytes += out.bytes.length;
      this.#options.emit({
        ...facts,
        bytes: out.bytes,
        length: out.bytes.length,
        sequence: this.#units++,
        keyframe: out.keyframe,
        damaged: false,
        gapBefore: false,
        replayed: false,
      });
    }
  }

  /** The encoder for pictures of this size; another one, which begins anew, when that changed. */
  #encoderFor(frame: PictureFrame): VideoEncoder | null {
    const { width, height } = fit(frame, this.#options.widthMax);
    const { encoder } = this.#search;
    if (this.#encoder?.width === width && this.#encoder.height === height) return this.#encoder;
    this.#encoder?.close();
    this.#encoder = null;
    this.#pending.clear();
    try {
      const bitrate = bitrateFor(width, height);
      this.#encoder = new VideoEncoder({ encoder, width, height, bitrate });
      this.#keyframeTicks = Number.NEGATIVE_INFINITY;
      return this.#encoder;
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      this.#options.fault(thrown);
      this.#failed();
      return null;
    }
  }

  /** Starts the encoder over; in software, when it fails again without a unit in between. */
  #failed(): void {
    this.#encoder?.close();
    this.#encoder = null;
    if (++this.#failures < 2) return;
    const { name } = this.#search.encoder;
    const software = findVideoEncoder(this.#options.codec, false);
    this.#search[Symbol.dispose]();
    this.#search = software;
    if (name === software.encoder.name) return;
    const message = `${name} fails at this camera's pictures: they are encoded in software from now on.`;
    this.#options.fault(new Fault("encode_failed", message));
  }
}

/** Sizes of renditions keep the picture's shape, and are even: colour has half of them. */
function fit(picture: PictureFrame, widthMax: number): { width: number; height: number } {
  const scale = Math.min(1, widthMax / picture.width);
  const even = (length: number): number => Math.max(2, 2 * Math.round((length * scale) / 2));
  return { width: even(picture.width), height: even(picture.height) };
}

function bitrateFor(width: number, height: number): number {
  return Math.max(BITRATE_MIN, Math.round(width * height * BITRATE_FPS * BITS_PER_PIXEL));
}
