/**
 * Looks for devices that decode. A driver that opens is no proof: libav falls back to the processor
 * without a word, some devices open on machines that have none, and many decode one codec and not
 * the next. So each one has to decode a small picture of each codec, and the picture is looked at.
 *
 * @module
 */
import {
  AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX,
  AV_HWDEVICE_TYPE_NONE,
  AV_LOG_QUIET,
  FF_DECODER_H264_QSV,
  FF_DECODER_HEVC_QSV,
  FF_DECODER_MJPEG_QSV,
  FF_HWDEVICE_TYPE_CUDA,
  FF_HWDEVICE_TYPE_QSV,
  FF_HWDEVICE_TYPE_VAAPI,
  FF_HWDEVICE_TYPE_VIDEOTOOLBOX,
  FF_HWDEVICE_TYPE_VULKAN,
  type FFHWDeviceType,
} from "node-av/constants";
import { Codec, HardwareDeviceContext, Log } from "node-av/lib";
import type { VideoCodec } from "../rtp/track-format.ts";
import { type HardwareDevice, softwareDecoder, VideoDecoder } from "./av-decode.ts";
import { type CameraCodec, TRIAL_UNITS } from "./trial-units.ts";

/** Tried in this order: vendors' own interfaces before the general ones. */
const DEVICES: readonly FFHWDeviceType[] = [
  FF_HWDEVICE_TYPE_CUDA,
  FF_HWDEVICE_TYPE_VIDEOTOOLBOX,
  FF_HWDEVICE_TYPE_VAAPI,
  FF_HWDEVICE_TYPE_QSV,
  FF_HWDEVICE_TYPE_VULKAN,
];
const CODECS = ["h264", "h265", "mjpeg"] as const satisfies readonly CameraCodec[];
/** Quick Sync has decoders of its own, which are no helpers of the general ones. */
const QSV_DECODERS = {
  h264: FF_DECODER_H264_QSV,
  h265: FF_DECODER_HEVC_QSV,
  mjpeg: FF_DECODER_MJPEG_QSV,
} as const;

/** TRIAL_LUMA as a gray level of 0 to 255: video has luma of 16 to 235, JPEG all of it. */
const TRIAL_LEVELS = { h264: 86, h265: 86, mjpeg: 90 } as const;
/** Less than what mixing up the two would make. */
const TRIAL_LEVEL_TOLERANCE = 3;
const TRIAL_SIDE = 16;

/** What came of trying one device with one codec. */
interface DeviceTrial {
  /** libav's name, such as `vaapi`. */
  readonly device: string;
  /** `null` when the device as such is not there. */
  readonly codec: CameraCodec | null;
  /** Why it is not used; `null` when it is. */
  readonly refused: string | null;
}

/** The devices that are used, and why others are not. The caller closes it after its last decoder. */
export class HardwareDevices implements Disposable {
  readonly trials: readonly DeviceTrial[];
  readonly #byCodec: ReadonlyMap<VideoCodec, HardwareDevice>;

  constructor(byCodec: ReadonlyMap<VideoCodec, HardwareDevice>, trials: readonly DeviceTrial[]) {
    this.#byCodec = byCodec;
    this.trials = trials;
  }

  /** Nothing is looked for, everything is decoded in software. */
  static none(): HardwareDevices {
    return new HardwareDevices(new Map(), []);
  }

  /** `null` when the processor has to decode the codec. */
  for(codec: VideoCodec): HardwareDevice | null {
    return this.#byCodec.get(codec) ?? null;
  }

  [Symbol.dispose](): void {
    for (const context of new Set([...this.#byCodec.values()].map((device) => device.context))) {
      context.free();
    }
  }
}

/**
 * Opens the first device that really decodes, for each codec. Takes up to a second where drivers are
 * present.
 */
export function findHardwareDevices(): HardwareDevices {
  Log.setLevel(AV_LOG_QUIET); // What is absent is said by the trials.
  const trials: DeviceTrial[] = [];
  const found = new Map<VideoCodec, HardwareDevice>();
  for (const device of DEVICES) {
    const wanted = CODECS.filter((codec) => !found.has(codec));
    if (wanted.length === 0) break;
    const opened = openDevice(device);
    if (typeof opened === "string") {
      trials.push({ device, codec: null, refused: opened });
      continue;
    }
    let used = false;
    for (const codec of wanted) {
      const outcome = tryDevice(device, opened, codec);
      const refused = typeof outcome === "string" ? outcome : null;
      trials.push({ device, codec, refused });
      if (typeof outcome === "string") continue;
      found.set(codec, outcome);
      used = true;
    }
    if (!used) opened.free();
  }
  return new HardwareDevices(found, trials);
}

/** The open device, or why there is none. */
function openDevice(name: FFHWDeviceType): HardwareDeviceContext | string {
  const type = HardwareDeviceContext.findTypeByName(name);
  if (type === AV_HWDEVICE_TYPE_NONE) return "not part of this node-av";
  const context = new HardwareDeviceContext();
  const code = context.create(type, null, null);
  return code < 0 ? `not present (libav error ${code})` : context;
}

/** The device as a decoder of `codec`, or why it is none. */
function tryDevice(
  name: FFHWDeviceType,
  context: HardwareDeviceContext,
  codec: CameraCodec,
): HardwareDevice | string {
  const type = HardwareDeviceContext.findTypeByName(name);
  const qsv = name === FF_HWDEVICE_TYPE_QSV;
  const decoder = qsv ? Codec.findDecoderByName(QSV_DECODERS[codec]) : softwareDecoder(codec);
  const pixelFormat = decoder && devicePixelFormat(decoder, type);
  if (!decoder || !pixelFormat) return "not part of this node-av";
  const device: HardwareDevice = { name, type, context, decoder, pixelFormat };
  return refusalOf(device, codec) ?? device;
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
export function refusalOf(device: HardwareDevice, codec: CameraCodec): string | null {
  try {
    using decoder = new VideoDecoder(codec, device);
    const unit = TRIAL_UNITS[codec];
    if (!decoder.send(unit, 0)) return `refuses ${codec}`;
    // Some devices hold a picture back until the next unit comes.
    const picture = decoder.receive() ?? (decoder.send(unit, 1) ? decoder.receive() : null);
    if (!picture) return "gives no picture";
    if (decoder.device !== device.name) return "leaves decoding to the processor";
    const pixels = new Uint8Array(TRIAL_SIDE * TRIAL_SIDE * 3 + 64);
    if (!decoder.scale(pixels, TRIAL_SIDE, TRIAL_SIDE)) return "keeps its pictures";
    const level = pixels[0]!;
    const wanted = TRIAL_LEVELS[codec];
    const right = Math.abs(level - wanted) <= TRIAL_LEVEL_TOLERANCE;
    return right ? null : `decodes wrongly (gray ${level} instead of ${wanted})`;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
