/**
 * Looks for a device that decodes H.264. A driver that opens is no proof: libav falls back to the
 * processor without a word, and some devices open on machines that have none. So each one has to
 * decode a small picture, and the picture is looked at.
 *
 * @module
 */
import {
  AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX,
  AV_HWDEVICE_TYPE_NONE,
  AV_LOG_QUIET,
  FF_DECODER_H264_QSV,
  FF_HWDEVICE_TYPE_CUDA,
  FF_HWDEVICE_TYPE_QSV,
  FF_HWDEVICE_TYPE_VAAPI,
  FF_HWDEVICE_TYPE_VIDEOTOOLBOX,
  FF_HWDEVICE_TYPE_VULKAN,
  type FFHWDeviceType,
} from "node-av/constants";
import { Codec, HardwareDeviceContext, Log } from "node-av/lib";
import { type HardwareDevice, softwareDecoder, VideoDecoder } from "./av-decode.ts";

/** Tried in this order: vendors' own interfaces before the general ones. */
const DEVICES: readonly FFHWDeviceType[] = [
  FF_HWDEVICE_TYPE_CUDA,
  FF_HWDEVICE_TYPE_VIDEOTOOLBOX,
  FF_HWDEVICE_TYPE_VAAPI,
  FF_HWDEVICE_TYPE_QSV,
  FF_HWDEVICE_TYPE_VULKAN,
];

/** One keyframe of 320x192, luma 90 everywhere. Larger than the least size of any device. */
const TRIAL_UNIT = Uint8Array.fromBase64(
  "AAAAAWdCwAzcFBmmoCAgKAAAAwAIAAADAZB4oVwAAAABaM48gAAAAAFliIQO///8PRQABBZ8nJycnJycnJycnJycnJ" +
    "ycnJycnXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX" +
    "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX" +
    "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXg==",
);
/** Luma 90 of 16 to 235 as a gray level of 0 to 255. */
const TRIAL_LEVEL = 86;
const TRIAL_LEVEL_TOLERANCE = 4;
const TRIAL_SIDE = 16;

/** What came of trying one device. */
interface DeviceTrial {
  /** libav's name, such as `vaapi`. */
  readonly device: string;
  /** Why it is not used; `null` when it is. */
  readonly refused: string | null;
}

/** The device that is used, if any, and why the others are not. */
export interface DeviceSearch {
  /** The caller closes it after its last decoder: `context.free()`. */
  readonly device: HardwareDevice | null;
  readonly trials: readonly DeviceTrial[];
}

/** Opens the first device that really decodes. Takes up to a second where drivers are present. */
export function findHardwareDevice(): DeviceSearch {
  Log.setLevel(AV_LOG_QUIET); // What is absent is said by the trials.
  const trials: DeviceTrial[] = [];
  for (const name of DEVICES) {
    const outcome = tryDevice(name);
    const refused = typeof outcome === "string" ? outcome : null;
    trials.push({ device: name, refused });
    if (typeof outcome !== "string") return { device: outcome, trials };
  }
  return { device: null, trials };
}

/** The open device, or why there is none. */
function tryDevice(name: FFHWDeviceType): HardwareDevice | string {
  const type = HardwareDeviceContext.findTypeByName(name);
  if (type === AV_HWDEVICE_TYPE_NONE) return "not part of this node-av";
  const decoder = name === FF_HWDEVICE_TYPE_QSV ? qsvDecoder() : softwareDecoder();
  const pixelFormat = decoder && devicePixelFormat(decoder, type);
  if (!decoder || !pixelFormat) return "does not decode H.264 in this node-av";
  const context = new HardwareDeviceContext();
  const code = context.create(type, null, null);
  if (code < 0) return `not present (libav error ${code})`;
  const device: HardwareDevice = { name, type, context, decoder, pixelFormat };
  const refused = refusalOf(device);
  if (refused === null) return device;
  context.free();
  return refused;
}

/** Quick Sync is a decoder of its own, not a helper of the general one. */
function qsvDecoder(): Codec | null {
  return Codec.findDecoderByName(FF_DECODER_H264_QSV);
}

function devicePixelFormat(decoder: Codec, type: HardwareDevice["type"]) {
  for (let i = 0; ; i++) {
    const config = decoder.getHwConfig(i);
    if (!config) return null;
    const usable = (config.methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX) !== 0;
    if (usable && config.deviceType === type) return config.pixFmt;
  }
}

/** Lets the device decode the trial picture. `null` when it did, and did it right. */
export function refusalOf(device: HardwareDevice): string | null {
  try {
    using decoder = new VideoDecoder(device);
    if (!decoder.send(TRIAL_UNIT, 0)) return "refuses H.264";
    // Some devices hold a picture back until the next unit comes.
    const picture = decoder.receive() ?? (decoder.send(TRIAL_UNIT, 1) ? decoder.receive() : null);
    if (!picture) return "gives no picture";
    if (decoder.device !== device.name) return "leaves decoding to the processor";
    const pixels = new Uint8Array(TRIAL_SIDE * TRIAL_SIDE * 3 + 64);
    if (!decoder.scale(pixels, TRIAL_SIDE, TRIAL_SIDE)) return "keeps its pictures";
    const level = pixels[0]!;
    const right = Math.abs(level - TRIAL_LEVEL) <= TRIAL_LEVEL_TOLERANCE;
    return right ? null : `decodes wrongly (gray ${level} instead of ${TRIAL_LEVEL})`;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
