import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../core/fault.ts";
import { baseUri, controlUri } from "./control.ts";
import { HeaderFields } from "./message.ts";
import { type Format, h264Format, offeredBy, parameterSets, parseSdp, writeSdp } from "./sdp.ts";

const camera = `v=0\r
o=- 1109162014219182 1 IN IP4 10.0.0.9\r
s=Media\tPresentation\r
c=IN IP4 0.0.0.0\r
b=AS:5100\r
t=0 0\r
a=control:rtsp://10.0.0.9/stream/\r
a=range:npt=0-\r
m=video 0 RTP/AVP 96\r
a=recvonly\r
a=control:trackID=1\r
a=rtpmap:96 h264/90000\r
a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets=Z00AKZ2oHgCJ+WbgICAgQA==,aO48gA==\r
a=Media_header:MEDIAINFO=494D4B48010100;\r
m=audio 0 RTP/AVP 8 97\r
a=control:trackID=2\r
a=rtpmap:97 mpeg4-generic/16000/2\r
a=fmtp:97 streamtype=5;config=1408\r
m=application 0 RTP/AVP 107\r
a=rtpmap:107 vnd.onvif.metadata/90000\r
a=inactive\r
`;

describe("a camera's description", () => {
  const description = parseSdp(camera);
  const [video, audio, metadata] = description.media;

  test("session", () => {
    expect(description.name).toBe("Media Presentation");
    expect(description.control).toBe("rtsp://10.0.0.9/stream/");
    expect(description.media.length).toBe(3);
  });
  test("video", () => {
    expect(video).toMatchObject({
      kind: "video",
      control: "trackID=1",
      direction: "recvonly",
      protocol: "RTP/AVP",
      formats: [{ payloadType: 96, encoding: "H264", clockHz: 90_000 }],
    });
  });
  test("parameters: only the first = separates", () => {
    expect(video?.formats[0]?.parameters.get("sprop-parameter-sets")).toBe(
      "Z00AKZ2oHgCJ+WbgICAgQA==,aO48gA==",
    );
    expect(video?.formats[0]?.parameters.get("packetization-mode")).toBe("1");
  });
  test("audio: static and dynamic payload types, channels", () => {
    expect(audio?.formats).toMatchObject([
      { payloadType: 8, encoding: "PCMA", clockHz: 8000, channels: 1 },
      { payloadType: 97, encoding: "MPEG4-GENERIC", clockHz: 16_000, channels: 2 },
    ]);
  });
  test("metadata", () => {
    expect(metadata).toMatchObject({ kind: "application", direction: "inactive", control: null });
  });
  test("in words", () => {
    expect(offeredBy(description)).toBe(
      "video H264, audio PCMA or MPEG4-GENERIC, application VND.ONVIF.METADATA",
    );
    expect(offeredBy(parseSdp("v=0\nm=video 0 RTP/AVP 98"))).toBe("video payload type 98");
    expect(offeredBy(parseSdp("v=0"))).toBe("nothing");
  });
});

describe("parameter sets", () => {
  const format = (sprop: string): Format => ({
    payloadType: 96,
    encoding: "H264",
    clockHz: 90_000,
    channels: 1,
    parameters: new Map([["sprop-parameter-sets", sprop]]),
  });
  const cases: [name: string, sprop: string, hex: string[]][] = [
    ["two", "Z0LAHg==,aM4=", ["6742c01e", "68ce"]],
    ["padding left away", "Z0LAHg,aM4", ["6742c01e", "68ce"]],
    ["start codes in front", "AAAAAWdCwB4=,AAABaM4=", ["6742c01e", "68ce"]],
    ["not base64", "Z0LAHg==,%%%", ["6742c01e"]],
    ["none", "", []],
  ];
  test.each(cases)("%s", (_name, sprop, hex) => {
    expect(parameterSets(format(sprop)).map((nal) => nal.toHex())).toEqual(hex);
  });
});

test("lines end as they like, unknown ones are skipped", () => {
  expect(parseSdp("v=0\nnonsense\n m=video 0 RTP/AVP 26\n\n").media).toMatchObject([
    { formats: [{ encoding: "JPEG", clockHz: 90_000 }] },
  ]);
});

test("what is no description at all is a Fault", () => {
  for (const text of ["", "<html>", "\0\0"]) expect(() => parseSdp(text)).toThrow(Fault);
  expect(() => parseSdp("m=video 0 RTP/AVP 96\n".repeat(33))).toThrow("33 media");
});

test("any text gives a description or a Fault", () => {
  const line = fc.oneof(fc.string(), fc.constantFrom(...camera.split("\r\n")));
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        for (const media of parseSdp(lines.join("\n")).media) media.formats.map(parameterSets);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
      }
    }),
  );
});

test("what is written reads the same", () => {
  const sps = new Uint8Array([0x67, 0x42, 0xc0, 0x1e, 1]);
  const pps = new Uint8Array([0x68, 0xce]);
  const aac: Format = {
    payloadType: 97,
    encoding: "MPEG4-GENERIC",
    clockHz: 48_000,
    channels: 2,
    parameters: new Map(),
  };
  const text = writeSdp("lobby\r\nx", [
    { kind: "video", control: "video", format: h264Format(96, sps, pps) },
    { kind: "audio", control: "audio", format: aac },
  ]);
  const { name, media } = parseSdp(text);
  expect(name).toBe("lobby x");
  expect(media.map((m) => [m.kind, m.control])).toEqual([
    ["video", "video"],
    ["audio", "audio"],
  ]);
  expect(media[0]?.formats).toEqual([h264Format(96, sps, pps)]);
  expect(media[0]?.formats.map(parameterSets)).toEqual([[sps, pps]]);
  expect(media[0]?.formats[0]?.parameters.get("profile-level-id")).toBe("42c01e");
  expect(media[1]?.formats).toEqual([aac]);
});

test("a stream whose parameter sets are not known yet", () => {
  const format = h264Format(96, new Uint8Array(0), new Uint8Array(0));
  expect([...format.parameters]).toEqual([["packetization-mode", "1"]]);
});

describe("which address a control attribute names", () => {
  const cases: [name: string, base: string, control: string | null, want: string][] = [
    ["relative, base with slash", "rtsp://h/s/", "trackID=1", "rtsp://h/s/trackID=1"],
    ["relative, base without", "rtsp://h/s", "trackID=1", "rtsp://h/s/trackID=1"],
    ["no path in the base", "rtsp://h", "track1", "rtsp://h/track1"],
    ["star", "rtsp://h/s", "*", "rtsp://h/s"],
    ["missing", "rtsp://h/s/", null, "rtsp://h/s/"],
    ["absolute", "rtsp://h/s", "rtsp://other:99/x", "rtsp://other:99/x"],
    ["behind the query", "rtsp://h/s?ch=1&sub=0", "trackID=0", "rtsp://h/s?ch=1&sub=0/trackID=0"],
    ["slash twice", "rtsp://h/s/", "/track1", "rtsp://h/s/track1"],
    ["slash in the control alone", "rtsp://h/s", "/track1", "rtsp://h/s/track1"],
    ["a query for a control", "rtsp://h/s", "?track=1", "rtsp://h/s?track=1"],
    ["a blank", "rtsp://h/s", "track 1", "rtsp://h/s/track%201"],
  ];
  test.each(cases)("%s", (_name, base, control, want) => {
    expect(controlUri(base, control)).toBe(want);
  });
});

describe("what control attributes are relative to", () => {
  const asked = "rtsp://h:99/s?x=1";
  const cases: [name: string, headers: [string, string][], control: string | null, want: string][] =
    [
      ["Content-Base", [["Content-Base", "rtsp://h/b/"]], "rtsp://h/c", "rtsp://h:99/b/"],
      ["Content-Location", [["content-location", "rtsp://h/l"]], null, "rtsp://h:99/l"],
      ["a session control", [], "rtsp://h/c", "rtsp://h/c"],
      ["a session control that is relative", [], "*", asked],
      ["nothing", [], null, asked],
      ["an empty header", [["Content-Base", ""]], null, asked],
      ["a path alone", [["Content-Base", "/b/"]], null, "rtsp://h:99/b/"],
      ["a path without slash", [["Content-Base", "b/"]], null, "rtsp://h:99/b/"],
    ];
  test.each(cases)("%s", (_name, headers, control, want) => {
    expect(baseUri(new HeaderFields(headers), control, asked)).toBe(want);
  });
});
