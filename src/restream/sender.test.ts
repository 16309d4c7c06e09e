import { describe, expect, test } from "bun:test";
import { readSenderReport } from "../rtp/rtcp.ts";
import { newestGroup } from "./beginning.ts";
import { Feed } from "./fixtures/feed.ts";
import { type Carrier, type Numbers, Sender } from "./sender.ts";
import { SessionClock } from "./session-clock.ts";

const PORTION = 1 << 20;

/** Keeps what it is given to send: ids and sequence numbers. */
class Kept implements Carrier {
  readonly sent: { readonly id: number; readonly sequence: number }[] = [];
  readonly reports: Uint8Array[] = [];
  backlog = 0;
  refusing = false;
  #refused = false;

  send(_track: unknown, { base }: Numbers, from: number, to: number): void {
    if (this.refusing) {
      this.#refused = true;
      return;
    }
    for (let id = from; id < to; id++) this.sent.push({ id, sequence: (base + id) & 0xffff });
  }
  control(rtcp: Uint8Array): void {
    this.reports.push(rtcp);
  }
  refused(): boolean {
    const refused = this.#refused;
    this.#refused = false;
    return refused;
  }
  get ids(): number[] {
    return this.sent.map(({ id }) => id);
  }
}

function rig(feed: Feed): { carrier: Kept; sender: Sender } {
  const carrier = new Kept();
  const sender = new Sender({
    track: feed.track,
    carrier,
    clock: new SessionClock(),
    ssrc: 7,
    payloadType: 96,
    firstSequence: 0xfffe,
  });
  feed.track.attachPackets({
    packets: (_from, to, now) => {
      sender.media(to, now);
      sender.settle();
    },
    ended: () => {},
  });
  return { carrier, sender };
}

describe("sender", () => {
  test("a joiner is sent the group of pictures so far, then what comes", () => {
    const feed = new Feed().frames(8);
    const { carrier, sender } = rig(feed);
    const first = newestGroup(feed.track);
    expect(first).toBe(12);
    expect(sender.startAt(first)).toEqual({ sequence: 0xfffe, timestamp: 90_000 + 5 * 3_600 });
    sender.advance(feed.track.ring.head, PORTION, feed.now);
    feed.frame();
    expect(carrier.ids).toEqual(
      Array.from({ length: feed.track.ring.head - 12 }, (_, i) => 12 + i),
    );
    expect(carrier.sent.map(({ sequence }) => sequence).slice(0, 3)).toEqual([0xfffe, 0xffff, 0]);
  });

  test("in portions, and what comes meanwhile behind them", () => {
    const feed = new Feed().frames(4);
    const { carrier, sender } = rig(feed);
    sender.startAt(0);
    sender.advance(feed.track.ring.head, 1, feed.now);
    expect(carrier.ids).toEqual([0]);
    feed.frame();
    expect(carrier.ids).toEqual([0]);
    // Nothing more while the connection still has to take what it was given.
    carrier.backlog = 1;
    sender.advance(feed.track.ring.head, PORTION, feed.now);
    expect(carrier.ids).toEqual([0]);
    carrier.backlog = 0;
    sender.advance(feed.track.ring.head, PORTION, feed.now);
    feed.frame();
    expect(carrier.ids).toEqual(Array.from({ length: feed.track.ring.head }, (_, i) => i));
    expect(sender.behind).toBe(false);
  });

  test("who wants no group of pictures waits for the next keyframe", () => {
    const feed = new Feed().frames(3);
    const { carrier, sender } = rig(feed);
    sender.startLater();
    feed.frames(2);
    expect(carrier.ids).toEqual([]);
    feed.frames(1);
    expect(carrier.ids[0]).toBe(feed.track.keyframe);
  });

  test("a reader that falls behind loses whole pictures and goes on at the next keyframe", () => {
    const feed = new Feed();
    const { carrier, sender } = rig(feed);
    sender.startLater();
    feed.frames(2);
    const before = carrier.sent.at(-1)?.sequence ?? 0;
    carrier.backlog = 2 << 20;
    feed.frames(2);
    expect(sender.droppedUnits).toBe(2);
    carrier.backlog = 0;
    feed.frames(1);
    expect(sender.droppedUnits).toBe(3);
    feed.frames(2);
    expect(sender.droppedUnits).toBe(3);
    const resumed = carrier.sent.find(({ id }) => id === 12);
    expect(resumed).toBeDefined();
    // One number stays unused: the player sees that something is missing.
    expect(((resumed?.sequence ?? 0) - before) & 0xffff).toBe(2);
    expect(carrier.ids.filter((id) => id >= 6 && id < 12)).toEqual([]);
  });

  test("a picture that was begun is finished, however far behind the reader is", () => {
    const feed = new Feed();
    const { carrier, sender } = rig(feed);
    sender.startLater();
    feed.frames(1);
    feed.packet([0x41, 0x88], false);
    feed.stream.flush(feed.now, 0);
    carrier.backlog = 2 << 20;
    feed.packet([0x41, 0x40], true);
    feed.timestamp += 3_600;
    feed.frames(1);
    expect(carrier.ids).toEqual([0, 1, 2, 3, 4, 5]);
    expect(sender.droppedUnits).toBe(1);
  });

  test("a reader that comes back while a keyframe is too late for it waits for another", () => {
    const feed = new Feed(2);
    const { carrier, sender } = rig(feed);
    sender.startLater();
    feed.frames(1);
    carrier.backlog = 2 << 20;
    feed.frames(2);
    carrier.backlog = 0;
    feed.frames(1);
    expect(carrier.ids.length).toBe(4);
    feed.frames(1);
    expect(carrier.ids.length).toBe(8);
  });

  test("what the system did not take is sent again under the same numbers", () => {
    const feed = new Feed();
    const { carrier, sender } = rig(feed);
    sender.startLater();
    feed.frames(1);
    carrier.refusing = true;
    feed.frames(1);
    expect([sender.behind, sender.packets]).toEqual([true, 4]);
    carrier.refusing = false;
    sender.advance(feed.track.ring.head, PORTION, feed.now);
    expect(carrier.sent.map(({ sequence }) => sequence)).toEqual([0xfffe, 0xffff, 0, 1, 2, 3]);
    expect(sender.packets).toBe(6);
  });

  test("a loss upstream is a gap in the numbers", () => {
    const feed = new Feed();
    const { sender } = rig(feed);
    sender.startLater();
    feed.frames(1);
    feed.lose();
    feed.frames(1);
    expect(sender.packets).toBe(6);
  });

  test("a report in front of the first packet, then every five seconds", () => {
    const feed = new Feed();
    const { carrier, sender } = rig(feed);
    sender.startLater();
    // The first packets come before anything is known of the time.
    feed.frames(6);
    expect(carrier.reports.length).toBe(1);
    const [report] = carrier.reports;
    expect(report && readSenderReport(report, 0, report.length)).toMatchObject({
      ssrc: 7,
      timestamp: 90_000 + 3_600,
      packets: 4,
    });
    feed.frames(120);
    expect(carrier.reports.length).toBe(1);
    feed.frames(6);
    expect(carrier.reports.length).toBe(2);
  });
});
