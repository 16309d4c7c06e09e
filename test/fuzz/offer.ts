/** Junk for what reads a viewer's offer: `bun test/fuzz/offer.ts [inputs] [seed]`. */

import { assert } from "../../src/core/fault.ts";
import type { Sendable } from "../../src/rtc/codec-offer.ts";
import { FACTS } from "../../src/rtc/fixtures/facts.ts";
import {
  AIORTC_AV,
  CHROMIUM_AV,
  CHROMIUM_H265,
  FIREFOX_AV,
  GSTREAMER_AV,
  SAFARI_AV,
  UNBUNDLED_AV,
} from "../../src/rtc/fixtures/offers.ts";
import { readDescription } from "../../src/rtc/sdp.ts";
import { writeAnswer } from "../../src/rtc/whep-answer.ts";
import { chooseTracks } from "../../src/rtc/whep-choice.ts";
import { readOffer } from "../../src/rtc/whep-offer.ts";
import { below, main, type Target } from "./fuzz.ts";

const OFFERS = [CHROMIUM_AV, FIREFOX_AV, SAFARI_AV, AIORTC_AV, GSTREAMER_AV, UNBUNDLED_AV];
const VIDEO: readonly (Sendable | null)[] = [
  { codec: "h264", clockHz: 90_000, channels: 1, profile: "42c028" },
  { codec: "h265", clockHz: 90_000, channels: 1, profile: "1" },
  { codec: "vp8", clockHz: 90_000, channels: 1, profile: "" },
  null,
];
const AUDIO: readonly (Sendable | null)[] = [
  { codec: "opus", clockHz: 48_000, channels: 2, profile: "" },
  { codec: "pcma", clockHz: 8_000, channels: 1, profile: "" },
  null,
];

const offer: Target = {
  name: "whep offer",
  seeds: OFFERS.map((text) => new TextEncoder().encode(text)),
  words: [
    ...CHROMIUM_H265.split("\r\n"),
    ...["m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n", "\r\n", "a="],
    ...["a=group:BUNDLE 0 1", "a=mid:0", "a=bundle-only", "a=rtcp-mux", "a=inactive", "apt=96"],
    ...["a=rtpmap:", "a=fmtp:", "a=extmap:1/recvonly ", "H264/90000", "packetization-mode=1"],
  ],
  run: (input, random) => {
    const read = readOffer(new TextDecoder().decode(input));
    const video = VIDEO[below(VIDEO.length, random)] ?? null;
    const audio = AUDIO[below(AUDIO.length, random)] ?? null;
    const answer = readDescription(writeAnswer(read, chooseTracks(read, { video, audio }), FACTS));
    assert(answer !== null, "an answer is a session description");
    assert(answer.media.length === read.sections.length, "an answer repeats the offer's sections");
    const sent = answer.media.filter(({ attributes }) =>
      attributes.some(({ name }) => name === "sendonly"),
    );
    assert(sent.length >= 1 && sent.length <= 2, "a picture, sound, or both are sent");
  },
};

export const OFFER_TARGETS = [offer];

if (import.meta.main) main(OFFER_TARGETS);
