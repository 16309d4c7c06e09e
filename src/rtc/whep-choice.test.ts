import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../core/fault.ts";
import type { Sendable } from "./codec-offer.ts";
import { FACTS } from "./fixtures/facts.ts";
import {
  AIORTC_AV,
  CHROMIUM_AV,
  CHROMIUM_H265,
  FIREFOX_AV,
  GSTREAMER_AV,
  SAFARI_AV,
  UNBUNDLED_AV,
} from "./fixtures/offers.ts";
import { readDescription } from "./sdp.ts";
import { writeAnswer } from "./whep-answer.ts";
import { canPlay, chooseTracks, offeredCodecs } from "./whep-choice.ts";
import { readOffer } from "./whep-offer.ts";

const video = (codec: Sendable["codec"], profile = ""): Sendable => ({
  codec,
  clockHz: 90_000,
  channels: 1,
  profile,
});
const H264 = video("h264", "42c028");
const H265 = video("h265", "1");
const VP8 = video("vp8");
const OPUS: Sendable = { codec: "opus", clockHz: 48_000, channels: 1, profile: "" };
const PCMU: Sendable = { codec: "pcmu", clockHz: 8_000, channels: 1, profile: "" };
const PCMA: Sendable = { ...PCMU, codec: "pcma" };
const G722: Sendable = { ...PCMU, codec: "g722" };
const AAC: Sendable = { codec: "aac", clockHz: 48_000, channels: 2, profile: "" };

const CHROMIUM_HARDWARE = CHROMIUM_AV.replace(/(m=video .*)/, "$1 50 51 52 53").replace(
  "a=rtpmap:96 ",
  `${CHROMIUM_H265}a=rtpmap:96 `,
);

/** Payload types that are chosen, retransmission in brackets; or the code of the Fault. */
function outcome(offer: string, given: { video: Sendable | null; audio: Sendable | null }): string {
  try {
    const choice = chooseTracks(readOffer(offer), given);
    const [sight, sound] = [choice.video, choice.audio].map((track) => {
      if (track === null) return "-";
      const { payloadType, rtxPayloadType } = track.codec;
      return rtxPayloadType === null ? `${payloadType}` : `${payloadType}(${rtxPayloadType})`;
    });
    return `${sight} ${sound}`;
  } catch (error) {
    if (error instanceof Fault) return error.code;
    throw error;
  }
}

const without = (offer: string, media: "audio" | "video") => {
  const [head = "", ...sections] = offer.split(/^(?=m=)/m);
  return head + sections.filter((section) => !section.startsWith(`m=${media}`)).join("");
};
const refused = (offer: string, media: "audio" | "video") =>
  offer.replace(new RegExp(`^m=${media} \\d+`, "m"), `m=${media} 0`);
const turned = (offer: string, media: "audio" | "video", direction: string) =>
  offer.replace(
    new RegExp(`(^m=${media} [\\s\\S]*?^a=)(?:recvonly|sendrecv)$`, "m"),
    `$1${direction}`,
  );

describe("what a viewer gets", () => {
  test.each([
    ["Chromium", CHROMIUM_AV, H264, OPUS, "108(109) 111"],
    ["Chromium", CHROMIUM_AV, H264, PCMU, "108(109) 0"],
    ["Chromium", CHROMIUM_AV, H264, PCMA, "108(109) 8"],
    ["Chromium", CHROMIUM_AV, H264, G722, "108(109) 9"],
    ["Chromium, audio it cannot take", CHROMIUM_AV, H264, AAC, "108(109) -"],
    ["Chromium, silent camera", CHROMIUM_AV, VP8, null, "96(97) -"],
    ["Chromium, camera without a picture", CHROMIUM_AV, null, PCMU, "- 0"],
    ["Chromium, H.265 in software", CHROMIUM_AV, H265, PCMU, "codec_mismatch"],
    ["Chromium, MJPEG", CHROMIUM_AV, video("mjpeg"), PCMU, "codec_mismatch"],
    ["Chromium, H.265 in hardware", CHROMIUM_HARDWARE, H265, OPUS, "50(51) 111"],
    ["Chromium, Main 10", CHROMIUM_HARDWARE, video("h265", "2"), null, "52(53) -"],
    ["Chromium, not known which H.265", CHROMIUM_HARDWARE, video("h265"), null, "50(51) -"],
    ["Chromium, H.265 of 4:4:4", CHROMIUM_HARDWARE, video("h265", "4"), null, "codec_mismatch"],
    ["Firefox", FIREFOX_AV, VP8, OPUS, "120(124) 109"],
    ["Firefox, G.722 with its channel", FIREFOX_AV, VP8, G722, "120(124) 9"],
    ["Firefox of Debian, H.264", FIREFOX_AV, H264, OPUS, "codec_mismatch"],
    ["Safari", SAFARI_AV, H264, OPUS, "98(99) 111"],
    ["Safari, High", SAFARI_AV, video("h264", "640028"), null, "96(97) -"],
    ["Safari, H.265 without parameters is Main", SAFARI_AV, H265, PCMA, "104(105) 8"],
    ["Safari, Main 10", SAFARI_AV, video("h265", "2"), PCMA, "codec_mismatch"],
    ["aiortc, audio first", AIORTC_AV, H264, OPUS, "101(102) 96"],
    ["aiortc", AIORTC_AV, VP8, PCMU, "97(98) 0"],
    [
      "quirk: whepsrc of GStreamer offers H.264 without a packetization mode",
      GSTREAMER_AV,
      H264,
      PCMU,
      "127 0",
    ],
    ["GStreamer, a codec without its rtpmap", GSTREAMER_AV, H264, PCMA, "127 -"],
    ["audio only", without(CHROMIUM_AV, "video"), H264, OPUS, "- 111"],
    ["audio only, silent camera", without(CHROMIUM_AV, "video"), H264, null, "codec_mismatch"],
    ["video only", without(FIREFOX_AV, "audio"), VP8, OPUS, "120(124) -"],
    ["sendrecv", turned(CHROMIUM_AV, "audio", "sendrecv"), H264, OPUS, "108(109) 111"],
    ["audio that is only sent", turned(CHROMIUM_AV, "audio", "sendonly"), H264, OPUS, "108(109) -"],
    ["audio refused", refused(CHROMIUM_AV, "audio"), H264, OPUS, "108(109) -"],
    ["video refused", refused(CHROMIUM_AV, "video"), H264, OPUS, "- 111"],
    ["both inactive", CHROMIUM_AV.replaceAll("recvonly", "inactive"), H264, OPUS, "offer_invalid"],
    ["two transports: video is what counts", UNBUNDLED_AV, VP8, PCMU, "96 -"],
    ["two transports, no picture", UNBUNDLED_AV, null, PCMU, "- 0"],
    ["nothing there yet", CHROMIUM_AV, null, null, "codec_mismatch"],
    ["G.711 of 16 kHz", CHROMIUM_AV, H264, { ...PCMU, clockHz: 16_000 }, "108(109) -"],
    ["G.711 in stereo", CHROMIUM_AV, H264, { ...PCMU, channels: 2 }, "108(109) -"],
  ])("%s", (_name, offer, sight, sound, expected) => {
    expect(outcome(offer, { video: sight, audio: sound })).toBe(expected);
  });

  test("two transports: the chosen section's own", () => {
    const { video: chosen } = chooseTracks(readOffer(UNBUNDLED_AV), { video: VP8, audio: PCMU });
    expect(chosen?.section).toMatchObject({ iceUfrag: "sight", bundled: false });
  });

  test("H.265 over several transports is not sent", () => {
    const offer = CHROMIUM_HARDWARE.replaceAll("tx-mode=SRST", "tx-mode=MRST");
    expect(outcome(offer, { video: H265, audio: null })).toBe("codec_mismatch");
  });

  test("asked beforehand, whether a rendition is needed", () => {
    const firefox = readOffer(FIREFOX_AV);
    expect(offeredCodecs(firefox)).toEqual({
      video: { h264: false, h265: false, vp8: true },
      audio: { opus: true, pcmu: true, pcma: true, g722: true },
    });
    expect([H264, VP8, OPUS, AAC].map((track) => canPlay(firefox, track))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test("who gets nothing is told what was offered and what there is", () => {
    const offer = readOffer(FIREFOX_AV);
    const names = "video/VP8, video/VP9, video/AV1, audio/opus, audio/G722, audio/PCMU, audio/PCMA";
    expect(() => chooseTracks(offer, { video: H265, audio: AAC })).toThrow(
      `The viewer offers ${names}; the hub could send video/H265, audio/AAC.`,
    );
    const old = readOffer(GSTREAMER_AV.replace("a=mid:video0", "a=fmtp:127 packetization-mode=0"));
    expect(() => chooseTracks(old, { video: H264, audio: null })).toThrow(
      "video/H264 (packetization-mode=0), audio/PCMU; the hub could send video/H264.",
    );
  });
});

describe("answer", () => {
  const answer = (offer: string, sight: Sendable | null, sound: Sendable | null) => {
    const read = readOffer(offer);
    return writeAnswer(read, chooseTracks(read, { video: sight, audio: sound }), FACTS);
  };
  const groups = (text: string) => /^a=group:BUNDLE (.*)$/m.exec(text)?.[1]?.trim();

  test("audio beside video: its own numbers, one stream, one name", () => {
    const text = answer(FIREFOX_AV, VP8, OPUS);
    const [sight = "", sound = ""] = text.split(/^(?=m=)/m).slice(1);
    expect(groups(text)).toBe("0 1");
    expect(sight).toStartWith("m=video 8555 UDP/TLS/RTP/SAVPF 120 124\r\n");
    expect(sight).toContain("a=msid:onepull video\r\n");
    expect(sight).toContain("a=ssrc-group:FID 1111 2222\r\n");
    expect(sight).toContain("a=extmap:6/sendonly http");
    expect(sound.split("\r\n")).toEqual([
      "m=audio 8555 UDP/TLS/RTP/SAVPF 109",
      "c=IN IP4 192.0.2.7",
      "a=mid:1",
      "a=sendonly",
      "a=msid:onepull audio",
      "a=rtcp-mux",
      "a=ice-ufrag:abcd",
      `a=ice-pwd:${FACTS.ice.password}`,
      "a=fingerprint:sha-256 AA:BB",
      "a=setup:passive",
      "a=candidate:1 1 udp 2130706431 192.0.2.7 8555 typ host",
      "a=end-of-candidates",
      "a=rtpmap:109 opus/48000/2",
      "a=ssrc:3333 cname:onepull",
      "",
    ]);
  });

  test("stereo is announced", () => {
    const text = answer(CHROMIUM_AV, H264, { ...OPUS, channels: 2 });
    expect(text).toContain("a=fmtp:111 sprop-stereo=1\r\n");
  });

  test("H.265 repeats what was offered", () => {
    const text = answer(CHROMIUM_HARDWARE, H265, null);
    expect(text).toContain("a=rtpmap:50 H265/90000\r\n");
    expect(text).toContain("a=fmtp:50 level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST\r\n");
    expect(answer(SAFARI_AV, H265, null)).not.toContain("a=fmtp:104 ");
  });

  test.each([
    ["audio first, none to send: kept for its transport", AIORTC_AV, H264, null, "0 1", [1, 1]],
    ["audio first, sent", AIORTC_AV, H264, OPUS, "0 1", [1, 1]],
    ["video first, audio refused", CHROMIUM_AV, H264, AAC, "0", [1, 0]],
    ["video first, no picture: kept for its transport", CHROMIUM_AV, null, OPUS, "0 1", [1, 1]],
    ["no bundle", UNBUNDLED_AV, VP8, PCMU, undefined, [0, 1]],
  ])("%s", (_name, offer, sight, sound, bundle, stays) => {
    const text = answer(offer, sight, sound);
    expect(groups(text)).toBe(bundle);
    const ports = readDescription(text)?.media.map(({ port }) => port);
    expect(ports).toEqual(stays.map((stay) => stay * 8555));
  });

  test("bent anywhere: an answer or a Fault, nothing else", () => {
    const offers = [
      CHROMIUM_HARDWARE,
      FIREFOX_AV,
      SAFARI_AV,
      AIORTC_AV,
      GSTREAMER_AV,
      UNBUNDLED_AV,
    ];
    const given = [H264, H265, VP8, OPUS, PCMU, null];
    fc.assert(
      fc.property(
        fc.constantFrom(...offers),
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(6), fc.string())),
        fc.constantFrom(...given),
        fc.constantFrom(...given),
        (offer, bends, sight, sound) => {
          let text = offer;
          for (const [place, kind, put] of bends) text = bent(text, place, kind, put);
          try {
            const read = answer(text, sight, sound);
            expect(readDescription(read)).not.toBeNull();
          } catch (error) {
            expect(error).toBeInstanceOf(Fault);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

/** One line gone, doubled, swapped, cut, filled; or characters in the middle. */
function bent(text: string, place: number, kind: number, put: string): string {
  const lines = text.split("\r\n");
  const at = Math.floor(place * (lines.length - 1));
  const line = lines[at] ?? "";
  const middle = Math.floor(line.length * place);
  const replacements = [
    [],
    [line, line],
    [lines[(at * 7) % lines.length] ?? "", line],
    [line.slice(0, middle)],
    [line.slice(0, middle) + put + line.slice(middle)],
    [line.replace(/\d+/, put)],
    [`a=${put}`, line],
  ];
  lines.splice(at, 1, ...(replacements[kind] ?? []));
  return lines.join("\r\n");
}
