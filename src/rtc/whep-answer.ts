/** The answer to a viewer's offer (RFC 9429 section 5.3): ICE-lite, one video section to send. */
import { addressBytes } from "./address.ts";
import type { IceCredentials } from "./ice-lite.ts";
import { attribute, keyedValue, type MediaSection } from "./sdp.ts";
import { PLAYOUT_DELAY_URI, type WhepOffer } from "./whep-offer.ts";

export interface AnswerFacts {
  readonly ice: IceCredentials;
  /** SHA-256 of the hub's certificate, upper case with colons. */
  readonly fingerprint: string;
  /** Announced addresses, best first; the media port is the same on each. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly ssrc: number;
  /** Of retransmissions; used when the offer has a payload type for them. */
  readonly rtxSsrc: number;
  readonly cname: string;
  /** Name of the one media stream. */
  readonly stream: string;
  /** Unsigned, decimal: unique per session (RFC 8866 section 5.2). */
  readonly sessionId: string;
  /** Take the playout-delay extension, if it was offered. */
  readonly playoutDelay: boolean;
}

/** RFC 8445 section 5.1.2.1: host candidates have type preference 126. */
const HOST_TYPE_PREFERENCE = 126;
const LOCAL_PREFERENCE_MAX = 65_535;
const RTP_COMPONENT = 1;

/** Feedback that is acted upon or counted; what else is offered gets no answer. */
const FEEDBACK: readonly string[] = ["nack", "nack pli", "ccm fir", "goog-remb"];

/** Writes the answer, CRLF included. */
export function writeAnswer(offer: WhepOffer, facts: AnswerFacts): string {
  const lines = [
    "v=0",
    `o=- ${facts.sessionId} 1 IN ${inAddress(facts)}`,
    "s=-",
    "t=0 0",
    "a=ice-lite",
    ...(offer.bundled ? [`a=group:BUNDLE ${bundle(offer)}`] : []),
    `a=msid-semantic: WMS ${facts.stream}`,
  ];
  for (const [i, section] of offer.sections.entries()) {
    if (i === offer.video) lines.push(...video(offer, section, facts));
    else if (i === idle(offer)) lines.push(...kept(section, facts));
    else lines.push(...rejected(section));
  }
  return `${lines.join("\r\n")}\r\n`;
}

/**
 * The section that is kept without being used, -1 for none. A bundle whose tagged section is
 * refused may move to another one (RFC 9143 section 7.3.1), but Chromium does not follow when the
 * others are bundle-only: it offers audio first and has no transport left.
 */
function idle({ sections, tagged, video }: WhepOffer): number {
  const isMedia = sections[tagged]?.protocol.endsWith("/RTP/SAVPF") ?? false;
  return tagged !== video && isMedia ? tagged : -1;
}

function bundle(offer: WhepOffer): string {
  const kept = offer.sections[idle(offer)];
  return kept === undefined ? offer.mid : `${attribute(kept.attributes, "mid")} ${offer.mid}`;
}

function inAddress({ addresses }: AnswerFacts): string {
  const address = addresses[0] ?? "127.0.0.1";
  return addressBytes(address)?.length === 16 ? `IP6 ${address}` : `IP4 ${address}`;
}

/** RFC 9429 section 5.3.1: a refused section stays in its place, with port zero. */
function rejected(section: MediaSection): string[] {
  const { media, protocol, formats } = section;
  return [
    `m=${media} 0 ${protocol} ${formats.join(" ")}`,
    "c=IN IP4 0.0.0.0",
    ...midLine(section),
    "a=inactive",
  ];
}

/** Nothing is ever sent here: the section only carries the bundle's transport. */
function kept(section: MediaSection, facts: AnswerFacts): string[] {
  const { media, protocol, formats, attributes } = section;
  const format = formats[0] ?? "";
  const map = keyedValue(attributes, "rtpmap", format);
  return [
    `m=${media} ${facts.port} ${protocol} ${format}`,
    `c=IN ${inAddress(facts)}`,
    ...midLine(section),
    "a=inactive",
    ...transport(facts),
    ...(map === undefined ? [] : [`a=rtpmap:${format} ${map}`]),
  ];
}

function video(offer: WhepOffer, section: MediaSection, facts: AnswerFacts): string[] {
  const { payloadType, rtxPayloadType } = offer.payload;
  const payloadTypes = rtxPayloadType === null ? [payloadType] : [payloadType, rtxPayloadType];
  return [
    `m=video ${facts.port} ${section.protocol} ${payloadTypes.join(" ")}`,
    `c=IN ${inAddress(facts)}`,
    ...midLine(section),
    "a=sendonly",
    `a=msid:${facts.stream} video`,
    ...transport(facts),
    ...(offer.reducedSizeRtcp ? ["a=rtcp-rsize"] : []),
    ...(offer.receiverReferenceTime ? ["a=rtcp-xr:rcvr-rtt=all"] : []),
    ...codec(offer),
    ...(facts.playoutDelay && offer.playoutDelayId > 0
      ? [`a=extmap:${offer.playoutDelayId} ${PLAYOUT_DELAY_URI}`]
      : []),
    ...sources(offer, facts),
  ];
}

function midLine({ attributes }: MediaSection): string[] {
  const mid = attribute(attributes, "mid");
  return mid === undefined ? [] : [`a=mid:${mid}`];
}

function transport({ ice, fingerprint, addresses, port }: AnswerFacts): string[] {
  return [
    "a=rtcp-mux",
    `a=ice-ufrag:${ice.ufrag}`,
    `a=ice-pwd:${ice.password}`,
    `a=fingerprint:sha-256 ${fingerprint}`,
    "a=setup:passive",
    ...addresses.map((address, i) => candidate(address, i, port)),
    "a=end-of-candidates",
  ];
}

function codec({ payload }: WhepOffer): string[] {
  const { payloadType, fmtp, rtxPayloadType, feedback } = payload;
  const lines = [`a=rtpmap:${payloadType} H264/90000`];
  if (fmtp !== "") lines.push(`a=fmtp:${payloadType} ${fmtp}`);
  for (const kind of FEEDBACK) {
    if (feedback.includes(kind)) lines.push(`a=rtcp-fb:${payloadType} ${kind}`);
  }
  if (rtxPayloadType !== null) {
    lines.push(
      `a=rtpmap:${rtxPayloadType} rtx/90000`,
      `a=fmtp:${rtxPayloadType} apt=${payloadType}`,
    );
  }
  return lines;
}

function sources({ payload }: WhepOffer, { ssrc, rtxSsrc, cname }: AnswerFacts): string[] {
  if (payload.rtxPayloadType === null) return [`a=ssrc:${ssrc} cname:${cname}`];
  return [
    `a=ssrc-group:FID ${ssrc} ${rtxSsrc}`,
    `a=ssrc:${ssrc} cname:${cname}`,
    `a=ssrc:${rtxSsrc} cname:${cname}`,
  ];
}

/** `rank` 0 is the best address (RFC 8445 section 5.1.2). */
function candidate(address: string, rank: number, port: number): string {
  const localPreference = LOCAL_PREFERENCE_MAX - rank;
  const priority = HOST_TYPE_PREFERENCE * 2 ** 24 + localPreference * 256 + (256 - RTP_COMPONENT);
  return `a=candidate:${rank + 1} ${RTP_COMPONENT} udp ${priority} ${address} ${port} typ host`;
}
