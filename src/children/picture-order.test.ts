import { beforeAll, describe, expect, test } from "bun:test";
import { encodeVideo } from "../native/encode.ts";
import { videoFormat } from "../rtp/track-format.ts";
import { Track } from "../stream/track.ts";
import { PictureOrder } from "./picture-order.ts";

/** What an encoder writes, with so many B-frames in a row. */
async function encoded(bFrames: number): Promise<Uint8Array[]> {
  const size = { width: 160, height: 96, fps: 25, frames: 24, bitrate: 200_000, gopFrames: 24 };
  const kind = { codec: "h264", profile: "main", parameterSets: "in band", bFrames } as const;
  const paint = (frame: number, i420: Uint8Array): void => {
    for (let i = 0; i < i420.length; i++) i420[i] = 16 + ((i * 7 + frame * 5) % 200);
  };
  const { units } = await encodeVideo(
    { ...size, ...kind },
    { paint },
    new AbortController().signal,
  );
  return units.map(({ bytes }) => bytes);
}

let plain: Uint8Array[] = [];
let withB: Uint8Array[] = [];
beforeAll(async () => {
  plain = await encoded(0);
  withB = await encoded(2);
});

function watched(): { track: Track; order: PictureOrder; feed: Feed; disordered: () => number } {
  const track = new Track(videoFormat("h264"));
  let times = 0;
  const order = new PictureOrder(track, () => times++);
  let now = 0;
  const feed: Feed = (units) => {
    for (const unit of units) {
      now += 40;
      const whole = { timestamp: now * 90, gapBefore: false };
      track.receiveUnit(unit, 0, unit.length, whole, now);
      track.flush(now, now);
    }
  };
  return { track, order, feed, disordered: () => times };
}
type Feed = (units: readonly Uint8Array[]) => void;

describe("the order of pictures", () => {
  test("is known at once of a camera that has been sending", async () => {
    const { order, feed, disordered } = watched();
    feed(withB);
    order.look();
    await order.known(0);
    expect([order.found, disordered()]).toEqual([true, 1]);
  });

  test("announced, and only the keyframe is there: worth waiting for", async () => {
    const { order, feed } = watched();
    feed(withB.slice(0, 1));
    order.look();
    expect(order.found).toBe(false);
    const known = order.known(10_000);
    feed(withB.slice(1));
    await known;
    expect(order.found).toBe(true);
  });

  test("not announced: nobody waits, and a dozen pictures are enough", async () => {
    const { track, order, feed, disordered } = watched();
    feed(plain.slice(0, 1));
    order.look();
    await order.known(10_000);
    feed(plain.slice(1));
    order.look();
    expect([order.found, disordered(), track.counters.units]).toEqual([false, 0, 24]);
  });

  test("a camera that is set to another way of coding is looked at anew", () => {
    const { order, feed, disordered } = watched();
    feed(plain);
    order.look();
    expect(order.found).toBe(false);
    feed(withB);
    order.look();
    expect([order.found, disordered()]).toEqual([true, 1]);
  });
});
