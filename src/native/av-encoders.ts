/**
 * Finds what encodes for viewers: hardware where it really does, else the processor. An encoder that
 * libav knows of is no proof: each one has to encode a small picture at once, and the decoded picture
 * is looked at.
 *
 * @module
 */
import {
  AV_HWDEVICE_TYPE_VAAPI,
  AV_LOG_QUIET,
  AV_PIX_FMT_NV12,
  AV_PIX_FMT_VAAPI,
  AV_PIX_FMT_YUV420P,
  FF_ENCODER_H264_NVENC,
  FF_ENCODER_H264_QSV,
  FF_ENCODER_H264_VAAPI,
  FF_ENCODER_H264_VIDEOTOOLBOX,
  FF_ENCODER_LIBVPX_VP8,
  FF_ENCODER_LIBX264,
  type FFEncoderCodec,
} from "node-av/constants";
import { Codec, HardwareDeviceContext, Log } from "node-av/lib";
import { Fault } from "../core/fault.ts";
import { VideoDecoder } from "./av-decode.ts";
import { VideoEncoder, type VideoEncoderKind } from "./av-encode.ts";
import { TRIAL_HEIGHT, TRIAL_LUMA, TRIAL_UNITS, TRIAL_WIDTH } from "./trial-units.ts";

/** What video is encoded in for browsers. */
export type ViewerCodec = "h264" | "vp8";

type Candidate = Omit<VideoEncoderKind, "name" | "codec" | "device"> & {
  readonly name: FFEncoderCodec;
  readonly codec: ViewerCodec;
  readonly onDevice: boolean;
};

/** No B-frames, no look-ahead, parameter sets with every keyframe, a keyframe when asked: a call. */
const H264_CANDIDATES: readonly Candidate[] = [
  {
    name: FF_ENCODER_H264_NVENC,
    codec: "h264",
    pixelFormat: AV_PIX_FMT_YUV420P,
    onDevice: false,
    threads: 1,
    options: {
      preset: "p1",
      tune: "ull",
      profile: "baseline",
      rc: "cbr",
      zerolatency: "1",
      delay: "0",
      "forced-idr": "1",
    },
  },
  {
    name: FF_ENCODER_H264_VIDEOTOOLBOX,
    codec: "h264",
    pixelFormat: AV_PIX_FMT_NV12,
    onDevice: false,
    threads: 1,
    options: { profile: "constrained_baseline", realtime: "1", prio_speed: "1" },
  },
  {
    name: FF_ENCODER_H264_VAAPI,
    codec: "h264",
    pixelFormat: AV_PIX_FMT_NV12,
    onDevice: true,
    threads: 1,
    options: { profile: "constrained_baseline", rc_mode: "CBR", async_depth: "1" },
  },
  {
    name: FF_ENCODER_H264_QSV,
    codec: "h264",
    pixelFormat: AV_PIX_FMT_NV12,
    onDevice: false,
    threads: 1,
    options: { preset: "veryfast", profile: "baseline", async_depth: "1", forced_idr: "1" },
  },
];

const SOFTWARE_CANDIDATES: Record<ViewerCodec, Candidate> = {
  h264: {
    name: FF_ENCODER_LIBX264,
    codec: "h264",
    pixelFormat: AV_PIX_FMT_YUV420P,
    onDevice: false,
    threads: 1,
    options: {
      preset: "ultrafast",
      tune: "zerolatency",
      profile: "baseline",
      "forced-idr": "1",
      "x264-params": "scenecut=0:open-gop=0",
    },
  },
  vp8: {
    name: FF_ENCODER_LIBVPX_VP8,
    codec: "vp8",
    pixelFormat: AV_PIX_FMT_YUV420P,
    onDevice: false,
    threads: 1,
    options: {
      deadline: "realtime",
      // Of 16: the fastest that still follows a bitrate on moving pictures.
      "cpu-used": "12",
      "lag-in-frames": "0",
      "auto-alt-ref": "0",
      "error-resilient": "default",
      "static-thresh": "100",
    },
  },
};

/** What came of trying one encoder. */
interface EncoderTrial {
  readonly encoder: string;
  /** Why it is not used; `null` when it is. */
  readonly refused: string | null;
}

/** What encodes, and why others do not. */
export interface EncoderSearch extends Disposable {
  readonly encoder: VideoEncoderKind;
  readonly trials: readonly EncoderTrial[];
}

/**
 * The first encoder that really works; the caller disposes of it after its last use. Takes up to a
 * second where drivers are present.
 *
 * @param hardware looks for hardware first
 * @throws Fault `native_unavailable` when there is none at all
 */
export function findVideoEncoder(codec: ViewerCodec, hardware: boolean): EncoderSearch {
  Log.setLevel(AV_LOG_QUIET); // What is absent is said by the trials.
  const trials: EncoderTrial[] = [];
  const devices = hardware && codec === "h264" ? H264_CANDIDATES : [];
  for (const candidate of [...devices, SOFTWARE_CANDIDATES[codec]]) {
    const encoder = openKind(candidate);
    const refused = typeof encoder === "string" ? encoder : refusalOf(encoder, codec);
    trials.push({ encoder: candidate.name, refused });
    if (typeof encoder === "string") continue;
    const free = (): void => encoder.device?.context.free();
    if (refused === null) return { encoder, trials, [Symbol.dispose]: free };
    free();
  }
  const tried = trials.map(({ encoder, refused }) => `${encoder}: ${refused}`).join("; ");
  const todo = "Install the node-av release named in package.json.";
  throw new Fault("native_unavailable", `Nothing here encodes ${codec} (${tried}). ${todo}`);
}

/** The encoder with its device, or why there is none. */
function openKind({ onDevice, codec: _, ...candidate }: Candidate): VideoEncoderKind | string {
  const codec = Codec.findEncoderByName(candidate.name);
  if (codec === null) return "not part of this node-av";
  if (!onDevice) return { ...candidate, codec, device: null };
  const context = new HardwareDeviceContext();
  const code = context.create(AV_HWDEVICE_TYPE_VAAPI, null, null);
  if (code < 0) return `no device (libav error ${code})`;
  return { ...candidate, codec, device: { context, pixelFormat: AV_PIX_FMT_VAAPI } };
}

const TRIAL_BITRATE = 500_000;
const TRIAL_LUMA_TOLERANCE = 4;

/** Lets it encode the trial picture. `null` when it did at once, and did it right. */
export function refusalOf(encoder: VideoEncoderKind, codec: ViewerCodec): string | null {
  try {
    using source = new VideoDecoder("h264", null);
    source.send(TRIAL_UNITS.h264, 0);
    source.receive();
    const frame = source.frame();
    if (frame === null) return "no trial picture";
    const size = { width: TRIAL_WIDTH, height: TRIAL_HEIGHT };
    using trial = new VideoEncoder({ encoder, ...size, bitrate: TRIAL_BITRATE });
    if (!trial.send(frame, 0, true)) return "takes no picture";
    const unit = trial.receive();
    if (unit === null) return "holds pictures back";
    return unit.keyframe ? faultIn(unit.bytes, codec) : "does not begin with a keyframe";
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

/** What is wrong with the encoded trial picture. */
function faultIn(unit: Uint8Array, codec: ViewerCodec): string | null {
  using decoder = new VideoDecoder(codec, null);
  if (!decoder.send(unit, 0) || decoder.receive() === null) return "writes nothing that decodes";
  const luma = decoder.frame()?.data?.[0]?.[0] ?? 0;
  const right = Math.abs(luma - TRIAL_LUMA) <= TRIAL_LUMA_TOLERANCE;
  return right ? null : `encodes wrongly (luma ${luma} instead of ${TRIAL_LUMA})`;
}
