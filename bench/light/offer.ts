/** The session descriptions of a light viewer. */
import {
  attribute,
  attributeValues,
  readDescription,
  type SdpAttribute,
} from "../../src/rtc/sdp.ts";
import { PLAYOUT_DELAY_URI } from "../../src/rtc/whep-offer.ts";

const PAYLOAD_TYPE = 96;
const RTX_PAYLOAD_TYPE = 97;

export interface OfferFacts {
  readonly ufrag: string;
  readonly password: string;
  /** SHA-256, upper case with colons. */
  readonly fingerprint: string;
  readonly retransmission: boolean;
  /** Offers Opus and G.711 too. */
  readonly audio: boolean;
}

const AUDIO_LINES = [
  "m=audio 0 UDP/TLS/RTP/SAVPF 111 0 8",
  "c=IN IP4 0.0.0.0",
  "a=bundle-only",
  "a=mid:1",
  "a=recvonly",
  "a=rtcp-mux",
  "a=rtpmap:111 opus/48000/2",
];

/** What a browser would offer to receive H.264, and sound if wanted. */
export function writeLightOffer(facts: OfferFacts): string {
  const { ufrag, password, fingerprint, retransmission, audio } = facts;
  const formats = retransmission ? `${PAYLOAD_TYPE} ${RTX_PAYLOAD_TYPE}` : `${PAYLOAD_TYPE}`;
  const lines = [
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    `a=group:BUNDLE 0${audio ? " 1" : ""}`,
    `m=video 9 UDP/TLS/RTP/SAVPF ${formats}`,
    "c=IN IP4 0.0.0.0",
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${password}`,
    `a=fingerprint:sha-256 ${fingerprint}`,
    "a=setup:actpass",
    "a=mid:0",
    "a=recvonly",
    "a=rtcp-mux",
    "a=rtcp-rsize",
    `a=extmap:5 ${PLAYOUT_DELAY_URI}`,
    `a=rtpmap:${PAYLOAD_TYPE} H264/90000`,
    `a=fmtp:${PAYLOAD_TYPE} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f`,
    `a=rtcp-fb:${PAYLOAD_TYPE} nack`,
    `a=rtcp-fb:${PAYLOAD_TYPE} nack pli`,
  ];
  if (retransmission) {
    lines.push(`a=rtpmap:${RTX_PAYLOAD_TYPE} rtx/90000`);
    lines.push(`a=fmtp:${RTX_PAYLOAD_TYPE} apt=${PAYLOAD_TYPE}`);
  }
  if (audio) lines.push(...AUDIO_LINES);
  return `${lines.join("\r\n")}\r\n`;
}

export interface AnswerFacts {
  readonly ufrag: string;
  readonly password: string;
  readonly address: string;
  readonly port: number;
  readonly ssrc: number;
  /** 0 when lost packets come under the same SSRC. */
  readonly rtxSsrc: number;
  /** 0 when there is no sound. */
  readonly audioSsrc: number;
}

/** What a viewer needs of the answer. Throws when it is none. */
export function readLightAnswer(sdp: string): AnswerFacts {
  const [video, audio] = (readDescription(sdp)?.media ?? []).map((section) => section.attributes);
  const attributes = video ?? [];
  const [, , , , address, port] = (attribute(attributes, "candidate") ?? "").split(" ");
  const ufrag = attribute(attributes, "ice-ufrag");
  const password = attribute(attributes, "ice-pwd");
  const sources = ssrcsOf(attributes);
  if (!ufrag || !password || !address) throw new Error(`not an answer: ${sdp.slice(0, 200)}`);
  return {
    ufrag,
    password,
    address,
    port: Number(port),
    ssrc: sources[0] ?? 0,
    rtxSsrc: sources[1] ?? 0,
    audioSsrc: ssrcsOf(audio ?? [])[0] ?? 0,
  };
}

function ssrcsOf(attributes: readonly SdpAttribute[]): number[] {
  return attributeValues(attributes, "ssrc").map((value) => Number.parseInt(value, 10));
}
