import { describe, expect, test } from "bun:test";
import type { TrackFormat } from "../rtp/track-format.ts";
import { videoFormat } from "../rtp/track-format.ts";
import { type OfferedMedia, parseSdp, writeSdp } from "./sdp.ts";
import { formatOf, trackFormatOf } from "./track-formats.ts";

/** The tracks of a description, the first format of each medium. */
function tracks(...lines: readonly string[]): (TrackFormat | null)[] {
  const { media } = parseSdp(["v=0", ...lines].join("\r\n"));
  return media.map((medium) => {
    const [format] = medium.formats;
    return format ? trackFormatOf(medium, format) : null;
  });
}

function audio(
  codec: "pcmu" | "pcma" | "g722" | "opus" | "aac",
  clockHz: number,
  channels: number,
): TrackFormat {
  return { kind: "audio", codec, clockHz, channels, parameterSets: [], auHeader: null };
}

const HBR = { sizeBits: 13, indexBits: 3, indexDeltaBits: 3 };
const aac = (clockHz: number, channels: number, config: string): TrackFormat => ({
  ...audio("aac", clockHz, channels),
  parameterSets: [Uint8Array.fromHex(config)],
  auHeader: HBR,
});

const cases: { name: string; lines: string[]; want: TrackFormat | null }[] = [
  {
    name: "H264 with its parameter sets",
    lines: [
      "m=video 0 RTP/AVP 96",
      "a=rtpmap:96 H264/90000",
      "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAHg==,aM4=",
    ],
    want: videoFormat("h264", [Uint8Array.fromHex("6742c01e"), Uint8Array.fromHex("68ce")]),
  },
  {
    name: "H264 in interleaved mode is refused",
    lines: ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=2"],
    want: null,
  },
  {
    name: "H265 with its parameter sets",
    lines: [
      "m=video 0 RTP/AVP 98",
      "a=rtpmap:98 h265/90000",
      "a=fmtp:98 sprop-vps=QAEM; sprop-sps=QgEB; sprop-pps=RAHA",
    ],
    want: videoFormat(
      "h265",
      ["40010c", "420101", "4401c0"].map((hex) => Uint8Array.fromHex(hex)),
    ),
  },
  {
    name: "H265 out of decoding order is refused",
    lines: ["m=video 0 RTP/AVP 98", "a=rtpmap:98 H265/90000", "a=fmtp:98 sprop-max-don-diff=2"],
    want: null,
  },
  { name: "JPEG needs no rtpmap", lines: ["m=video 0 RTP/AVP 26"], want: videoFormat("mjpeg") },
  {
    name: "quirk: size of large JPEG pictures in a=x-dimensions",
    lines: ["m=video 0 RTP/AVP 26", "a=x-dimensions:2560,1440"],
    want: { ...videoFormat("mjpeg"), picture: { width: 2560, height: 1440 } },
  },
  {
    name: "quirk: size of large JPEG pictures in a=framesize",
    lines: ["m=video 0 RTP/AVP 26", "a=framesize:26 3072-2048"],
    want: { ...videoFormat("mjpeg"), picture: { width: 3072, height: 2048 } },
  },
  {
    name: "VP8",
    lines: ["m=video 0 RTP/AVP 97", "a=rtpmap:97 VP8/90000"],
    want: videoFormat("vp8"),
  },
  { name: "PCMU", lines: ["m=audio 0 RTP/AVP 0"], want: audio("pcmu", 8_000, 1) },
  { name: "PCMA", lines: ["m=audio 0 RTP/AVP 8"], want: audio("pcma", 8_000, 1) },
  {
    name: "quirk: G722 with the clock it samples at",
    lines: ["m=audio 0 RTP/AVP 97", "a=rtpmap:97 G722/16000"],
    want: audio("g722", 8_000, 1),
  },
  {
    name: "Opus",
    lines: ["m=audio 0 RTP/AVP 97", "a=rtpmap:97 opus/48000/2"],
    want: audio("opus", 48_000, 2),
  },
  {
    name: "AAC",
    lines: [
      "m=audio 0 RTP/AVP 97",
      "a=rtpmap:97 mpeg4-generic/16000/1",
      "a=fmtp:97 streamtype=5;mode=AAC-hbr;config=1408;sizeLength=13;indexLength=3;indexDeltaLength=3",
    ],
    want: aac(16_000, 1, "1408"),
  },
  {
    name: "quirk: AAC without mode, field widths or configuration",
    lines: ["m=audio 0 RTP/AVP 97", "a=rtpmap:97 mpeg4-generic/48000/2"],
    want: aac(48_000, 2, "1190"),
  },
  {
    name: "AAC of low bit rate",
    lines: [
      "m=audio 0 RTP/AVP 97",
      "a=rtpmap:97 mpeg4-generic/8000",
      "a=fmtp:97 mode=AAC-lbr;config=1588",
    ],
    want: { ...aac(8_000, 1, "1588"), auHeader: { sizeBits: 6, indexBits: 2, indexDeltaBits: 2 } },
  },
  {
    name: "quirk: channels of AAC in the configuration only",
    lines: ["m=audio 0 RTP/AVP 97", "a=rtpmap:97 mpeg4-generic/48000", "a=fmtp:97 config=1190"],
    want: aac(48_000, 2, "1190"),
  },
  {
    name: "AAC with a configuration that is none",
    lines: ["m=audio 0 RTP/AVP 97", "a=rtpmap:97 mpeg4-generic/48000", "a=fmtp:97 config=xyz"],
    want: null,
  },
  {
    name: "speech in MPEG-4",
    lines: ["m=audio 0 RTP/AVP 97", "a=rtpmap:97 mpeg4-generic/8000", "a=fmtp:97 mode=CELP-cbr"],
    want: null,
  },
  {
    name: "PCM of 16 bits",
    lines: ["m=audio 0 RTP/AVP 97", "a=rtpmap:97 L16/16000"],
    want: null,
  },
  {
    name: "metadata",
    lines: ["m=application 0 RTP/AVP 107", "a=rtpmap:107 vnd.onvif.metadata/90000"],
    want: null,
  },
];

describe("what the hub carries", () => {
  test.each(cases)("$name", ({ lines, want }) => {
    expect(tracks(...lines)).toEqual([want]);
  });

  test("what it describes to others reads the same", () => {
    for (const { want } of cases) {
      // Of AAC the hub's own mode is written, and the picture's size has no place in a format.
      if (want === null || want.picture || want.auHeader?.sizeBits === 6) continue;
      const offered: OfferedMedia = { kind: want.kind, control: "t", format: formatOf(want, 96) };
      const [medium] = parseSdp(writeSdp("lobby", [offered])).media;
      const [format] = medium?.formats ?? [];
      expect(medium && format && trackFormatOf(medium, format)).toEqual(want);
    }
  });
});
