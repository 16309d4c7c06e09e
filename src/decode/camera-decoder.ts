/** One camera's pictures: units in, pictures of every wanted size out. */
import { Fault } from "../core/fault.ts";
import type { Millis, UnixMs } from "../core/units.ts";
import type { HardwareDevice, Picture, PictureDecoder } from "../native/av-decode.ts";
import { type Outcome, type PictureFacts, TrackDecoder } from "../picture/track-decoder.ts";
import type { DecoderStats } from "../process/protocol.ts";
import type { VideoCodec } from "../rtp/track-format.ts";
import type { FrameFacts, FrameFormat, FrameSink, Unit } from "../stream/sinks.ts";

/** A full /dev/shm is tried again this often, for each format by itself. */
const SINK_RETRY_MS: Millis = 5_000;

export interface CameraDecoderOptions {
  readonly camera: string;
  readonly codec: VideoCodec;
  /** Decodes where it can; `null` for the processor. */
  readonly device: HardwareDevice | null;
  readonly openDecoder: (codec: VideoCodec, device: HardwareDevice | null) => PictureDecoder;
  readonly openSink: (format: FrameFormat) => FrameSink;
  /** Hears of what a person should know. */
  readonly fault: (fault: Fault) => void;
  readonly now: () => Millis;
  readonly unixNow: () => UnixMs;
}

interface Output {
  readonly format: FrameFormat;
  readonly sink: FrameSink;
  /** When to try again after there was no room. */
  retryAt: Millis;
}

export class CameraDecoder implements Disposable {
  readonly #options: CameraDecoderOptions;
  readonly #track: TrackDecoder;
  #outputs: readonly Output[] = [];

  /** @throws Fault `native_unavailable`, `decode_failed` */
  constructor(options: CameraDecoderOptions) {
    this.#options = options;
    this.#track = new TrackDecoder({
      ...options,
      picture: (picture, decoder, facts) => this.#deliver(picture, decoder, facts),
    });
  }

  get codec(): VideoCodec {
    return this.#options.codec;
  }

  get formats(): readonly FrameFormat[] {
    return this.#outputs.map((output) => output.format);
  }

  /** What the pictures are wanted as, from the next one on. */
  setFormats(formats: readonly FrameFormat[]): void {
    const kept = this.#outputs.filter((output) => formats.some((one) => same(one, output.format)));
    for (const output of this.#outputs) if (!kept.includes(output)) output.sink.close();
    const added = formats.filter((one) => !kept.some((output) => same(one, output.format)));
    const opened = added.map((format) => {
      return { format, sink: this.#options.openSink(format), retryAt: 0 };
    });
    this.#outputs = [...kept, ...opened];
  }

  /** Takes the next unit, borrowed, and decodes it before it returns. */
  unit(unit: Unit): void {
    this.#track.unit(unit);
  }

  /** The units so far were stored ones: the newest of them is worth a picture. */
  replayEnded(): void {
    this.#track.replayEnded();
  }

  /** Counters since the start; times since the last call. */
  takeStats(): DecoderStats {
    return { camera: this.#options.camera, ...this.#track.takeStats() };
  }

  /** Frees the decoder and closes every sink. Idempotent. */
  close(): void {
    this.setFormats([]);
    this.#track.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #deliver(picture: Picture, decoder: PictureDecoder, facts: PictureFacts): Outcome {
    let outcome: Outcome = "unused";
    for (const output of this.#outputs) {
      const { width, height } = fit(picture, output.format.width);
      const target = this.#claim(output, width, height);
      if (target === null) continue;
      if (!decoder.scale(target, width, height)) return "unreadable";
      output.sink.publish(this.#facts(facts, width, height));
      outcome = "delivered";
    }
    return outcome;
  }

  #facts({ unit, ...facts }: PictureFacts, width: number, height: number): FrameFacts {
    return {
      sequence: unit.sequence,
      width,
      height,
      stride: width * 3,
      timestamp: unit.timestamp,
      mediaTicks: facts.mediaTicks,
      captured: unit.captured,
      capturedClock: unit.capturedClock,
      decoded: this.#options.unixNow(),
      keyframe: unit.keyframe,
      damaged: false,
      droppedBefore: facts.droppedBefore,
    };
  }

  /** `null` while there is no room for the picture. */
  #claim(output: Output, width: number, height: number): Uint8Array | null {
    if (this.#options.now() < output.retryAt) return null;
    try {
      return output.sink.claim(width, height);
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      output.retryAt = this.#options.now() + SINK_RETRY_MS;
      this.#track.drop("no_room");
      this.#options.fault(thrown);
      return null;
    }
  }
}

function same(a: FrameFormat, b: FrameFormat): boolean {
  return a.kind === b.kind && a.width === b.width;
}

/** The wanted width in the picture's own shape, never larger than the picture; an even height. */
function fit(picture: Picture, wanted: number): { width: number; height: number } {
  if (wanted >= picture.width) return { width: picture.width, height: picture.height };
  const height = 2 * Math.round((picture.height * wanted) / picture.width / 2);
  return { width: wanted, height: Math.max(2, height) };
}
