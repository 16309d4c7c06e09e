/**
 * A viewer's offer (draft-ietf-wish-whep, RFC 9429): the sections in which it can receive, with
 * their codecs, and its ICE and DTLS parameters. What is sent is chosen in whep-choice.ts.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { type OfferedCodec, readCodecs } from "./codec-offer.ts";
import {
  attribute,
  attributeValues,
  type MediaSection,
  readDescription,
  type SdpAttribute,
  type SessionDescription,
} from "./sdp.ts";

export const PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/** The one-byte header form has no room for higher ids (RFC 8285 section 4.2). */
const EXTENSION_ID_MAX = 14;

/** A header extension as it was offered. */
interface OfferedExtension {
  readonly id: number;
  /** It was offered for one direction, so the answer names one too (RFC 8285 section 6). */
  readonly directed: boolean;
}

/** A section in which the viewer can receive. */
export interface ReceivingSection {
  readonly kind: "video" | "audio";
  /** Its place among all sections of the offer. */
  readonly index: number;
  /** It shares the transport of the first BUNDLE group (RFC 9143). */
  readonly bundled: boolean;
  readonly iceUfrag: string;
  /** SHA-256 fingerprints, upper case with colons; the peer's certificate must match one. */
  readonly fingerprints: readonly string[];
  /** What could be sent here, in the viewer's order; may be empty. */
  readonly codecs: readonly OfferedCodec[];
  /** `null` when the playout delay was not offered. */
  readonly playoutDelay: OfferedExtension | null;
  readonly reducedSizeRtcp: boolean;
  /** The viewer measures round trips by extended reports (RFC 3611 section 4.4). */
  readonly receiverReferenceTime: boolean;
}

export interface WhepOffer {
  /** All sections, in order; the answer must repeat them so. */
  readonly sections: readonly MediaSection[];
  /** At least one. */
  readonly receiving: readonly ReceivingSection[];
  /** The mids of the first BUNDLE group, the one that carries the transport first; may be empty. */
  readonly bundle: readonly string[];
}

/**
 * Reads an offer.
 * @throws Fault offer_invalid
 */
export function readOffer(text: string): WhepOffer {
  const description = readDescription(text);
  if (description === null)
    throw invalid("it is not a session description; send the browser's own");
  if (attribute(description.attributes, "ice-lite") !== undefined) {
    throw invalid("its ICE is lite, as is the hub's, so nobody would start");
  }
  const bundle = bundleOf(description);
  const receiving = description.media.flatMap((section, index) => {
    const { media: kind } = section;
    if (kind !== "video" && kind !== "audio") return [];
    if (!receives(description, section)) return [];
    return [readSection(description, bundle, { kind, index, section })];
  });
  if (receiving.length === 0) {
    const how = "as recvonly, over UDP/TLS/RTP/SAVPF and with a=rtcp-mux";
    throw invalid(`nothing can be received; offer video, audio or both ${how}`);
  }
  return { sections: description.media, receiving, bundle };
}

/** The name of a section; empty when it has none. */
export function midOf({ attributes }: MediaSection): string {
  return attribute(attributes, "mid") ?? "";
}

function invalid(what: string): Fault {
  return new Fault("offer_invalid", `The offer cannot be answered: ${what}.`);
}

interface Place {
  readonly kind: "video" | "audio";
  readonly index: number;
  readonly section: MediaSection;
}

function readSection(
  description: SessionDescription,
  bundle: readonly string[],
  { kind, index, section }: Place,
): ReceivingSection {
  const { attributes } = section;
  const mid = midOf(section);
  const bundled = mid !== "" && bundle.includes(mid);
  const tagged = bundled ? description.media.find((one) => midOf(one) === bundle[0]) : undefined;
  return {
    kind,
    index,
    bundled,
    ...transportOf(description, section, tagged ?? section),
    codecs: readCodecs(section),
    playoutDelay: playoutDelayOf(attributes),
    reducedSizeRtcp: attribute(attributes, "rtcp-rsize") !== undefined,
    receiverReferenceTime: /(^|[ ;])rcvr-rtt/.test(attribute(attributes, "rtcp-xr") ?? ""),
  };
}

/** Whether the viewer can receive in this section, over DTLS and one port. */
function receives(description: SessionDescription, section: MediaSection): boolean {
  if (!/\/D?TLS\/RTP\/SAVPF$/.test(section.protocol)) return false;
  const bundleOnly = attribute(section.attributes, "bundle-only") !== undefined;
  if (section.port === 0 && !bundleOnly) return false;
  if (attribute(section.attributes, "rtcp-mux") === undefined) return false;
  return (
    !directionIs(description, section, "sendonly") && !directionIs(description, section, "inactive")
  );
}

/** A direction at the section, or for all of them at the session. */
function directionIs(
  description: SessionDescription,
  section: MediaSection,
  flag: string,
): boolean {
  const directions = ["sendrecv", "recvonly", "sendonly", "inactive"];
  const own = section.attributes.find(({ name }) => directions.includes(name));
  const all = description.attributes.find(({ name }) => directions.includes(name));
  return (own ?? all)?.name === flag;
}

function bundleOf(description: SessionDescription): readonly string[] {
  const group = attributeValues(description.attributes, "group").find((value) =>
    value.startsWith("BUNDLE "),
  );
  return group?.split(/ +/).slice(1) ?? [];
}

function transportOf(
  description: SessionDescription,
  section: MediaSection,
  tagged: MediaSection,
): { iceUfrag: string; fingerprints: readonly string[] } {
  // A bundle-only section has its transport in the tagged one (RFC 9143 section 7.1.3).
  const places = [section.attributes, description.attributes, tagged.attributes];
  const find = (name: string) => places.map((place) => attribute(place, name)).find((v) => v);
  const iceUfrag = find("ice-ufrag");
  if (!iceUfrag) throw invalid("it has no ICE credentials (a=ice-ufrag)");
  if (find("setup") === "passive") throw invalid("it waits for DTLS; offer a=setup:actpass");
  const fingerprints = places.map(fingerprintsOf).find((list) => list.length > 0);
  if (!fingerprints) throw invalid("it has no certificate fingerprint by SHA-256");
  return { iceUfrag, fingerprints };
}

function fingerprintsOf(attributes: readonly SdpAttribute[]): string[] {
  return attributeValues(attributes, "fingerprint").flatMap((value) => {
    const match = /^sha-256 +((?:[0-9a-f]{2}:){31}[0-9a-f]{2})$/i.exec(value);
    return match ? [match[1]!.toUpperCase()] : [];
  });
}

function playoutDelayOf(attributes: readonly SdpAttribute[]): OfferedExtension | null {
  for (const value of attributeValues(attributes, "extmap")) {
    const match = /^(\d{1,3})(\/\w+)? +(\S+)$/.exec(value);
    if (match?.[3] !== PLAYOUT_DELAY_URI) continue;
    const id = Number(match[1]);
    if (id >= 1 && id <= EXTENSION_ID_MAX) return { id, directed: match[2] !== undefined };
  }
  return null;
}
