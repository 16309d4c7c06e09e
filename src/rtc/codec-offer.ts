/**
 * What one section of an offer can receive: its payload types, of codecs that the hub can send, and
 * which of them suits a track.
 *
 * @module
 */
import type { Codec } from "../rtp/track-format.ts";
import { rankOfH264 } from "./h264-offer.ts";
import { rankOfH265 } from "./h265-offer.ts";
import { attributeValues, formatParameters, keyedValue, type MediaSection } from "./sdp.ts";

/** One payload type that a viewer can receive. */
export interface OfferedCodec {
  readonly codec: Codec;
  readonly payloadType: number;
  /** As `a=rtpmap` has it, in the usual spelling, such as `H264/90000`. */
  readonly encoding: string;
  /** As offered; may be empty. */
  readonly fmtp: string;
  /** `null` when retransmissions have no payload type of their own (RFC 4588). */
  readonly rtxPayloadType: number | null;
  /** Feedback offered for this payload type, such as `nack pli`. */
  readonly feedback: readonly string[];
}

/** What there is to send. */
export interface Sendable {
  readonly codec: Codec;
  /** Of its RTP timestamps. */
  readonly clockHz: number;
  readonly channels: number;
  /** H.264: `profile-level-id`. H.265: `profile-id`. Empty while unknown, and for other codecs. */
  readonly profile: string;
}

/** Encodings that can be sent in browsers' WebRTC. */
const ENCODINGS = new Map<Codec, string>([
  ["h264", "H264/90000"],
  ["h265", "H265/90000"],
  ["vp8", "VP8/90000"],
  // Always said to be two channels of 48 kHz, whatever is inside (RFC 7587 section 7).
  ["opus", "opus/48000/2"],
  ["pcmu", "PCMU/8000"],
  ["pcma", "PCMA/8000"],
  // 8000 by an old mistake that is kept: it samples at 16 kHz (RFC 3551 section 4.5.2).
  ["g722", "G722/8000"],
]);
const CODECS = new Map([...ENCODINGS].map(([codec, encoding]) => [encoding.toLowerCase(), codec]));

/** Payload types that need no `a=rtpmap` (RFC 3551 section 6). */
const STATIC_ENCODINGS = new Map([
  ["0", "PCMU/8000"],
  ["8", "PCMA/8000"],
  ["9", "G722/8000"],
]);

/** Most names that a message about a viewer's offer repeats. */
const NAMES_MAX = 12;
/** They repair or signal; nobody plays them. */
const AUXILIARY = /^(rtx|red|ulpfec|flexfec-03|cn|telephone-event)$/i;

/** The payload types of a section that the hub could send to, in the viewer's order. */
export function readCodecs(section: MediaSection): OfferedCodec[] {
  return payloadTypes(section).flatMap((format) => {
    const codec = CODECS.get(encodingOf(section, format).toLowerCase());
    if (codec === undefined) return [];
    const fmtp = fmtpOf(section, format);
    if (!isUsable(codec, formatParameters(fmtp))) return [];
    return [
      {
        codec,
        payloadType: Number(format),
        encoding: ENCODINGS.get(codec) ?? "",
        fmtp,
        rtxPayloadType: rtxOf(section, format),
        feedback: feedbackOf(section, format),
      },
    ];
  });
}

/** The names of what a section offers, those that cannot be sent included, for people. */
export function encodingNames(section: MediaSection): string[] {
  const names = payloadTypes(section).flatMap((format) => {
    const [name = ""] = encodingOf(section, format).split("/");
    if (AUXILIARY.test(name) || !/^[\w.-]{1,16}$/.test(name)) return [];
    const { media } = section;
    const mode = formatParameters(fmtpOf(section, format)).get("packetization-mode");
    return [`${media}/${name}${mode === "0" ? " (packetization-mode=0)" : ""}`];
  });
  return [...new Set(names)].slice(0, NAMES_MAX);
}

/** How a track is called in messages for people. */
export function sendableName({ codec }: Sendable): string {
  return ENCODINGS.get(codec)?.split("/", 1)[0] ?? codec.toUpperCase();
}

/** The payload type that suits the track best; `null` when none does. */
export function choosePayload(
  offered: readonly OfferedCodec[],
  track: Sendable,
): OfferedCodec | null {
  let best: OfferedCodec | null = null;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const each of offered) {
    const rank = rankOf(each, track);
    if (rank < bestRank) {
      best = each;
      bestRank = rank;
    }
  }
  return best;
}

/** 0 is best, infinite is impossible. */
function rankOf({ codec, fmtp }: OfferedCodec, track: Sendable): number {
  if (codec !== track.codec || !hasEncoding(track)) return Number.POSITIVE_INFINITY;
  if (codec === "h264") return rankOfH264(formatParameters(fmtp), track.profile);
  if (codec === "h265") return rankOfH265(formatParameters(fmtp), track.profile);
  return 0;
}

/** G.711 of 16 kHz or in stereo exists, and no browser takes it. */
function hasEncoding({ codec, clockHz, channels }: Sendable): boolean {
  const [, clock] = (ENCODINGS.get(codec) ?? "").split("/");
  return Number(clock) === clockHz && (channels === 1 || codec === "opus");
}

/** Nothing is ever sent in a mode that the ring does not hold. */
function isUsable(codec: Codec, parameters: ReadonlyMap<string, string>): boolean {
  // The default is 0 (RFC 6184 section 8.1), but who says nothing is GStreamer, which takes all.
  if (codec === "h264") return (parameters.get("packetization-mode") ?? "1") === "1";
  // RFC 7798 section 7.1: one stream, one transport is the default, and what browsers take.
  if (codec === "h265") return (parameters.get("tx-mode") ?? "SRST") === "SRST";
  return true;
}

/** Each once: there are 128, however many an offer names. */
function payloadTypes({ formats }: MediaSection): string[] {
  const numbers = formats.filter((format) => /^\d{1,3}$/.test(format) && Number(format) < 128);
  return [...new Set(numbers)];
}

function encodingOf({ attributes }: MediaSection, format: string): string {
  const encoding = keyedValue(attributes, "rtpmap", format) ?? STATIC_ENCODINGS.get(format) ?? "";
  // One channel is the default (RFC 8866 section 6.6); Firefox says so for G722.
  return encoding.replace(/\/1$/, "");
}

function fmtpOf({ attributes }: MediaSection, format: string): string {
  return keyedValue(attributes, "fmtp", format) ?? "";
}

function feedbackOf({ attributes }: MediaSection, format: string): string[] {
  return attributeValues(attributes, "rtcp-fb").flatMap((value) => {
    const space = value.indexOf(" ");
    const about = value.slice(0, space);
    return about === format || about === "*" ? [value.slice(space + 1)] : [];
  });
}

function rtxOf(section: MediaSection, format: string): number | null {
  const rtx = payloadTypes(section).find(
    (other) =>
      encodingOf(section, other).toLowerCase().startsWith("rtx/") &&
      formatParameters(fmtpOf(section, other)).get("apt") === format,
  );
  return rtx === undefined ? null : Number(rtx);
}
