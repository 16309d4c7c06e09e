/** Encodes what a camera would send, by the software encoders that node-av brings along. */
import type { CodecContext, Frame, Packet } from "node-av/lib";
import { Fault } from "../core/fault.ts";
import type { VideoCodec } from "../rtp/track-format.ts";

/** H.264 profiles that cameras offer. */
export type H264Profile = "baseline" | "main" | "high";

export interface EncodeOptions {
  readonly codec: VideoCodec;
  /** Even numbers. */
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** Mean bits per second, held within half a second's worth. */
  readonly bitrate: number;
  /** Pictures from one keyframe to the next: always so many, and closed. */
  readonly gopFrames: number;
  /** Pictures to encode. */
  readonly frames: number;
  /** Of H.264; the others have one. */
  readonly profile: H264Profile;
  /** Whether parameter sets stand in front of each keyframe or are only handed out apart. */
  readonly parameterSets: "in band" | "out of band";
  /** As many as the encoder likes unless given; with 1 the same pictures always give the same bytes. */
  readonly threads?: number;
  /**
   * Of H.264 and H.265: this many in a row between others, none unless given. WebRTC cannot carry
   * them.
   */
  readonly bFrames?: number;
}

/**
 * One access unit, owned by whoever asked for it: Annex B for H.264 and H.265, a JPEG file, a VP8
 * frame.
 */
export interface EncodedUnit {
  readonly bytes: Uint8Array;
  readonly keyframe: boolean;
  /** The picture's number. Units come in the order of decoding, which B-frames change. */
  readonly frame: number;
}

export interface EncodedVideo {
  readonly units: readonly EncodedUnit[];
  /** Annex B; holds the parameter sets, possibly among other NAL units. Nothing for other codecs. */
  readonly parameterSets: Uint8Array;
}

export interface EncodeHooks {
  /** Fills `i420` (planar YUV 4:2:0 without padding) with picture `frame`. */
  readonly paint: (frame: number, i420: Uint8Array) => void;
  /** Called after each picture that went in. */
  readonly progress?: (framesDone: number) => void;
}

/** The fastest preset of x264 that still uses CABAC and 8x8 transforms where the profile has them. */
const PRESET = "superfast";
/** x265 takes its time: this one is as fast as the one above. */
const H265_PRESET = "ultrafast";
/** Keyframes stay near a quarter of a second's bits, as cameras' do. */
const BUFFER_SECONDS = 0.5;

type Libav = typeof import("node-av/lib") & typeof import("node-av/constants");

/**
 * Encodes `options.frames` pictures, yielding to the event loop between them.
 *
 * @throws Fault native_unavailable when node-av, or the encoder in it, is missing or refuses the options
 */
export async function encodeVideo(
  options: EncodeOptions,
  hooks: EncodeHooks,
  signal: AbortSignal,
): Promise<EncodedVideo> {
  const libav = await load();
  using resources = new DisposableStack();
  const context = openContext(libav, options, resources);
  const frame = openFrame(libav, options, resources);
  const packet = new libav.Packet();
  packet.alloc();
  resources.defer(() => packet.free());
  const i420 = Buffer.alloc((options.width * options.height * 3) / 2);
  const units: EncodedUnit[] = [];
  for (let number = 0; number < options.frames; number++) {
    signal.throwIfAborted();
    hooks.paint(number, i420);
    // The encoder may still hold the picture before.
    check(frame.makeWritable(), "a writable frame");
    check(frame.fromBuffer(i420), "a picture's bytes");
    frame.pts = BigInt(number);
    check(context.sendFrameSync(frame), "a picture");
    drain(libav, context, packet, units);
    hooks.progress?.(number + 1);
    await new Promise(setImmediate);
  }
  check(context.sendFrameSync(null), "the end of the pictures");
  drain(libav, context, packet, units);
  return { units, parameterSets: parameterSetsOf(context, units) };
}

/** Loaded only when a clip must be made: FFmpeg is large, and a cached clip does without it. */
async function load(): Promise<Libav> {
  try {
    return { ...(await import("node-av/lib")), ...(await import("node-av/constants")) };
  } catch (cause) {
    const todo = "Run `bun install` on a platform that node-av has a binary for.";
    throw new Fault("native_unavailable", `node-av cannot be loaded. ${todo}`, { cause });
  }
}

function openContext(
  libav: Libav,
  options: EncodeOptions,
  resources: DisposableStack,
): CodecContext {
  // libav writes to standard error by itself.
  libav.Log.setLevel(libav.AV_LOG_ERROR);
  const name = encoderName(libav, options.codec);
  const codec = libav.Codec.findEncoderByName(name);
  if (codec === null) {
    const todo = "Install the node-av release named in package.json, whose FFmpeg has it.";
    throw new Fault("native_unavailable", `This node-av has no ${name}. ${todo}`);
  }
  const context = new libav.CodecContext();
  context.allocContext3(codec);
  resources.defer(() => context.freeContext());
  setFormat(libav, context, options);
  // Not as a Dictionary for open2Sync: node-av 6.1.1 crashes when that is collected.
  for (const [option, value] of Object.entries(encoderOptions(options))) {
    check(context.setOption(option, value), `${option} ${value}`);
  }
  check(context.open2Sync(codec, null), "these sizes, rates and profile");
  return context;
}

function encoderName(libav: Libav, codec: VideoCodec) {
  switch (codec) {
    case "h264":
      return libav.FF_ENCODER_LIBX264;
    case "h265":
      return libav.FF_ENCODER_LIBX265;
    case "mjpeg":
      return libav.FF_ENCODER_MJPEG;
    case "vp8":
      return libav.FF_ENCODER_LIBVPX_VP8;
    default:
      return codec satisfies never;
  }
}

function encoderOptions(options: EncodeOptions): Record<string, string> {
  const gop = options.gopFrames;
  const fixedGop = `keyint=${gop}:min-keyint=${gop}:scenecut=0:open-gop=0`;
  switch (options.codec) {
    case "h264": {
      const bFrames = `bframes=${options.bFrames ?? 0}:b-adapt=0`;
      const { profile } = options;
      return { preset: PRESET, profile, "x264-params": `${fixedGop}:${bFrames}` };
    }
    case "h265":
      return { preset: H265_PRESET, ...h265Options(options) };
    case "mjpeg":
      // RFC 2435 knows no other Huffman tables than those of ITU-T T.81 annex K.
      return { huffman: "default" };
    case "vp8":
      return { deadline: "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0" };
    default:
      return options.codec satisfies never;
  }
}

function h265Options({ gopFrames, bFrames = 0, threads }: EncodeOptions): Record<string, string> {
  // x265 keeps a pool of threads beside the frame threads, and writes to standard error.
  const pool = threads === undefined ? "" : ":pools=none:frame-threads=1";
  const gop = `keyint=${gopFrames}:min-keyint=${gopFrames}:scenecut=0:log-level=none:info=0${pool}`;
  // With B-frames groups are open, as x265 has them by itself: pictures refer across keyframes.
  if (bFrames > 0) return { "x265-params": `${gop}:open-gop=1:bframes=${bFrames}:b-adapt=0` };
  return { tune: "zerolatency", "x265-params": `${gop}:open-gop=0:bframes=0` };
}

function pixelFormat(libav: Libav, options: EncodeOptions) {
  return options.codec === "mjpeg" ? libav.AV_PIX_FMT_YUVJ420P : libav.AV_PIX_FMT_YUV420P;
}

function setFormat(libav: Libav, context: CodecContext, options: EncodeOptions): void {
  context.width = options.width;
  context.height = options.height;
  context.timeBase = new libav.Rational(1, options.fps);
  context.framerate = new libav.Rational(options.fps, 1);
  context.pixelFormat = pixelFormat(libav, options);
  const fullRange = options.codec === "mjpeg";
  context.colorRange = fullRange ? libav.AVCOL_RANGE_JPEG : libav.AVCOL_RANGE_MPEG;
  context.colorSpace = libav.AVCOL_SPC_BT709;
  context.colorPrimaries = libav.AVCOL_PRI_BT709;
  context.colorTrc = libav.AVCOL_TRC_BT709;
  context.bitRate = BigInt(options.bitrate);
  context.rcMaxRate = BigInt(options.bitrate);
  context.rcBufferSize = Math.round(options.bitrate * BUFFER_SECONDS);
  context.gopSize = options.gopFrames;
  if (options.threads !== undefined) context.threadCount = options.threads;
  context.maxBFrames = options.bFrames ?? 0;
  if (options.parameterSets === "out of band") context.setFlags(libav.AV_CODEC_FLAG_GLOBAL_HEADER);
}

function openFrame(libav: Libav, options: EncodeOptions, resources: DisposableStack): Frame {
  const frame = new libav.Frame();
  frame.alloc();
  resources.defer(() => frame.free());
  frame.width = options.width;
  frame.height = options.height;
  frame.format = pixelFormat(libav, options);
  check(frame.getBuffer(0), "memory for a picture");
  return frame;
}

/** Takes the units that are ready. */
function drain(libav: Libav, context: CodecContext, packet: Packet, units: EncodedUnit[]): void {
  for (;;) {
    const code = context.receivePacketSync(packet);
    if (code === libav.AVERROR_EAGAIN || code === libav.AVERROR_EOF) return;
    check(code, "to hand out an access unit");
    if (packet.data !== null) {
      const frame = Number(packet.pts);
      units.push({ bytes: Uint8Array.from(packet.data), keyframe: packet.isKeyframe, frame });
    }
    packet.unref();
  }
}

function parameterSetsOf(context: CodecContext, units: readonly EncodedUnit[]): Uint8Array {
  const outOfBand = context.extraData;
  if (outOfBand !== null && outOfBand.length > 0) return Uint8Array.from(outOfBand);
  return units[0]?.bytes ?? new Uint8Array(0);
}

/** libav's convention: negative is an error. `what` completes the sentence "The encoder refused …". */
function check(code: number, what: string): void {
  if (code >= 0) return;
  const todo = "See what libav wrote to standard error; other sizes or rates may work.";
  throw new Fault(
    "native_unavailable",
    `The encoder refused ${what} (libav error ${code}). ${todo}`,
  );
}
