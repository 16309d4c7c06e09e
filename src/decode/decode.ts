/**
 * The pictures of a group of cameras, decoded in one process: one device serves them all, and a
 * crash takes down this group alone.
 *
 * @module
 */
import type { Fault } from "../core/fault.ts";
import { type HardwareDevice, VideoDecoder } from "../native/av-decode.ts";
import { findHardwareDevice } from "../native/av-device.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import type { DecoderStats } from "../process/protocol.ts";
import type { FrameFormat, FrameSink, Unit } from "../stream/sinks.ts";
import type { UnitReceiver } from "../stream/unit-intake.ts";
import type { TrackKind } from "../stream/unit-wire.ts";
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
  readonly #device: HardwareDevice | null;
  #closed = false;

  /** Looking for a device takes up to a second. */
  constructor(options: DecodeGroupOptions) {
    this.#options = options;
    const { device, trials } = options.hardware
      ? findHardwareDevice()
      : { device: null, trials: [] };
    for (const trial of trials) options.log.debug("decoding device tried", { ...trial });
    options.log.info("decoding", { device: device?.name ?? "software" });
    this.#device = device;
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

  hello(): void {
    // Decoders are made for what was asked for, not for what comes.
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
    this.#device?.context.free();
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
      const formats = decoder.formats;
      this.decode(camera, []);
      this.decode(camera, formats);
    }
  }

  #open(camera: string): CameraDecoder {
    const { openSink, log } = this.#options;
    const fault = ({ code, message }: Fault): void => log.warn(message, { camera, code });
    return new CameraDecoder({
      camera,
      device: this.#device,
      openDecoder: (device) => new VideoDecoder(device),
      openSink: (format) => openSink(camera, format),
      fault,
      now: monotonicMs,
      unixNow: unixMs,
    });
  }
}
