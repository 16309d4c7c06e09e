import { describe, expect, test } from "bun:test";
import type { AudioCodec, VideoCodec } from "../rtp/track-format.ts";
import {
  needsSoundTranscode,
  needsTranscode,
  type SoundOffer,
  type VideoChoice,
  type VideoOffer,
} from "./choice.ts";

const offer = (...codecs: VideoCodec[]): VideoOffer => ({
  h264: codecs.includes("h264"),
  h265: codecs.includes("h265"),
  vp8: codecs.includes("vp8"),
});
const CHROMIUM = offer("h264", "vp8");
const SAFARI = offer("h264", "h265", "vp8");
const DEBIAN_FIREFOX = offer("vp8");

/** What comes of it in Chromium, Safari, and Debian's Firefox. */
type Row = [
  name: string,
  source: { codec: VideoCodec; profile: number | null; hasBFrames?: true },
  choices: [chromium: VideoChoice, safari: VideoChoice, firefox: VideoChoice],
];
const rows: Row[] = [
  ["H.264 baseline", { codec: "h264", profile: 66 }, ["passthrough", "passthrough", "vp8"]],
  ["H.264 main", { codec: "h264", profile: 77 }, ["passthrough", "passthrough", "vp8"]],
  ["H.264 high", { codec: "h264", profile: 100 }, ["passthrough", "passthrough", "vp8"]],
  ["H.264, not seen yet", { codec: "h264", profile: null }, ["passthrough", "passthrough", "vp8"]],
  ["H.264 of ten bits", { codec: "h264", profile: 110 }, ["h264", "h264", "vp8"]],
  ["H.264, B-frames", { codec: "h264", profile: 77, hasBFrames: true }, ["h264", "h264", "vp8"]],
  ["H.265 main", { codec: "h265", profile: 1 }, ["h264", "passthrough", "vp8"]],
  ["H.265 of ten bits", { codec: "h265", profile: 2 }, ["h264", "h264", "vp8"]],
  ["H.265, B-frames", { codec: "h265", profile: 1, hasBFrames: true }, ["h264", "h264", "vp8"]],
  ["MJPEG", { codec: "mjpeg", profile: null }, ["h264", "h264", "vp8"]],
  ["VP8", { codec: "vp8", profile: null }, ["passthrough", "passthrough", "passthrough"]],
];

describe("video", () => {
  test.each(rows)("%s", (_, { hasBFrames = false, ...rest }, choices) => {
    const source = { ...rest, hasBFrames };
    const browsers = [CHROMIUM, SAFARI, DEBIAN_FIREFOX];
    expect(browsers.map((browser) => needsTranscode(source, browser))).toEqual(choices);
    expect(needsTranscode(source, offer())).toBeNull();
  });
});

describe("sound", () => {
  const all: SoundOffer = { opus: true, pcma: true, pcmu: true, g722: true };
  const opusOnly: SoundOffer = { opus: true, pcma: false, pcmu: false, g722: false };
  const cases: [AudioCodec, SoundOffer, ReturnType<typeof needsSoundTranscode>][] = [
    ["opus", all, "passthrough"],
    ["pcma", all, "passthrough"],
    ["pcmu", opusOnly, "opus"],
    ["g722", { ...all, g722: false }, "opus"],
    ["aac", all, "opus"],
    ["aac", { ...all, opus: false }, null],
  ];
  test.each(cases)("%s to %j: %s", (codec, sound, choice) => {
    expect(needsSoundTranscode(codec, sound)).toBe(choice);
  });
});
