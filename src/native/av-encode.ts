/**
 * Encoding for viewers by libav: decoded pictures in, access units out, one for one and at once.
 * Everything is freed by `close`, not by the collector.
 *
 * @module
 */
import {
  AV_LOG_QUIET,
  AV_PICTURE_TYPE_I,
  AV_PICTURE_TYPE_NONE,
  AVCOL_RANGE_MPEG,
  type AVPixelFormat,
} from "node-av/constants";
import {
  type Codec,
  CodecContext,
  Frame,
  type HardwareDeviceContext,
  HardwareFramesContext,
  Log,
  Packet,
  Rational,
} from "node-av/lib";
import { Fault } from "../core/fault.ts";
import { VIDEO_CLOCK_HZ } from "../core/units.ts";
import type { PictureFrame } from "./av-decode.ts";
import { Scalers } from "./av-scale.ts";

/** Rates are kept within this much of what they allow: a keyframe of half a second's bits. */
const BUFFER_SECONDS = 0.5;
/** What encoders plan with until pictures come; time stamps say how fast they really do. */
const NOMINAL_FPS = 25;
/** Keyframes are asked for; an encoder makes one by itself after so many pictures only. */
const GOP_PICTURES_MAX = 10_000;
/** Pictures on a device: one being encoded, one being uploaded, and what the encoder refers to. */
const POOL_PICTURES = 8;
/** A pause is not a picture that lasts: rate control plans with a second at most. */
const DURATION_TICKS_MAX = VIDEO_CLOCK_HZ;

/** An encoder with the settings that make it quick; av-encoders.ts finds the ones that work. */
export interface VideoEncoderKind {
  /** libav's name, such as `libx264`. */
  readonly name: string;
  readonly codec: Codec;
  /** What it takes from memory. */
  readonly pixelFormat: AVPixelFormat;
  /** Where pictures must be put in front, for encoders that do not read memory. */
  readonly device: {
    readonly context: HardwareDeviceContext;
    readonly pixelFormat: AVPixelFormat;
  } | null;
  /** 0 lets the encoder choose. */
  readonly threads: number;
  readonly options: Readonly<Record<string, string>>;
}

export interface VideoEncoderOptions {
  /** What encodes, as `findVideoEncoder` found it. */
  readonly encoder: VideoEncoderKind;
  /** Of the encoded pictures; even numbers. Others are scaled to it. */
  readonly width: number;
  readonly height: number;
  /** Mean bits per second, held within half a second's worth. */
  readonly bitrate: number;
}

/** The access unit that `receive` brought: Annex B with parameter sets in front, or a VP8 frame. */
export interface EncodedPicture {
  /** Borrowed until the next `receive`. */
  readonly bytes: Uint8Array;
  /** Of its picture, as it was sent. */
  readonly ticks: number;
  readonly keyframe: boolean;
}

export class VideoEncoder implements Disposable {
  readonly width: number;
  readonly height: number;
  readonly #options: VideoEncoderOptions;
  readonly #context = new CodecContext();
  readonly #packet = new Packet();
  readonly #scalers = new Scalers();
  /** The scaled picture. */
  readonly #scaled = new Frame();
  /** On the device, for encoders that read nothing else. */
  readonly #uploaded: { readonly frame: Frame; readonly pool: HardwareFramesContext } | null;
  #lastTicks = 0;
  #closed = false;

  /** @throws Fault `encode_failed` when the encoder does not take these sizes and rates */
  constructor(options: VideoEncoderOptions) {
    Log.setLevel(AV_LOG_QUIET);
    const { encoder, width, height } = options;
    this.#options = options;
    this.width = width;
    this.height = height;
    this.#packet.alloc();
    this.#scaled.alloc();
    this.#scaled.width = width;
    this.#scaled.height = height;
    this.#scaled.format = encoder.pixelFormat;
    this.#uploaded = encoder.device === null ? null : this.#openPool(encoder.device);
    this.#context.allocContext3(encoder.codec);
    this.#configure();
    const allocated = this.#scaled.getBuffer(0);
    const code = allocated < 0 ? allocated : this.#context.open2Sync(encoder.codec, null);
    if (code >= 0) return;
    this.close();
    const what = `${width}x${height} at ${options.bitrate} bit/s`;
    throw new Fault(
      "encode_failed",
      `${encoder.name} does not encode ${what} (libav error ${code}).`,
    );
  }

  /**
   * Encodes a picture, borrowed; its time and kind are written into it. `ticks` must grow, and come
   * back with the access unit. False when the encoder refused it.
   *
   * @param ticks of 90 kHz
   */
  send(picture: PictureFrame, ticks: number, keyframe: boolean): boolean {
    const frame = this.#fitted(picture);
    if (frame === null) return false;
    frame.pts = BigInt(ticks);
    frame.duration = BigInt(Math.min(Math.max(1, ticks - this.#lastTicks), DURATION_TICKS_MAX));
    frame.pictType = keyframe ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
    this.#lastTicks = ticks;
    return this.#context.sendFrameSync(frame) >= 0;
  }

  /** Takes the next access unit, `null` when there is none yet. */
  receive(): EncodedPicture | null {
    const packet = this.#packet;
    packet.unref();
    if (this.#context.receivePacketSync(packet) < 0 || packet.data === null) return null;
    return { bytes: packet.data, ticks: Number(packet.pts), keyframe: packet.isKeyframe };
  }

  /** Frees everything. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#scalers[Symbol.dispose]();
    this.#scaled.free();
    this.#packet.free();
    this.#context.freeContext();
    this.#uploaded?.frame.free();
    this.#uploaded?.pool.free();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #configure(): void {
    const { encoder, width, height, bitrate } = this.#options;
    const context = this.#context;
    context.width = width;
    context.height = height;
    context.timeBase = new Rational(1, VIDEO_CLOCK_HZ);
    context.framerate = new Rational(NOMINAL_FPS, 1);
    context.pixelFormat = this.#uploaded?.pool.format ?? encoder.pixelFormat;
    if (this.#uploaded) context.hwFramesCtx = this.#uploaded.pool;
    context.colorRange = AVCOL_RANGE_MPEG;
    context.bitRate = BigInt(bitrate);
    context.rcMaxRate = BigInt(bitrate);
    context.rcBufferSize = Math.round(bitrate * BUFFER_SECONDS);
    context.gopSize = GOP_PICTURES_MAX;
    context.maxBFrames = 0;
    context.threadCount = encoder.threads;
    // Never as a Dictionary: node-av 6.1.1 crashes when that is collected. An option that this
    // release does not know is none that matters: the trial says whether the encoder works.
    for (const [name, value] of Object.entries(encoder.options)) context.setOption(name, value);
  }

  #openPool({ context, pixelFormat }: NonNullable<VideoEncoderKind["device"]>) {
    const { encoder, width, height } = this.#options;
    const pool = new HardwareFramesContext();
    pool.alloc(context);
    pool.format = pixelFormat;
    pool.swFormat = encoder.pixelFormat;
    pool.width = width;
    pool.height = height;
    pool.initialPoolSize = POOL_PICTURES;
    pool.init();
    const frame = new Frame();
    frame.alloc();
    return { frame, pool };
  }

  /** The picture as the encoder takes it. */
  #fitted(picture: PictureFrame): Frame | null {
    const { encoder, width, height } = this.#options;
    const fits =
      picture.width === width &&
      picture.height === height &&
      picture.format === encoder.pixelFormat;
    const frame = fits ? picture : this.#scale(picture, encoder.pixelFormat);
    return frame && this.#uploaded ? this.#upload(frame) : frame;
  }

  #scale(picture: PictureFrame, format: AVPixelFormat): Frame | null {
    // The encoder may still hold the picture before.
    if (this.#scaled.makeWritable() < 0) return null;
    const from = picture.data;
    const to = this.#scaled.data;
    if (from === null || to === null) return null;
    const scaler = this.#scalers.for(picture, this.width, this.height, format);
    const { linesize } = this.#scaled;
    const rows = scaler.scaleSync(from, picture.linesize, 0, picture.height, to, linesize);
    return rows === this.height ? this.#scaled : null;
  }

  #upload(picture: Frame): Frame | null {
    if (!this.#uploaded) return null;
    const { frame, pool } = this.#uploaded;
    frame.unref();
    if (pool.getBuffer(frame, 0) < 0) return null;
    return picture.hwframeTransferDataSync(frame, 0) >= 0 ? frame : null;
  }
}
