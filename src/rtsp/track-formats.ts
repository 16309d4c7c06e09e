/** Between what a session description says of a track and what the hub knows of it. */
import { VIDEO_CLOCK_HZ } from "../core/units.ts";
import { AAC_HBR } from "../rtp/aac.ts";
import { readAudioConfig, writeAudioConfig } from "../rtp/aac-config.ts";
import { NAL_PPS, NAL_SPS } from "../rtp/h264.ts";
import { H265_PPS, H265_SPS, H265_VPS } from "../rtp/h265.ts";
import { readH265Sps } from "../rtp/h265-sps.ts";
import { profileLevelIdOf } from "../rtp/sps.ts";
import {
  type AudioCodec,
  type AuHeaderFormat,
  type TrackFormat,
  videoFormat,
} from "../rtp/track-format.ts";
import { type Format, type Media, nalUnitsOf } from "./sdp.ts";

/** RFC 3551 section 4.5.2: 8,000 although the codec samples at 16,000. */
const G722_CLOCK_HZ = 8_000;
const OPUS_CLOCK_HZ = 48_000;
/** RFC 3640 section 3.3.5. */
const AAC_LBR: AuHeaderFormat = { sizeBits: 6, indexBits: 2, indexDeltaBits: 2 };
/** RFC 3640 allows any width; none that means something is wider. */
const AU_HEADER_BITS_MAX = 32;
/** Parts of an AU header that no AAC stream has (RFC 3640 section 3.2.1.1); they would be misread. */
const AU_HEADER_EXTRAS = [
  "ctsdeltalength",
  "dtsdeltalength",
  "randomaccessindication",
  "streamstateindication",
  "auxiliarydatasizelength",
  "constantsize",
];

/**
 * The track that a format of a medium describes; `null` when the hub cannot carry it: other codecs,
 * and the modes of RFC 6184 and RFC 7798 that send NAL units out of order, which no camera uses.
 */
export function trackFormatOf(media: Media, format: Format): TrackFormat | null {
  if (media.kind === "video") return videoTrack(media, format);
  return media.kind === "audio" ? audioTrack(format) : null;
}

function videoTrack({ picture }: Media, format: Format): TrackFormat | null {
  const { parameters } = format;
  switch (format.encoding) {
    case "H264":
      if (parameters.get("packetization-mode") === "2") return null;
      return videoFormat("h264", sets(format, "sprop-parameter-sets"));
    case "H265":
      if (integer(format, "sprop-max-don-diff") > 0) return null;
      return videoFormat("h265", sets(format, "sprop-vps", "sprop-sps", "sprop-pps"));
    case "JPEG":
      return picture ? { ...videoFormat("mjpeg"), picture } : videoFormat("mjpeg");
    case "VP8":
      return videoFormat("vp8");
    default:
      return null;
  }
}

function audioTrack(format: Format): TrackFormat | null {
  switch (format.encoding) {
    case "PCMU":
      return audioFormat("pcmu", format.clockHz, format.channels);
    case "PCMA":
      return audioFormat("pcma", format.clockHz, format.channels);
    case "G722":
      return audioFormat("g722", G722_CLOCK_HZ, format.channels);
    case "OPUS":
      return audioFormat("opus", OPUS_CLOCK_HZ, 2);
    case "MPEG4-GENERIC":
      return aacTrack(format);
    default:
      return null;
  }
}

function audioFormat(codec: AudioCodec, clockHz: number, channels: number): TrackFormat | null {
  if (clockHz <= 0) return null;
  return { kind: "audio", codec, clockHz, channels, parameterSets: [], auHeader: null };
}

function aacTrack(format: Format): TrackFormat | null {
  const mode = (format.parameters.get("mode") ?? "AAC-hbr").toLowerCase();
  const usual = mode === "aac-lbr" ? AAC_LBR : AAC_HBR;
  if (mode !== "aac-hbr" && mode !== "aac-lbr" && mode !== "generic") return null;
  if (AU_HEADER_EXTRAS.some((name) => integer(format, name) > 0)) return null;
  const track = audioFormat("aac", format.clockHz, format.channels);
  const config = audioConfigOf(format);
  const info = config && readAudioConfig(config);
  if (!track || !config || !info) return null;
  const auHeader = {
    sizeBits: integer(format, "sizelength", usual.sizeBits),
    indexBits: integer(format, "indexlength", usual.indexBits),
    indexDeltaBits: integer(format, "indexdeltalength", usual.indexDeltaBits),
  };
  const widths = Object.values(auHeader);
  if (auHeader.sizeBits === 0 || widths.some((bits) => bits > AU_HEADER_BITS_MAX)) return null;
  return { ...track, channels: info.channels || track.channels, parameterSets: [config], auHeader };
}

/** The AudioSpecificConfig; made up from the clock when a camera leaves it out. */
function audioConfigOf({ parameters, clockHz, channels }: Format): Uint8Array | null {
  const text = parameters.get("config") ?? "";
  if (text === "") return writeAudioConfig(clockHz, channels);
  return /^([0-9a-f]{2})+$/i.test(text) ? Uint8Array.fromHex(text) : null;
}

function sets(format: Format, ...names: readonly string[]): Uint8Array[] {
  return names.flatMap((name) => nalUnitsOf(format.parameters.get(name) ?? ""));
}

function integer({ parameters }: Format, name: string, otherwise = 0): number {
  const value = Number.parseInt(parameters.get(name) ?? "", 10);
  return Number.isInteger(value) && value >= 0 ? value : otherwise;
}

/**
 * How a track is described to who reads it from the hub. Its packets are those of the ring, so the
 * mode of AAC is the hub's own, whatever the camera's was.
 */
export function formatOf(track: TrackFormat, payloadType: number): Format {
  const { channels, clockHz } = track;
  return {
    payloadType,
    encoding: ENCODINGS[track.codec],
    clockHz: track.kind === "video" ? VIDEO_CLOCK_HZ : clockHz,
    channels,
    parameters: new Map(parametersOf(track).filter(([, value]) => value !== "")),
  };
}

const ENCODINGS = {
  h264: "H264",
  h265: "H265",
  mjpeg: "JPEG",
  vp8: "VP8",
  pcmu: "PCMU",
  pcma: "PCMA",
  g722: "G722",
  opus: "OPUS",
  aac: "MPEG4-GENERIC",
} as const satisfies Record<TrackFormat["codec"], string>;

/** Format parameters; those with an empty value are not known. */
function parametersOf({ codec, parameterSets }: TrackFormat): [string, string][] {
  if (codec === "h264") return h264Parameters(parameterSets);
  if (codec === "h265") return h265Parameters(parameterSets);
  return codec === "aac" ? aacParameters(parameterSets[0]) : [];
}

function h264Parameters(nals: readonly Uint8Array[]): [string, string][] {
  const typeOf = (nal: Uint8Array): number => nal[0]! & 0x1f;
  const known = [NAL_SPS, NAL_PPS].every((type) => nals.some((nal) => typeOf(nal) === type));
  return [
    ["packetization-mode", "1"],
    ["profile-level-id", profileLevelIdOf(nals.find((nal) => typeOf(nal) === NAL_SPS))],
    ["sprop-parameter-sets", known ? nals.map((nal) => nal.toBase64()).join(",") : ""],
  ];
}

/** RFC 7798 section 7.1. */
function h265Parameters(nals: readonly Uint8Array[]): [string, string][] {
  const ofType = (type: number): Uint8Array[] =>
    nals.filter((nal) => ((nal[0]! >> 1) & 0x3f) === type);
  const list = (type: number): string =>
    ofType(type)
      .map((nal) => nal.toBase64())
      .join(",");
  const [sps] = ofType(H265_SPS);
  const info = sps ? readH265Sps(sps) : null;
  return [
    ["profile-id", info ? `${info.profile}` : ""],
    ["tier-flag", info ? `${info.tier}` : ""],
    ["level-id", info ? `${info.level}` : ""],
    ["sprop-vps", list(H265_VPS)],
    ["sprop-sps", list(H265_SPS)],
    ["sprop-pps", list(H265_PPS)],
  ];
}

/** RFC 3640 section 4.1. */
function aacParameters(config: Uint8Array | undefined): [string, string][] {
  return [
    ["streamtype", "5"],
    ["profile-level-id", "1"],
    ["mode", "AAC-hbr"],
    ["sizelength", `${AAC_HBR.sizeBits}`],
    ["indexlength", `${AAC_HBR.indexBits}`],
    ["indexdeltalength", `${AAC_HBR.indexDeltaBits}`],
    ["config", config?.toHex() ?? ""],
  ];
}
