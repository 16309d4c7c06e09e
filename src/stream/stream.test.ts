import { expect, test } from "bun:test";
import { videoFormat } from "../rtp/track-format.ts";
import { Stream } from "./stream.ts";

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
