/**
 * Decoding of video by libav, which node-av brings along: one access unit in, one picture out,
 * scaled straight into the caller's memory. Everything is freed by `close`, not by the collector.
 *
 * @module
 */
import {
  AV_CODEC_FLAG_LOW_DELAY,
  AV_CODEC_ID_H264,
  AV_CODEC_ID_HEVC,
  AV_CODEC_ID_MJPEG,
  AV_CODEC_ID_VP8,
  AV_FRAME_FLAG_CORRUPT,
  AV_FRAME_FLAG_KEY,
  AV_LOG_QUIET,
  AV_PIX_FMT_BGR24,
  type AVHWDeviceType,
  type AVPixelFormat,
  FF_HWDEVICE_TYPE_QSV,
} from "node-av/constants";
import { Codec, CodecContext, Frame, type HardwareDeviceContext, Log, Packet } from "node-av/lib";
import { assert, Fault } from "../core/fault.ts";
import type { VideoCodec } from "../rtp/track-format.ts";
import { Scalers } from "./av-scale.ts";

/** A device that decodes one codec, opened by av-device.ts; it serves all decoders of a process. */
export interface HardwareDevice {
  /** libav's name, such as `cuda`. */
  readonly name: string;
  readonly type: AVHWDeviceType;
  readonly context: HardwareDeviceContext;
  readonly decoder: Codec;
  /** Of pictures that stay on the device. */
  readonly pixelFormat: AVPixelFormat;
}

/** What decodes when no device does. */
export const SOFTWARE = "software";

const BGR_BYTES = 3;

/** The picture that `receive` brought. */
export interface Picture {
  /** The number its access unit was sent with. */
  readonly sequence: number;
  readonly width: number;
  readonly height: number;
  /** Coded without reference to other pictures. */
  readonly keyframe: boolean;
  /** The decoder met an error in it. Says nothing of errors in pictures that it refers to. */
  readonly faulty: boolean;
}

const CODEC_IDS = {
  h264: AV_CODEC_ID_H264,
  h265: AV_CODEC_ID_HEVC,
  mjpeg: AV_CODEC_ID_MJPEG,
  vp8: AV_CODEC_ID_VP8,
} as const satisfies Record<VideoCodec, unknown>;

/** A decoded picture in memory, as libav keeps it; for encoders (av-encode.ts). */
export type PictureFrame = Frame;

/** The software decoder. @throws Fault `native_unavailable` */
export function softwareDecoder(codec: VideoCodec): Codec {
  const found = Codec.findDecoder(CODEC_IDS[codec]);
  if (found) return found;
  const message = `This node-av has no ${codec} decoder: install the one named in package.json.`;
  throw new Fault("native_unavailable", message);
}

/** One camera's decoder. */
export interface PictureDecoder {
  /** What decoded the last picture: libav may fall back to the processor without a word. */
  readonly device: string;
  /** How many pictures the stream lets the decoder hold back to bring them into order. */
  readonly reorderPictures: number;
  /**
   * Decodes one access unit, borrowed: Annex B, a JPEG file, a VP8 frame. `sequence` comes back with
   * its picture. False when the decoder met an error so early that no picture can come of it.
   */
  send(unit: Uint8Array, sequence: number): boolean;
  /** Takes the next picture, `null` when there is none yet. */
  receive(): Picture | null;
  /**
   * Writes the picture of the last `receive` to `target` as BGR24, rows without padding. Up to 64
   * bytes behind it may be overwritten too, and must be mapped. False when the device did not hand
   * the picture out.
   */
  scale(target: Uint8Array, width: number, height: number): boolean;
  /** The picture of the last `receive`, borrowed until the next; `null` as `scale` says false. */
  frame(): PictureFrame | null;
  /** Forgets every reference and held-back picture; the next unit must be a keyframe. */
  flush(): void;
  /** Frees everything. Idempotent. */
  close(): void;
}

export class VideoDecoder implements PictureDecoder, Disposable {
  readonly #context = new CodecContext();
  readonly #packet = new Packet();
  readonly #frame = new Frame();
  /** A picture brought from the device; allocated when the first one is. */
  #downloaded: Frame | null = null;
  #isDownloaded = false;
  readonly #device: HardwareDevice | null;
  readonly #scalers = new Scalers();
  #hasPicture = false;
  #onDevice = false;
  #closed = false;

  /**
   * @param device decodes this codec; `null` for the processor. Stays open longer than this decoder
   * @throws Fault `native_unavailable`, or `decode_failed` when the device does not take a decoder
   */
  constructor(codec: VideoCodec, device: HardwareDevice | null) {
    Log.setLevel(AV_LOG_QUIET); // It writes a line for every lost packet; those are counted here.
    this.#device = device;
    const decoder = device?.decoder ?? softwareDecoder(codec);
    const context = this.#context;
    context.allocContext3(decoder);
    // One thread: more would each hold a picture back, and a process has many cameras to spread.
    context.threadCount = 1;
    context.flags = AV_CODEC_FLAG_LOW_DELAY;
    if (device) {
      context.hwDeviceCtx = device.context;
      context.setHardwarePixelFormat(device.pixelFormat);
      // Quick Sync works on four pictures at once otherwise, which are four pictures of delay.
      if (device.name === FF_HWDEVICE_TYPE_QSV) context.setOption("async_depth", "1");
    }
    // Otherwise these show pictures that they know to be broken. H.264 flags them, and decodes more.
    if (codec !== "h264") context.setOption("err_detect", "explode");
    // Never with a Dictionary: node-av 6.1.1 crashes when that is collected.
    const code = context.open2Sync(decoder, null);
    if (code < 0) {
      context.freeContext();
      const where = device ? `on ${device.name}` : "in software";
      throw new Fault("decode_failed", `No ${codec} decoder ${where} (libav error ${code}).`);
    }
    this.#packet.alloc();
    this.#frame.alloc();
  }

  get device(): string {
    return this.#onDevice && this.#device ? this.#device.name : SOFTWARE;
  }

  get reorderPictures(): number {
    return this.#context.hasBFrames;
  }

  send(unit: Uint8Array, sequence: number): boolean {
    const packet = this.#packet;
    packet.data = Buffer.from(unit.buffer, unit.byteOffset, unit.length);
    packet.pts = BigInt(sequence);
    const code = this.#context.sendPacketSync(packet);
    packet.unref();
    return code >= 0;
  }

  receive(): Picture | null {
    const frame = this.#frame;
    this.#isDownloaded = false;
    // An error leaves its unit without a picture, which is how the caller learns of it.
    this.#hasPicture = this.#context.receiveFrameSync(frame) >= 0;
    if (!this.#hasPicture) return null;
    this.#onDevice = frame.isHwFrame();
    return {
      sequence: Number(frame.pts),
      width: frame.width,
      height: frame.height,
      keyframe: frame.hasFlags(AV_FRAME_FLAG_KEY),
      faulty: frame.decodeErrorFlags !== 0 || frame.hasFlags(AV_FRAME_FLAG_CORRUPT),
    };
  }

  scale(target: Uint8Array, width: number, height: number): boolean {
    const frame = this.frame();
    const planes = frame?.data;
    if (!frame || !planes) return false;
    const rows = Buffer.from(target.buffer, target.byteOffset, width * height * BGR_BYTES);
    const scaler = this.#scalers.for(frame, width, height, AV_PIX_FMT_BGR24);
    const strides = [width * BGR_BYTES];
    return scaler.scaleSync(planes, frame.linesize, 0, frame.height, [rows], strides) === height;
  }

  frame(): PictureFrame | null {
    assert(this.#hasPicture, "a picture is asked for after it was received");
    return this.#onDevice ? this.#download() : this.#frame;
  }

  flush(): void {
    this.#context.flushBuffers();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#hasPicture = false;
    this.#scalers[Symbol.dispose]();
    this.#downloaded?.free();
    this.#frame.free();
    this.#packet.free();
    this.#context.freeContext();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The picture in memory; brought there once, whatever it is scaled to. */
  #download(): Frame | null {
    if (this.#downloaded === null) {
      this.#downloaded = new Frame();
      this.#downloaded.alloc();
    }
    if (!this.#isDownloaded) {
      this.#downloaded.unref();
      this.#isDownloaded = this.#frame.hwframeTransferDataSync(this.#downloaded, 0) >= 0;
    }
    return this.#isDownloaded ? this.#downloaded : null;
  }
}
