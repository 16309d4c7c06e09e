import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../core/fault.ts";
import { CHROMIUM_OFFER } from "./fixtures/chromium.ts";
import { FACTS as HUB } from "./fixtures/facts.ts";
import { playoutDelayExtension } from "./playout-delay.ts";
import { readDescription } from "./sdp.ts";
import { writeAnswer } from "./whep-answer.ts";
import { chooseTracks } from "./whep-choice.ts";
import { readOffer } from "./whep-offer.ts";

const FACTS = { ...HUB, addresses: ["192.0.2.7", "2001:db8::7"] };

const AUDIO = [
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
  "c=IN IP4 0.0.0.0",
  "a=mid:a",
  "a=recvonly",
  "a=rtpmap:111 opus/48000/2",
].join("\r\n");

const chromium = CHROMIUM_OFFER;
/** A camera that sends H.264 and nothing else. */
const h264 = (profile: string) => ({
  video: { codec: "h264", clockHz: 90_000, channels: 1, profile } as const,
  audio: null,
});
/** What is chosen of an offer for such a camera. */
const chosen = (text: string, profile = "") => {
  const offer = readOffer(text);
  const { video } = chooseTracks(offer, h264(profile));
  if (video === null) throw new Error("no video");
  return { offer, section: video.section, payload: video.codec };
};
const answered = (text: string, profile = "") => {
  const offer = readOffer(text);
  return writeAnswer(offer, chooseTracks(offer, h264(profile)), FACTS);
};
/** Chromium's offer with lines replaced. */
const changed = (from: string | RegExp, to: string) => {
  const text = chromium.replaceAll(from, to);
  if (text === chromium) throw new Error(`nothing replaced: ${from}`);
  return text;
};
const without = (line: string | RegExp) =>
  `${chromium
    .split("\r\n")
    .filter((other) => (typeof line === "string" ? other !== line : !line.test(other)))
    .join("\r\n")}`;

function faultOf(text: string): Fault {
  try {
    chosen(text, "42c028");
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("the offer was taken");
}

describe("offer", () => {
  test("Chromium's", () => {
    expect(chosen(chromium, "42c028")).toMatchObject({
      section: {
        index: 0,
        bundled: true,
        iceUfrag: "zXir",
        playoutDelay: { id: 5, directed: false },
        reducedSizeRtcp: true,
        receiverReferenceTime: true,
        fingerprints: [
          "05:43:2B:43:E5:F6:52:C1:66:BD:20:32:8A:6B:00:72:55:E6:91:D0:EE:B2:17:4D:BA:EB:23:EC:A2:AE:A7:04",
        ],
      },
      payload: { payloadType: 108, rtxPayloadType: 109 },
    });
  });

  test.each([
    ["constrained baseline 4.0", "42c028", 108],
    ["constrained baseline, said by main", "4de028", 108],
    ["baseline with flexible macroblock order", "420028", 102],
    ["main", "4d0028", 116],
    ["high, which no browser offers here", "640028", 116],
    ["not known yet", "", 108],
    ["nonsense", "zz", 116],
  ])("payload type for %s", (_name, profileLevelId, payloadType) => {
    expect(chosen(chromium, profileLevelId).payload.payloadType).toBe(payloadType);
  });

  test("high is preferred for a high stream where it is offered", () => {
    const offer = changed(
      "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
      "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f",
    );
    expect(chosen(offer, "64002a").payload.payloadType).toBe(102);
  });

  test.each([
    ["nothing", ""],
    ["another text", "hello"],
    ["to send", changed("a=recvonly", "a=sendonly")],
    ["inactive", changed("a=recvonly", "a=inactive")],
    ["a refused section", changed("m=video 41509", "m=video 0")],
    ["no RTCP multiplexing", without("a=rtcp-mux")],
    ["no certificate", without(/^a=fingerprint/)],
    ["another hash only", changed("a=fingerprint:sha-256", "a=fingerprint:sha-512")],
    ["a fingerprint too short", changed(":A7:04", "")],
    ["no ICE", without(/^a=ice-ufrag/)],
    ["ICE-lite", changed("s=-", "s=-\r\na=ice-lite")],
    ["passive DTLS", changed("a=setup:actpass", "a=setup:passive")],
    ["SDES", changed("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")],
    ["too long", chromium + "a=x\r\n".repeat(20_000)],
  ])("refused: %s", (_name, text) => {
    expect(faultOf(text).code).toBe("offer_invalid");
  });

  test.each([
    ["no H.264", changed("H264/90000", "H266/90000")],
    ["packetization mode 0 only", changed("packetization-mode=1", "packetization-mode=0")],
  ])("no codec in common: %s", (_name, text) => {
    expect(faultOf(text).code).toBe("codec_mismatch");
  });

  test("transport at the session, several fingerprints, no direction", () => {
    const fingerprint = /^a=fingerprint:.*$/m.exec(chromium)?.[0] ?? "";
    const offer = without(/^a=(fingerprint|ice-ufrag|setup|recvonly)/).replace(
      "s=-",
      `s=-\r\na=fingerprint:sha-512 00\r\n${fingerprint}\r\na=ice-ufrag:sess\r\na=setup:active`,
    );
    expect(chosen(offer).section).toMatchObject({ iceUfrag: "sess" });
  });

  test("transport of a bundle-only section is in the tagged one", () => {
    const transport = chromium.split("\r\n").filter((l) => /^a=(ice|fingerprint|setup)/.test(l));
    const offer = without(/^a=(ice|fingerprint|setup)/)
      .replace("BUNDLE 0", "BUNDLE a 0")
      .replace("m=video 41509", `${AUDIO}\r\n${transport.join("\r\n")}\r\nm=video 0`)
      .replace("a=mid:0", "a=mid:0\r\na=bundle-only");
    expect(chosen(offer).section).toMatchObject({ iceUfrag: "zXir", index: 1, bundled: true });
  });

  test("line feeds alone are enough", () => {
    expect(chosen(chromium.replaceAll("\r\n", "\n")).payload.payloadType).toBe(108);
  });

  test("cut anywhere, bent anywhere: an offer or a Fault, nothing else", () => {
    const half = { minLength: 1, maxLength: 40 };
    const at = fc.nat({ max: chromium.length });
    fc.assert(
      fc.property(at, at, fc.string(half), (from, length, put) => {
        for (const text of [
          chromium.slice(0, from),
          chromium.slice(0, from) + put + chromium.slice(from),
          chromium.slice(0, from) + chromium.slice(from + (length % 60)),
        ]) {
          try {
            answered(text, "42c028");
          } catch (error) {
            expect(error).toBeInstanceOf(Fault);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("answer", () => {
  const lines = (text: string) => text.split("\r\n");

  test("for Chromium", () => {
    expect(lines(answered(chromium, "42c028"))).toEqual([
      "v=0",
      "o=- 42 1 IN IP4 192.0.2.7",
      "s=-",
      "t=0 0",
      "a=ice-lite",
      "a=group:BUNDLE 0",
      "a=msid-semantic: WMS onepull",
      "m=video 8555 UDP/TLS/RTP/SAVPF 108 109",
      "c=IN IP4 192.0.2.7",
      "a=mid:0",
      "a=sendonly",
      "a=msid:onepull video",
      "a=rtcp-mux",
      "a=ice-ufrag:abcd",
      `a=ice-pwd:${FACTS.ice.password}`,
      "a=fingerprint:sha-256 AA:BB",
      "a=setup:passive",
      "a=candidate:1 1 udp 2130706431 192.0.2.7 8555 typ host",
      "a=candidate:2 1 udp 2130706175 2001:db8::7 8555 typ host",
      "a=end-of-candidates",
      "a=rtcp-rsize",
      "a=rtcp-xr:rcvr-rtt=all",
      "a=rtpmap:108 H264/90000",
      "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
      "a=rtcp-fb:108 nack",
      "a=rtcp-fb:108 nack pli",
      "a=rtcp-fb:108 ccm fir",
      "a=rtcp-fb:108 goog-remb",
      "a=rtpmap:109 rtx/90000",
      "a=fmtp:109 apt=108",
      "a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
      "a=ssrc-group:FID 1111 2222",
      "a=ssrc:1111 cname:onepull",
      "a=ssrc:2222 cname:onepull",
      "",
    ]);
  });

  test("other sections stay in their places, refused", () => {
    const offer = changed("m=video", `${AUDIO}\r\nm=video`).replace("BUNDLE 0", "BUNDLE 0 a");
    const data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n";
    const answer = readDescription(answered(offer + data));
    expect(answer?.media.map(({ media, port }) => [media, port])).toEqual([
      ["audio", 0],
      ["video", 8555],
      ["application", 0],
    ]);
    expect(answer?.attributes).toContainEqual({ name: "group", value: "BUNDLE 0" });
    expect(answer?.media[0]?.attributes).toContainEqual({ name: "mid", value: "a" });
  });

  test("a section that carries the transport of the bundle is kept, idle", () => {
    const offer = changed("m=video", `${AUDIO}\r\nm=video`).replace("BUNDLE 0", "BUNDLE a 0");
    const answer = readDescription(answered(offer));
    const [audio, video] = answer?.media ?? [];
    expect(answer?.attributes).toContainEqual({ name: "group", value: "BUNDLE a 0" });
    expect(audio).toMatchObject({ media: "audio", port: 8555, formats: ["111"] });
    for (const name of ["inactive", "ice-ufrag", "fingerprint", "candidate", "rtcp-mux"]) {
      expect(audio?.attributes.map((attribute) => attribute.name)).toContain(name);
    }
    expect(video).toMatchObject({ media: "video", port: 8555 });
  });

  test("one that is no media is not", () => {
    const data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d";
    const offer = changed("m=video", `${data}\r\nm=video`).replace("BUNDLE 0", "BUNDLE d 0");
    const answer = readDescription(answered(offer));
    expect(answer?.media.map(({ port }) => port)).toEqual([0, 8555]);
    expect(answer?.attributes).toContainEqual({ name: "group", value: "BUNDLE 0" });
  });

  test("what was not offered is not answered", () => {
    const offer = without(/^a=(rtcp-rsize|rtcp-xr|extmap|rtcp-fb|group)|rtx|apt=/);
    const answer = answered(offer);
    expect(answer).not.toMatch(/rtcp-rsize|rtcp-xr|extmap|rtcp-fb|BUNDLE|rtx|FID|2222/);
    expect(answer).toContain("m=video 8555 UDP/TLS/RTP/SAVPF 108\r\n");
  });
});

describe("playout delay", () => {
  test.each([
    ["default", 5, ""],
    ["lowest", 0, ""],
    ["lowest", 5, "bede000152000000"],
    ["smooth", 14, "bede0001e2014064"],
  ] as const)("%s with id %d", (latency, id, hex) => {
    expect(playoutDelayExtension(id, latency).toHex()).toBe(hex);
  });
});
