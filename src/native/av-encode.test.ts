import { describe, expect, test } from "bun:test";
import { FF_ENCODER_H264_V4L2M2M } from "node-av/constants";
import { Codec } from "node-av/lib";
import { type PictureFrame, VideoDecoder } from "./av-decode.ts";
import { VideoEncoder, type VideoEncoderKind } from "./av-encode.ts";
import { findVideoEncoder, refusalOf } from "./av-encoders.ts";
import { TRIAL_UNITS } from "./trial-units.ts";

const CODECS = ["h264", "vp8"] as const;
const BITRATE = 500_000;

/** Calls with the trial picture, 320x192 of luma 90. */
function withPicture(use: (picture: PictureFrame) => void): void {
  using decoder = new VideoDecoder("h265", null);
  decoder.send(TRIAL_UNITS.h265, 0);
  expect(decoder.receive()).not.toBeNull();
  const picture = decoder.frame();
  if (picture === null) throw new Error("no picture");
  use(picture);
}

describe("search", () => {
  test.each(CODECS)(
    "%s: everything is tried; what is used has encoded the trial picture",
    (codec) => {
      using found = findVideoEncoder(codec, true);
      expect(found.trials.at(-1)).toEqual({ encoder: found.encoder.name, refused: null });
      expect(found.trials.slice(0, -1).every((trial) => trial.refused !== null)).toBe(true);
      expect(refusalOf(found.encoder, codec)).toBeNull();
      using software = findVideoEncoder(codec, false);
      expect(software.trials.length).toBe(1);
    },
  );

  test("an encoder that writes something else is refused", () => {
    using found = findVideoEncoder("h264", false);
    expect(refusalOf(found.encoder, "vp8")).toBe("writes nothing that decodes");
    const codec = Codec.findEncoderByName(FF_ENCODER_H264_V4L2M2M);
    if (codec === null) return;
    const absent: VideoEncoderKind = { ...found.encoder, name: "h264_v4l2m2m", codec };
    expect(refusalOf(absent, "h264")).toContain("h264_v4l2m2m does not encode 320x192");
  });
});

describe.each(CODECS)("%s", (codec) => {
  test("one picture in, one unit out, under its ticks; keyframes when asked", () => {
    using found = findVideoEncoder(codec, false);
    using encoder = new VideoEncoder({
      encoder: found.encoder,
      width: 320,
      height: 192,
      bitrate: BITRATE,
    });
    withPicture((picture) => {
      for (const [i, keyframe] of [true, false, false, true, false].entries()) {
        expect(encoder.send(picture, 100 + i * 3_600, keyframe)).toBe(true);
        expect(encoder.receive()).toMatchObject({ ticks: 100 + i * 3_600, keyframe });
        expect(encoder.receive()).toBeNull();
      }
    });
  });

  test("scales to its size, and the picture stays itself", () => {
    using found = findVideoEncoder(codec, false);
    using encoder = new VideoEncoder({
      encoder: found.encoder,
      width: 160,
      height: 96,
      bitrate: BITRATE,
    });
    using decoder = new VideoDecoder(codec, null);
    withPicture((picture) => {
      for (let i = 0; i < 3; i++) {
        encoder.send(picture, i * 3_600, i === 0);
        const unit = encoder.receive();
        decoder.send(unit?.bytes ?? new Uint8Array(0), i);
        expect(decoder.receive()).toMatchObject({ width: 160, height: 96, faulty: false });
        const luma = decoder.frame()?.data?.[0]?.[0] ?? 0;
        expect(Math.abs(luma - 90)).toBeLessThan(3);
      }
    });
  });

  test("a size that cannot be encoded is a fault, and closing is idempotent", () => {
    using found = findVideoEncoder(codec, false);
    const { encoder } = found;
    const open = (width: number) =>
      new VideoEncoder({ encoder, width, height: 2, bitrate: BITRATE });
    expect(() => open(100_000)).toThrow("does not encode 100000x2");
    const opened = new VideoEncoder({ encoder, width: 320, height: 192, bitrate: BITRATE });
    opened.close();
    opened.close();
  });
});
