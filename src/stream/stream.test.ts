import { expect, test } from "bun:test";
import { type TrackFormat, videoFormat } from "../rtp/track-format.ts";
import { Stream } from "./stream.ts";

test("AAC that is framed or configured otherwise is another track; new SPS and PPS are not", () => {
  const stream = new Stream();
  const config = Uint8Array.of(0x11, 0x90);
  const aac: TrackFormat = {
    kind: "audio",
    codec: "aac",
    clockHz: 48_000,
    channels: 2,
    parameterSets: [config],
    auHeader: { sizeBits: 13, indexBits: 3, indexDeltaBits: 3 },
  };
  const trackOf = (format: TrackFormat) => stream.describe([format])[0];
  const first = trackOf(aac);
  expect(trackOf({ ...aac, parameterSets: [config.slice()] })).toBe(first);
  const fromLibav = trackOf({ ...aac, auHeader: null });
  expect(fromLibav).not.toBe(first);
  const other = [Uint8Array.of(0x13, 0x10)];
  expect(trackOf({ ...aac, auHeader: null, parameterSets: other })).not.toBe(fromLibav);
  const video = trackOf(videoFormat("h264"));
  expect(trackOf(videoFormat("h264", [Uint8Array.of(0x67, 66, 0, 30)]))).toBe(video);
});

test("both tracks go by one clock, also after one of them was replaced", () => {
  const stream = new Stream();
  const video = videoFormat("h264");
  // Of what codec does not matter here.
  const audio = { ...video, kind: "audio" as const };
  stream.describe([video]);
  expect(stream.video?.clock.sibling).toBeNull();
  stream.describe([video, audio]);
  expect(stream.video?.clock.sibling).toBe(stream.audio?.clock ?? null);
  expect(stream.audio?.clock.sibling).toBe(stream.video?.clock ?? null);
  stream.describe([video, { ...audio, channels: 2 }]);
  expect(stream.video?.clock.sibling).toBe(stream.audio?.clock ?? null);
  stream.describe([video]);
  expect(stream.video?.clock.sibling).toBeNull();
});
