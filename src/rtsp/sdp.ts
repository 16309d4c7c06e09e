/** Session descriptions as RTSP uses them (RFC 8866; RFC 2326 appendix C). */
import { Fault } from "../core/fault.ts";
import type { PictureSize } from "../rtp/track-format.ts";
import { decodeBase64 } from "./base64.ts";
import { printable } from "./printable.ts";

/** More media than any device has; a bound against a description made to be long. */
const MEDIA_MAX = 32;

/** How one payload type is encoded. */
export interface Format {
  readonly payloadType: number;
  /** Encoding name, upper case: `H264`, `MPEG4-GENERIC`. Empty when nothing says it. */
  readonly encoding: string;
  readonly clockHz: number;
  /** 1 unless stated; means something for audio only. */
  readonly channels: number;
  /** Format parameters (a=fmtp), names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";

/** One medium: what RTSP sets up as a track. */
export interface Media {
  /** `video`, `audio`, `application`. */
  readonly kind: string;
  readonly port: number;
  /** `RTP/AVP` and the like. */
  readonly protocol: string;
  readonly formats: readonly Format[];
  /** As written; `null` when missing. */
  readonly control: string | null;
  readonly direction: Direction;
  /** Pixels, when an attribute says so; `null` when not. */
  readonly picture: PictureSize | null;
}

/** What a description says, as far as RTSP uses it. */
export interface SessionDescription {
  readonly name: string;
  /** The session's own control attribute, as written; `null` when missing. */
  readonly control: string | null;
  readonly media: readonly Media[];
}

/** Encodings that need no a=rtpmap (RFC 3551 section 6), as far as cameras use them. */
const STATIC_FORMATS: Readonly<Record<number, readonly [encoding: string, clockHz: number]>> = {
  0: ["PCMU", 8_000],
  8: ["PCMA", 8_000],
  9: ["G722", 8_000],
  14: ["MPA", 90_000],
  26: ["JPEG", 90_000],
  32: ["MPV", 90_000],
  33: ["MP2T", 90_000],
};

/** A section of the description: its attributes by name, each as often as it came. */
interface Section {
  /** What follows `m=`; empty for the session's own section. */
  readonly head: string;
  readonly attributes: Map<string, string[]>;
}

/** Reads a description; what is not known is left out. Fault `camera_protocol` when it is none. */
export function parseSdp(text: string): SessionDescription {
  const session: Section = { head: "", attributes: new Map() };
  const sections: Section[] = [];
  let name = "";
  let lines = 0;
  for (const line of text.split(/[\r\n]+/)) {
    const match = /^\s*([a-z])=(.*)$/.exec(line);
    if (!match) continue;
    lines++;
    const value = (match[2] ?? "").replace(/\p{Cc}+/gu, " ").trim();
    if (match[1] === "s" && sections.length === 0) name = value;
    else if (match[1] === "m") sections.push({ head: value, attributes: new Map() });
    else if (match[1] === "a") addAttribute(sections.at(-1) ?? session, value);
  }
  if (lines === 0) throw new Fault("camera_protocol", `no session description: ${printable(text)}`);
  if (sections.length > MEDIA_MAX) {
    throw new Fault("camera_protocol", `a session description of ${sections.length} media`);
  }
  const direction = directionOf(session, "sendrecv");
  const media = sections.map((section) => mediaOf(section, direction));
  return { name, control: first(session, "control"), media };
}

function addAttribute(section: Section, text: string): void {
  const colon = text.indexOf(":");
  const name = colon < 0 ? text : text.slice(0, colon);
  const values = section.attributes.get(name.toLowerCase()) ?? [];
  values.push(colon < 0 ? "" : text.slice(colon + 1).trim());
  section.attributes.set(name.toLowerCase(), values);
}

function first(section: Section, attribute: string): string | null {
  return section.attributes.get(attribute)?.[0] ?? null;
}

function directionOf(section: Section, otherwise: Direction): Direction {
  const all = ["sendrecv", "sendonly", "recvonly", "inactive"] as const;
  return all.find((direction) => section.attributes.has(direction)) ?? otherwise;
}

function mediaOf(section: Section, direction: Direction): Media {
  const [kind = "", port = "", protocol = "", ...types] = section.head.split(/\s+/);
  return {
    kind: kind.toLowerCase(),
    port: Number.parseInt(port, 10) || 0,
    protocol: protocol.toUpperCase(),
    formats: types
      .filter((type) => /^\d{1,3}$/.test(type))
      .map((t) => formatOf(section, Number(t))),
    control: first(section, "control"),
    direction: directionOf(section, direction),
    picture: pictureOf(section),
  };
}

/** How cameras say the picture's size, which RTP cannot for large JPEG pictures. */
function pictureOf(section: Section): PictureSize | null {
  const size =
    /^(\d+),(\d+)$/.exec(first(section, "x-dimensions") ?? "") ??
    // RFC 6064 section 4.1.
    /^\d+ (\d+)-(\d+)$/.exec(first(section, "framesize") ?? "");
  const width = Number(size?.[1]);
  const height = Number(size?.[2]);
  return width > 0 && height > 0 ? { width, height } : null;
}

/** The rest of the attribute that is about this payload type. */
function ofType(section: Section, attribute: string, payloadType: number): string | null {
  for (const value of section.attributes.get(attribute) ?? []) {
    const match = /^(\d+)\s+(.*)$/.exec(value);
    if (match && Number(match[1]) === payloadType) return match[2] ?? "";
  }
  return null;
}

function formatOf(section: Section, payloadType: number): Format {
  const map = ofType(section, "rtpmap", payloadType);
  const [encoding = "", clock, channels] = (map ?? "").split("/");
  const [staticEncoding = "", staticClockHz = 0] = STATIC_FORMATS[payloadType] ?? [];
  return {
    payloadType,
    encoding: map === null ? staticEncoding : encoding.trim().toUpperCase(),
    clockHz: Number.parseInt(clock ?? "", 10) || staticClockHz,
    channels: Number.parseInt(channels ?? "", 10) || 1,
    parameters: parametersOf(ofType(section, "fmtp", payloadType) ?? ""),
  };
}

function parametersOf(text: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const part of text.split(";")) {
    // Only the first `=` separates: base64 ends in more of them.
    const equals = part.indexOf("=");
    const name = (equals < 0 ? part : part.slice(0, equals)).trim().toLowerCase();
    if (name !== "") parameters.set(name, equals < 0 ? "" : part.slice(equals + 1).trim());
  }
  return parameters;
}

/**
 * Parameter sets of an H.264 format (sprop-parameter-sets, RFC 6184 section 8.1) as NAL units
 * without start code. What is not base64 is left out: the same sets come in band.
 */
export function parameterSets(format: Format): Uint8Array[] {
  return nalUnitsOf(format.parameters.get("sprop-parameter-sets") ?? "");
}

/** A list of NAL units in base64. What is none is left out. */
export function nalUnitsOf(text: string): Uint8Array[] {
  return text
    .split(",")
    .map((encoded) => withoutStartCode(decodeBase64(encoded) ?? new Uint8Array(0)))
    .filter((nal) => nal.length > 0);
}

/** Some cameras encode the sets with the start code of a byte stream, which RFC 6184 does not. */
function withoutStartCode(nal: Uint8Array): Uint8Array {
  let zeros = 0;
  while (nal[zeros] === 0) zeros++;
  return zeros >= 2 && nal[zeros] === 1 ? nal.subarray(zeros + 1) : nal;
}

/** Says what is offered, for a message: `video H265, audio PCMA`. */
export function offeredBy(description: SessionDescription): string {
  const offers = description.media.map(({ kind, formats }) => {
    const encodings = formats.map((f) => f.encoding || `payload type ${f.payloadType}`);
    return `${kind} ${encodings.join(" or ")}`.trim();
  });
  return offers.length > 0 ? printableList(offers) : "nothing";
}

function printableList(words: readonly string[]): string {
  return words.map((word) => word.replace(/[^\x20-\x7e]/gu, "?").slice(0, 60)).join(", ");
}

/** One track to offer. `control` is what clients append to the address to set the track up. */
export interface OfferedMedia {
  readonly kind: "video" | "audio" | "application";
  readonly control: string;
  readonly format: Format;
}

/** Writes the description of a live stream: no length, nothing to seek in. */
export function writeSdp(name: string, media: readonly OfferedMedia[]): string {
  const sections = media.flatMap(({ kind, control, format }) => [
    `m=${kind} 0 RTP/AVP ${format.payloadType}`,
    `a=rtpmap:${format.payloadType} ${rtpmapOf(format)}`,
    ...fmtpOf(format),
    `a=control:${control}`,
  ]);
  const session = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", `s=${name.replace(/\p{Cc}+/gu, " ") || "-"}`];
  const timing = ["c=IN IP4 0.0.0.0", "t=0 0", "a=control:*", "a=range:npt=now-"];
  return `${[...session, ...timing, ...sections].join("\r\n")}\r\n`;
}

function rtpmapOf({ encoding, clockHz, channels }: Format): string {
  return channels > 1 ? `${encoding}/${clockHz}/${channels}` : `${encoding}/${clockHz}`;
}

function fmtpOf({ payloadType, parameters }: Format): string[] {
  if (parameters.size === 0) return [];
  const words = [...parameters].map(([name, value]) => (value === "" ? name : `${name}=${value}`));
  return [`a=fmtp:${payloadType} ${words.join(";")}`];
}

/** Format parameters of an H.264 stream (RFC 6184 section 8.1) from its own parameter sets. */
export function h264Format(payloadType: number, sps: Uint8Array, pps: Uint8Array): Format {
  const sets = sps.length > 0 && pps.length > 0 ? `${sps.toBase64()},${pps.toBase64()}` : "";
  const parameters = new Map([["packetization-mode", "1"]]);
  if (sps.length > 3) parameters.set("profile-level-id", sps.subarray(1, 4).toHex());
  if (sets !== "") parameters.set("sprop-parameter-sets", sets);
  return { payloadType, encoding: "H264", clockHz: 90_000, channels: 1, parameters };
}
