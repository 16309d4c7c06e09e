/**
 * The pictures of a group of cameras, decoded in one process: one device serves them all, and a
 * crash takes down this group alone.
 *
 * @module
 */
import type { Fault } from "../core/fault.ts";
import { SOFTWARE, VideoDecoder } from "../native/av-decode.ts";
import { findHardwareDevices, HardwareDevices } from "../native/av-device.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import type { DecoderStats } from "../process/protocol.ts";
import type { VideoCodec } from "../rtp/track-format.ts";
import type { FrameFormat, FrameSink, Unit } from "../stream/sinks.ts";
import type { UnitReceiver } from "../stream/unit-intake.ts";
import { type Hello, type TrackKind, videoCodecOf } from "../stream/unit-wire.ts";
import type { Log } from "../telemetry/log.ts";
import { CameraDecoder } from "./camera-decoder.ts";

export interface DecodeGroupOptions {
  /** Looks for a device that decodes; otherwise the processor does. */
  readonly hardware: boolean;
  /** Where a camera's pictures of one format go; closed by the group. */
  readonly openSink: (camera: string, format: FrameFormat) => FrameSink;
  readonly log: Log;
}

export class DecodeGroup implements UnitReceiver, Disposable {
  readonly #options: DecodeGroupOptions;
  readonly #cameras = new Map<string, CameraDecoder>();
  /** What the units of each camera are encoded in, as far as they have come. */
  readonly #codecs = new Map<string, VideoCodec>();
  readonly #devices: HardwareDevices;
  #closed = false;

  /** Looking for a device takes up to a second. */
  constructor(options: DecodeGroupOptions) {
    this.#options = options;
    this.#devices = options.hardware ? findHardwareDevices() : HardwareDevices.none();
    for (const trial of this.#devices.trials) {
      options.log.debug("decoding device tried", { ...trial });
    }
    options.log.info("decoding", {
      h264: this.#deviceName("h264"),
      h265: this.#deviceName("h265"),
    });
  }

  /**
   * Decodes the camera into these formats from its next picture on; none ends it.
   *
   * @throws Fault `native_unavailable`, `decode_failed`
   */
  decode(camera: string, formats: readonly FrameFormat[]): void {
    if (formats.length === 0) {
      this.#cameras.get(camera)?.close();
      this.#cameras.delete(camera);
      return;
    }
    const decoder = this.#cameras.get(camera) ?? this.#open(camera);
    this.#cameras.set(camera, decoder);
    decoder.setFormats(formats);
  }

  /** A camera whose codec is another one from now on gets another decoder. */
  hello({ camera, tracks }: Hello): void {
    const codec = videoCodecOf(tracks);
    if (codec === null) return;
    this.#codecs.set(camera, codec);
    const decoder = this.#cameras.get(camera);
    if (decoder && decoder.codec !== codec) this.#reopen(camera, decoder);
  }

  /** Sound, and units of cameras that nobody asked for, are ignored. */
  unit(camera: string, unit: Unit, kind: TrackKind): void {
    if (kind === "video") this.#guarded(camera, (decoder) => decoder.unit(unit));
  }

  replayEnded(camera: string): void {
    this.#guarded(camera, (decoder) => decoder.replayEnded());
  }

  /** Counters since the start; times since the last call. */
  takeStats(): DecoderStats[] {
    return [...this.#cameras.values()].map((decoder) => decoder.takeStats());
  }

  /** Frees every decoder and the device. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const decoder of this.#cameras.values()) decoder.close();
    this.#cameras.clear();
    this.#devices[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A bug met with one camera's stream costs that camera its decoder, and nobody else anything. */
  #guarded(camera: string, use: (decoder: CameraDecoder) => void): void {
    const decoder = this.#cameras.get(camera);
    if (!decoder) return;
    try {
      use(decoder);
    } catch (thrown) {
      const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
      this.#options.log.error("bug, decoder made anew", { camera, stack });
      this.#reopen(camera, decoder);
    }
  }

  #reopen(camera: string, decoder: CameraDecoder): void {
    const formats = decoder.formats;
    this.decode(camera, []);
    this.decode(camera, formats);
  }

  #deviceName(codec: VideoCodec): string {
    return this.#devices.for(codec)?.name ?? SOFTWARE;
  }

  #open(camera: string): CameraDecoder {
    const { openSink, log } = this.#options;
    // Whoever asks for pictures may be quicker than the camera; most are H.264.
    const codec = this.#codecs.get(camera) ?? "h264";
    const fault = ({ code, message }: Fault): void => log.warn(message, { camera, code });
    return new CameraDecoder({
      camera,
      codec,
      device: this.#devices.for(codec),
      openDecoder: (codec, device) => new VideoDecoder(codec, device),
      openSink: (format) => openSink(camera, format),
      fault,
      now: monotonicMs,
      unixNow: unixMs,
    });
  }
}
