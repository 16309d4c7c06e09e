import { describe, expect, test } from "bun:test";
import { AV_HWDEVICE_TYPE_VULKAN, AV_PIX_FMT_VULKAN } from "node-av/constants";
import { HardwareDeviceContext } from "node-av/lib";
import type { VideoCodec } from "../rtp/track-format.ts";
import { type HardwareDevice, SOFTWARE, softwareDecoder, VideoDecoder } from "./av-decode.ts";
import { findHardwareDevices, refusalOf } from "./av-device.ts";
import { encodeVideo } from "./encode.ts";
import { TRIAL_UNITS } from "./trial-units.ts";

const SLACK = 64;

/** Pictures whose gray level is the picture's number times four plus forty. */
async function clip(
  width: number,
  height: number,
  frames: number,
  codec: VideoCodec = "h264",
): Promise<Uint8Array[]> {
  const video = await encodeVideo(
    {
      codec,
      width,
      height,
      frames,
      fps: 25,
      bitrate: 500_000,
      gopFrames: 10,
      profile: "main",
      parameterSets: "in band",
    },
    { paint: (frame, i420) => paint(i420, width * height, 40 + frame * 4) },
    new AbortController().signal,
  );
  return video.units.map((unit) => unit.bytes);
}

function paint(i420: Uint8Array, lumaBytes: number, level: number): void {
  i420.fill(level, 0, lumaBytes);
  i420.fill(128, lumaBytes);
}

/** Luma of 16 to 235 from a gray level of 0 to 255. */
const luma = (gray: number) => (gray * 219) / 255 + 16;

describe("decoder", () => {
  const CODECS = ["h264", "h265", "mjpeg", "vp8"] as const;
  test.each(CODECS)("%s: one unit in, one picture out, under its own number", async (codec) => {
    using decoder = new VideoDecoder(codec, null);
    const target = new Uint8Array(160 * 90 * 3 + SLACK);
    for (const [i, unit] of (await clip(320, 180, 12, codec)).entries()) {
      expect(decoder.send(unit, 1000 + i)).toBe(true);
      const picture = decoder.receive();
      expect(picture).toEqual({
        sequence: 1000 + i,
        width: 320,
        height: 180,
        keyframe: codec === "mjpeg" || i % 10 === 0,
        faulty: false,
      });
      expect(decoder.scale(target, 160, 90)).toBe(true);
      const gray = target[(45 * 160 + 80) * 3]!;
      // JPEG uses the whole range of levels.
      expect(Math.abs((codec === "mjpeg" ? gray : luma(gray)) - (40 + i * 4))).toBeLessThan(3);
      expect(decoder.receive()).toBeNull();
    }
    expect(decoder.device).toBe(SOFTWARE);
    expect(decoder.reorderPictures).toBe(0);
  });

  test.each(["h265", "mjpeg", "vp8"] as const)("%s: junk gives no crash", (codec) => {
    using decoder = new VideoDecoder(codec, null);
    for (let length = 0; length < 64; length++) {
      decoder.send(new Uint8Array(length).fill(0x65), length);
      expect(decoder.receive()?.faulty ?? true).toBe(true);
    }
  });

  test("junk gives no picture and no crash", () => {
    using decoder = new VideoDecoder("h264", null);
    for (let length = 0; length < 64; length++) {
      decoder.send(new Uint8Array(length).fill(0x65), length);
      expect(decoder.receive()).toBeNull();
    }
  });

  test("an empty unit is refused, and is not taken for the end of the stream", async () => {
    using decoder = new VideoDecoder("h264", null);
    const [unit = new Uint8Array(0)] = await clip(320, 180, 1);
    expect(decoder.send(new Uint8Array(0), 0)).toBe(false);
    expect(decoder.send(unit, 1)).toBe(true);
    expect(decoder.receive()?.sequence).toBe(1);
  });

  test("after a flush only a keyframe gives pictures again", async () => {
    using decoder = new VideoDecoder("h264", null);
    const units = await clip(320, 180, 12);
    const send = (i: number) => {
      decoder.send(units[i] ?? new Uint8Array(0), i);
      return decoder.receive();
    };
    expect(send(0)?.faulty).toBe(false);
    decoder.flush();
    expect(send(1)?.faulty ?? true).toBe(true);
    expect(send(10)).toMatchObject({ sequence: 10, keyframe: true, faulty: false });
  });

  test("a stream may change its size; closing is idempotent", async () => {
    using decoder = new VideoDecoder("h264", null);
    const target = new Uint8Array(64 * 36 * 3 + SLACK);
    for (const [width, height] of [
      [320, 180],
      [640, 360],
    ] as const) {
      const [unit] = await clip(width, height, 1);
      decoder.send(unit ?? new Uint8Array(0), width);
      expect(decoder.receive()).toMatchObject({ sequence: width, width, height });
      expect(decoder.scale(target, 64, 36)).toBe(true);
    }
    decoder.close();
    decoder.close();
  });
});

describe("scaler", () => {
  const sizes = [
    [328, 184],
    [322, 182],
    [324, 182],
    [326, 182],
  ] as const;
  test.each(sizes)(
    "%ix%i at any width: all pixels written, nothing behind the slack",
    async (w, h) => {
      const [unit] = await clip(w, h, 1);
      using decoder = new VideoDecoder("h264", null);
      decoder.send(unit ?? new Uint8Array(0), 0);
      decoder.receive();
      for (const width of [w, 320, 319, 317, 100, 33, 17, 16]) {
        const height = Math.round((h * width) / w / 2) * 2;
        const bytes = width * height * 3;
        const target = new Uint8Array(bytes + SLACK + 4096).fill(255);
        expect(decoder.scale(target, width, height)).toBe(true);
        const worst = target.subarray(0, bytes).reduce((max, value) => Math.max(max, value), 0);
        expect(Math.abs(luma(worst) - 40)).toBeLessThan(3);
        expect(target.subarray(bytes + SLACK).every((value) => value === 255)).toBe(true);
      }
    },
  );
});

describe("hardware", () => {
  test("every device is tried with every codec; what is used has decoded the trial picture", () => {
    using devices = findHardwareDevices();
    expect(devices.trials.length).toBeGreaterThan(0);
    for (const codec of ["h264", "h265", "mjpeg"] as const) {
      const used = devices.trials.filter((one) => one.codec === codec && one.refused === null);
      const device = devices.for(codec);
      expect(used.map((one) => one.device)).toEqual(device ? [device.name] : []);
      if (device) expect(refusalOf(device, codec)).toBeNull();
    }
  });

  test("the trial pictures are what devices are asked for", () => {
    for (const codec of ["h264", "h265", "mjpeg"] as const) {
      using decoder = new VideoDecoder(codec, null);
      expect(decoder.send(TRIAL_UNITS[codec], 0)).toBe(true);
      expect(decoder.receive()).toMatchObject({ width: 320, height: 192, faulty: false });
    }
  });

  test.each(["h264", "h265", "mjpeg"] as const)(
    "%s: a device that was never opened is refused, not believed",
    (codec) => {
      const device: HardwareDevice = {
        name: "vulkan",
        type: AV_HWDEVICE_TYPE_VULKAN,
        context: new HardwareDeviceContext(),
        decoder: softwareDecoder(codec),
        pixelFormat: AV_PIX_FMT_VULKAN,
      };
      expect(refusalOf(device, codec)).not.toBeNull();
    },
  );
});
