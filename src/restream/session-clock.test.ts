import { describe, expect, test } from "bun:test";
import { SessionClock, type TimedTrack } from "./session-clock.ts";

/** A track whose clock reads `wall` at timestamp 0, and can be set. */
class SetTrack implements TimedTrack {
  readonly format: { readonly clockHz: number };
  readonly clock = {
    known: true,
    steps: 0,
    wall: 1_000,
    at: (timestamp: number): number => {
      return this.clock.wall + (timestamp * 1000) / this.format.clockHz;
    },
  };
  constructor(clockHz: number) {
    this.format = { clockHz };
  }
  set(wall: number): void {
    this.clock.wall = wall;
    this.clock.steps++;
  }
}

describe("the clock of a session", () => {
  test("is the tracks' own", () => {
    const clock = new SessionClock();
    expect(clock.at(new SetTrack(90_000), 90_000)).toBe(2_000);
    expect(clock.at(new SetTrack(8_000), 8_000)).toBe(2_000);
  });

  test("is not known before anything is", () => {
    const track = new SetTrack(90_000);
    track.clock.known = false;
    expect(new SessionClock().at(track, 0)).toBeNull();
  });

  test("goes on when theirs is set, and keeps sound and picture together", () => {
    const clock = new SessionClock();
    const [video, audio] = [new SetTrack(90_000), new SetTrack(8_000)];
    clock.at(video, 0);
    clock.at(audio, 0);
    for (const wall of [86_400_000, 5_000]) {
      video.set(wall);
      audio.set(wall + 20);
      expect(clock.at(video, 90_000)).toBe(2_000);
      expect(clock.at(audio, 8_000)).toBe(2_020);
      expect(clock.at(video, 180_000)).toBe(3_000);
    }
  });

  test("a track that begins later goes by it", () => {
    const clock = new SessionClock();
    const [video, audio] = [new SetTrack(90_000), new SetTrack(8_000)];
    clock.at(video, 0);
    video.set(86_400_000);
    clock.at(video, 90_000);
    audio.set(86_400_000);
    expect(clock.at(audio, 8_000)).toBe(2_000);
  });
});
