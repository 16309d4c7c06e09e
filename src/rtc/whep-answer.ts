/** The answer to a viewer's offer (RFC 9429 section 5.3): ICE-lite, what was chosen is sent. */
import { addressBytes } from "./address.ts";
import type { IceCredentials } from "./ice-lite.ts";
import { attribute, keyedValue, type MediaSection } from "./sdp.ts";
import type { Choice, ChosenTrack } from "./whep-choice.ts";
import { midOf, PLAYOUT_DELAY_URI, type WhepOffer } from "./whep-offer.ts";

/** Numbers of one track. */
export interface TrackSources {
  readonly ssrc: number;
  /** Of retransmissions; used when the offer has a payload type for them. */
  readonly rtxSsrc: number;
}

export interface AnswerFacts {
  readonly ice: IceCredentials;
  /** SHA-256 of the hub's certificate, upper case with colons. */
  readonly fingerprint: string;
  /** Announced addresses, best first; the media port is the same on each. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly video: TrackSources;
  readonly audio: TrackSources;
  readonly cname: string;
  /** Name of the one media stream: what is in it is played in step. */
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
export function writeAnswer(offer: WhepOffer, choice: Choice, facts: AnswerFacts): string {
  const bundle = bundleOf(offer, choice);
  const lines = [
    "v=0",
    `o=- ${facts.sessionId} 1 IN ${inAddress(facts)}`,
    "s=-",
    "t=0 0",
    "a=ice-lite",
    ...(bundle.length > 0 ? [`a=group:BUNDLE ${bundle.join(" ")}`] : []),
    `a=msid-semantic: WMS ${facts.stream}`,
  ];
  for (const [i, section] of offer.sections.entries()) {
    const track = chosenAt(choice, i);
    if (track !== null) lines.push(...sent(section, track, facts));
    else if (i === idle(offer, choice)) lines.push(...kept(section, facts));
    else lines.push(...rejected(section));
  }
  return `${lines.join("\r\n")}\r\n`;
}

function chosenAt({ video, audio }: Choice, index: number): ChosenTrack | null {
  if (video?.section.index === index) return video;
  return audio?.section.index === index ? audio : null;
}

/**
 * The section that is kept without being used, -1 for none. A bundle whose tagged section is
 * refused may move to another one (RFC 9143 section 7.3.1), but Chromium does not follow when the
 * others are bundle-only: it offers audio first and has no transport left.
 */
function idle({ sections, bundle }: WhepOffer, choice: Choice): number {
  if (!(choice.video ?? choice.audio)?.section.bundled) return -1;
  const tagged = sections.findIndex((section) => midOf(section) === bundle[0]);
  const isMedia = sections[tagged]?.protocol.endsWith("/RTP/SAVPF") ?? false;
  return isMedia && chosenAt(choice, tagged) === null ? tagged : -1;
}

/** The mids that stay, in the offer's order: the one that carries the transport is first. */
function bundleOf(offer: WhepOffer, choice: Choice): string[] {
  if (!(choice.video ?? choice.audio)?.section.bundled) return [];
  const kept = idle(offer, choice);
  const stays = offer.sections.filter((_, i) => i === kept || chosenAt(choice, i) !== null);
  const mids = stays.map(midOf);
  return offer.bundle.filter((mid) => mids.includes(mid));
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

function sent({ protocol, ...section }: MediaSection, track: ChosenTrack, facts: AnswerFacts) {
  const { payloadType, rtxPayloadType } = track.codec;
  const { kind, reducedSizeRtcp, receiverReferenceTime } = track.section;
  const payloadTypes = rtxPayloadType === null ? [payloadType] : [payloadType, rtxPayloadType];
  return [
    `m=${kind} ${facts.port} ${protocol} ${payloadTypes.join(" ")}`,
    `c=IN ${inAddress(facts)}`,
    ...midLine(section),
    "a=sendonly",
    `a=msid:${facts.stream} ${kind}`,
    ...transport(facts),
    ...(reducedSizeRtcp ? ["a=rtcp-rsize"] : []),
    ...(receiverReferenceTime ? ["a=rtcp-xr:rcvr-rtt=all"] : []),
    ...codecLines(track),
    ...extensions(track, facts),
    ...sources(track, facts),
  ];
}

function midLine({ attributes }: Pick<MediaSection, "attributes">): string[] {
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

function codecLines({ codec, fmtp }: ChosenTrack): string[] {
  const { payloadType, encoding, rtxPayloadType, feedback } = codec;
  const lines = [`a=rtpmap:${payloadType} ${encoding}`];
  if (fmtp !== "") lines.push(`a=fmtp:${payloadType} ${fmtp}`);
  for (const kind of FEEDBACK) {
    if (feedback.includes(kind)) lines.push(`a=rtcp-fb:${payloadType} ${kind}`);
  }
  if (rtxPayloadType !== null) {
    const [, clock] = encoding.split("/");
    lines.push(
      `a=rtpmap:${rtxPayloadType} rtx/${clock}`,
      `a=fmtp:${rtxPayloadType} apt=${payloadType}`,
    );
  }
  return lines;
}

/** Browsers tell tracks apart by the SSRCs below: no packet needs to carry its mid. */
function extensions({ section }: ChosenTrack, { playoutDelay }: AnswerFacts): string[] {
  if (!playoutDelay || section.kind === "audio" || section.playoutDelay === null) return [];
  const { id, directed } = section.playoutDelay;
  return [`a=extmap:${id}${directed ? "/sendonly" : ""} ${PLAYOUT_DELAY_URI}`];
}

function sources({ section, codec }: ChosenTrack, facts: AnswerFacts): string[] {
  const { ssrc, rtxSsrc } = facts[section.kind];
  const name = `cname:${facts.cname}`;
  if (codec.rtxPayloadType === null) return [`a=ssrc:${ssrc} ${name}`];
  return [
    `a=ssrc-group:FID ${ssrc} ${rtxSsrc}`,
    `a=ssrc:${ssrc} ${name}`,
    `a=ssrc:${rtxSsrc} ${name}`,
  ];
}

/** `rank` 0 is the best address (RFC 8445 section 5.1.2). */
function candidate(address: string, rank: number, port: number): string {
  const localPreference = LOCAL_PREFERENCE_MAX - rank;
  const priority = HOST_TYPE_PREFERENCE * 2 ** 24 + localPreference * 256 + (256 - RTP_COMPONENT);
  return `a=candidate:${rank + 1} ${RTP_COMPONENT} udp ${priority} ${address} ${port} typ host`;
}
