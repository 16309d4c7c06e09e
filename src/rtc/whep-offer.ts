/**
 * A viewer's offer (draft-ietf-wish-whep, RFC 9429): one H.264 video section to receive, ICE and
 * DTLS parameters. Whatever else it offers is refused section by section in the answer.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { choosePayload, type H264Payload } from "./h264-offer.ts";
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

export interface WhepOffer {
  /** All sections, in order; the answer must repeat them so. */
  readonly sections: readonly MediaSection[];
  /** Which of them is played. */
  readonly video: number;
  /** Empty when the offer does not bundle. */
  readonly mid: string;
  readonly bundled: boolean;
  /** Which section carries the transport of the bundle (RFC 9143 section 7.1); else `video`. */
  readonly tagged: number;
  readonly payload: H264Payload;
  readonly iceUfrag: string;
  /** SHA-256 fingerprints, upper case with colons; the peer's certificate must match one. */
  readonly fingerprints: readonly string[];
  /** Header extension id for the playout delay; 0 when it was not offered. */
  readonly playoutDelayId: number;
  readonly reducedSizeRtcp: boolean;
  /** The viewer measures round trips by extended reports (RFC 3611 section 4.4). */
  readonly receiverReferenceTime: boolean;
}

/**
 * Reads an offer for a stream with this `profile-level-id` (empty while unknown).
 * @throws Fault offer_invalid, codec_mismatch
 */
export function readOffer(text: string, profileLevelId: string): WhepOffer {
  const description = readDescription(text);
  if (description === null)
    throw invalid("it is not a session description; send the browser's own");
  const { section, payload } = chooseVideo(description, profileLevelId);
  const { attributes } = section;
  if (attribute(attributes, "rtcp-mux") === undefined) {
    throw invalid("RTCP needs its own port; offer a=rtcp-mux");
  }
  const mid = midOf(section);
  const bundle = bundleOf(description);
  const bundled = mid !== "" && bundle.includes(mid);
  const video = description.media.indexOf(section);
  const tagged = bundled ? description.media.findIndex((one) => midOf(one) === bundle[0]) : video;
  return {
    sections: description.media,
    video,
    mid,
    bundled,
    tagged: tagged < 0 ? video : tagged,
    payload,
    ...transportOf(description, section, description.media[tagged] ?? section),
    playoutDelayId: playoutDelayIdOf(attributes),
    reducedSizeRtcp: attribute(attributes, "rtcp-rsize") !== undefined,
    receiverReferenceTime: /(^|[ ;])rcvr-rtt/.test(attribute(attributes, "rtcp-xr") ?? ""),
  };
}

function invalid(what: string): Fault {
  return new Fault("offer_invalid", `The offer cannot be answered: ${what}.`);
}

function chooseVideo(
  description: SessionDescription,
  profileLevelId: string,
): { section: MediaSection; payload: H264Payload } {
  const videos = description.media.filter(({ media }) => media === "video");
  if (videos.length === 0) throw invalid("it has no video section; offer video to receive");
  const receiving = videos.filter((section) => receives(description, section));
  if (receiving.length === 0) {
    throw invalid("its video is not to be received; offer it as recvonly");
  }
  for (const section of receiving) {
    const payload = choosePayload(section, profileLevelId);
    if (payload !== null) return { section, payload };
  }
  throw new Fault(
    "codec_mismatch",
    "The viewer does not offer H.264 with packetization-mode=1, the only codec that is sent.",
  );
}

/** Whether the viewer can receive in this section, over DTLS. */
function receives(description: SessionDescription, section: MediaSection): boolean {
  if (!/\/D?TLS\/RTP\/SAVPF$/.test(section.protocol)) return false;
  const bundleOnly = attribute(section.attributes, "bundle-only") !== undefined;
  if (section.port === 0 && !bundleOnly) return false;
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

function midOf({ attributes }: MediaSection): string {
  return attribute(attributes, "mid") ?? "";
}

/** The mids of the first BUNDLE group, the tagged one first (RFC 9143). */
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
  if (attribute(description.attributes, "ice-lite") !== undefined) {
    throw invalid("its ICE is lite, as is the hub's, so nobody would start");
  }
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

function playoutDelayIdOf(attributes: readonly SdpAttribute[]): number {
  for (const value of attributeValues(attributes, "extmap")) {
    const [id, uri] = value.split(/ +/);
    const number = Number.parseInt(id ?? "", 10);
    if (uri === PLAYOUT_DELAY_URI && number >= 1 && number <= EXTENSION_ID_MAX) return number;
  }
  return 0;
}
