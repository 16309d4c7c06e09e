/** H.264 encoding with libx264, which node-av brings along. */
import type { CodecContext, Frame, Packet } from "node-av/lib";
import { Fault } from "../core/fault.ts";

/** H.264 profiles that cameras offer. None is used with B-frames: WebRTC cannot carry them. */
export type H264Profile = "baseline" | "main" | "high";

export interface EncodeOptions {
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
  readonly profile: H264Profile;
  /** Whether SPS and PPS stand in front of each keyframe or are only handed out apart. */
  readonly parameterSets: "in band" | "out of band";
  /** As many as libx264 likes unless given; with 1 the same pictures always give the same bytes. */
  readonly threads?: number;
}

/** One access unit in Annex B form (ITU-T H.264 annex B), owned by whoever asked for it. */
export interface EncodedUnit {
  readonly bytes: Uint8Array;
  readonly keyframe: boolean;
}

export interface EncodedVideo {
  readonly units: readonly EncodedUnit[];
  /** Annex B; holds SPS and PPS, possibly among other NAL units. */
  readonly parameterSets: Uint8Array;
}

export interface EncodeHooks {
  /** Fills `i420` (planar YUV 4:2:0 without padding) with picture `frame`. */
  readonly paint: (frame: number, i420: Uint8Array) => void;
  /** Called after each picture that went in. */
  readonly progress?: (framesDone: number) => void;
}

/** The fastest preset that still uses CABAC and 8x8 transforms where the profile has them. */
const PRESET = "superfast";
/** Keyframes stay near a quarter of a second's bits, as cameras' do. */
const BUFFER_SECONDS = 0.5;

type Libav = typeof import("node-av/lib") & typeof import("node-av/constants");

/**
 * Encodes `options.frames` pictures, yielding to the event loop between them.
 *
 * @throws Fault native_unavailable when node-av, or libx264 in it, is missing or refuses the options
 */
export async function encodeH264(
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
  const codec = libav.Codec.findEncoderByName(libav.FF_ENCODER_LIBX264);
  if (codec === null) {
    const todo = "Install the node-av release named in package.json, whose FFmpeg has it.";
    throw new Fault("native_unavailable", `This node-av has no libx264. ${todo}`);
  }
  const context = new libav.CodecContext();
  context.allocContext3(codec);
  resources.defer(() => context.freeContext());
  setFormat(libav, context, options);
  // Not as a Dictionary for open2Sync: node-av 6.1.1 crashes when that is collected.
  check(context.setOption("preset", PRESET), `preset ${PRESET}`);
  check(context.setOption("profile", options.profile), `profile ${options.profile}`);
  const gop = options.gopFrames;
  const fixedGop = `keyint=${gop}:min-keyint=${gop}:scenecut=0:open-gop=0:bframes=0`;
  check(context.setOption("x264-params", fixedGop), fixedGop);
  check(context.open2Sync(codec, null), "these sizes, rates and profile");
  return context;
}

function setFormat(libav: Libav, context: CodecContext, options: EncodeOptions): void {
  context.width = options.width;
  context.height = options.height;
  context.timeBase = new libav.Rational(1, options.fps);
  context.framerate = new libav.Rational(options.fps, 1);
  context.pixelFormat = libav.AV_PIX_FMT_YUV420P;
  context.colorRange = libav.AVCOL_RANGE_MPEG;
  context.colorSpace = libav.AVCOL_SPC_BT709;
  context.colorPrimaries = libav.AVCOL_PRI_BT709;
  context.colorTrc = libav.AVCOL_TRC_BT709;
  context.bitRate = BigInt(options.bitrate);
  context.rcMaxRate = BigInt(options.bitrate);
  context.rcBufferSize = Math.round(options.bitrate * BUFFER_SECONDS);
  context.gopSize = options.gopFrames;
  if (options.threads !== undefined) context.threadCount = options.threads;
  context.maxBFrames = 0;
  if (options.parameterSets === "out of band") context.setFlags(libav.AV_CODEC_FLAG_GLOBAL_HEADER);
}

function openFrame(libav: Libav, options: EncodeOptions, resources: DisposableStack): Frame {
  const frame = new libav.Frame();
  frame.alloc();
  resources.defer(() => frame.free());
  frame.width = options.width;
  frame.height = options.height;
  frame.format = libav.AV_PIX_FMT_YUV420P;
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
      units.push({ bytes: Uint8Array.from(packet.data), keyframe: packet.isKeyframe });
    }
    packet.unref();
  }
}

function parameterSetsOf(context: CodecContext, units: readonly EncodedUnit[]): Uint8Array {
  const outOfBand = context.extraData;
  if (outOfBand !== null && outOfBand.length > 0) return Uint8Array.from(outOfBand);
  return units[0]?.bytes ?? new Uint8Array(0);
}

/** libav's convention: negative is an error. `what` completes the sentence "libx264 refused …". */
function check(code: number, what: string): void {
  if (code >= 0) return;
  const todo = "See what libav wrote to standard error; other sizes or rates may work.";
  throw new Fault("native_unavailable", `libx264 refused ${what} (libav error ${code}). ${todo}`);
}
