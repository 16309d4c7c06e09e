import { describe, expect, test } from "bun:test";
import { MediaClock } from "../rtp/media-clock.ts";
import { SessionClock } from "./session-clock.ts";

const HUB = 1_790_000_000_000;
/** A camera whose clock was never set. */
const CAMERA = 86_400_000;

function track(clockHz: number) {
  return { clock: new MediaClock(clockHz), format: { clockHz }, newestTimestamp: 0 };
}

describe("the clock of a session", () => {
  test("is the camera's own when its reports are there from the beginning", () => {
    const clock = new SessionClock();
    const video = track(90_000);
    video.clock.reported(900_000, CAMERA);
    expect(clock.at(video, 990_000)).toBe(CAMERA + 1_000);
  });

  test("is not known before anything is", () => {
    expect(new SessionClock().at(track(90_000), 0)).toBeNull();
  });

  test("does not jump when the camera's reports begin, and keeps sound and picture together", () => {
    const clock = new SessionClock();
    const video = track(90_000);
    const audio = track(8_000);
    // Sound takes 80 ms longer than pictures to get here.
    video.clock.arrived(0, HUB);
    audio.clock.arrived(0, HUB + 80);
    expect(clock.at(video, 0)).toBe(HUB);
    expect(clock.at(audio, 0)).toBe(HUB + 80);
    video.newestTimestamp = 450_000;
    audio.newestTimestamp = 40_000;
    video.clock.reported(450_000, CAMERA + 5_000);
    audio.clock.reported(40_000, CAMERA + 5_000);
    const [picture, sound] = [clock.at(video, 450_000), clock.at(audio, 40_000)];
    expect(picture).toBe(HUB + 5_000);
    expect(sound).toBe(picture);
  });

  test("a track without reports of the camera is put beside the one with", () => {
    const clock = new SessionClock();
    const video = track(90_000);
    const audio = track(8_000);
    video.clock.reported(90_000, CAMERA);
    video.newestTimestamp = 90_000;
    audio.clock.arrived(16_000, HUB);
    audio.newestTimestamp = 16_000;
    expect(clock.at(video, 90_000)).toBe(CAMERA);
    expect(clock.at(audio, 16_000)).toBe(CAMERA);
    audio.newestTimestamp = 24_000;
    audio.clock.reported(24_000, CAMERA + 990);
    expect(clock.at(audio, 24_000)).toBe(CAMERA + 990);
  });

  test("goes on after a reconnect, when the camera's clock must be learnt anew", () => {
    const clock = new SessionClock();
    const video = track(90_000);
    video.clock.reported(90_000, CAMERA);
    expect(clock.at(video, 90_000)).toBe(CAMERA);
    video.clock.reset();
    expect(clock.at(video, 180_000)).toBeNull();
    video.clock.arrived(180_000, HUB);
    video.newestTimestamp = 180_000;
    expect(clock.at(video, 180_000)).toBe(CAMERA + 1_000);
  });
});
