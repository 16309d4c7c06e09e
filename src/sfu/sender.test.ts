import { beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type OpenedPacket, SrtpReceiver } from "../../bench/light/srtp-receiver.ts";
import { Traffic } from "../../bench/light/traffic.ts";
import { Pinned } from "../native/libc.ts";
import { Destination } from "../native/udp.ts";
import { AEAD_AES_128_GCM, rtpSessionKeys } from "../rtc/srtp.ts";
import { videoFormat } from "../rtp/track-format.ts";
import { Track } from "../stream/track.ts";
import type { Egress } from "./egress.ts";
import { aesBlock } from "./primitives.ts";
import { nodeProtection } from "./protect.ts";
import { Sender, type SenderOptions } from "./sender.ts";

const SSRC = 0x01020304;
const RTX_SSRC = 0x05060708;
const OPTIONS: SenderOptions = {
  ssrc: SSRC,
  payloadType: 96,
  firstSequence: 1_000,
  retransmission: { ssrc: RTX_SSRC, payloadType: 97, firstSequence: 5_000 },
  extension: new Uint8Array(0),
};

/** Keeps what was sent, in order. */
class Recorder implements Egress {
  readonly arena = new Pinned(4_096);
  readonly counters = { packets: 0, bytes: 0, refused: 0, dropped: 0, systemCalls: 0 };
  readonly sent: Uint8Array[] = [];
  /** Datagrams that are taken until the next flush; more are refused, as by a full send buffer. */
  room = Number.POSITIVE_INFINITY;
  reserve(): number {
    return 64;
  }
  commit(length: number, to: Destination): void {
    if (this.room-- <= 0) to.refused++;
    else this.sent.push(this.arena.bytes.slice(64, 64 + length));
  }
  flush(): void {}
}

let track: Track;
let traffic: Traffic;
let recorder: Recorder;
const keys = rtpSessionKeys(
  { profile: AEAD_AES_128_GCM, key: randomBytes(16), salt: randomBytes(12) },
  aesBlock,
);

beforeEach(() => {
  track = new Track(videoFormat("h264"));
  traffic = new Traffic(track, { framesPerGroup: 5 });
  recorder = new Recorder();
});

function open(options: Partial<SenderOptions> = {}): Sender {
  const socket = { address: "127.0.0.1", egress: recorder, send() {} };
  const path = { socket, to: new Destination("127.0.0.1", 9), key: "" };
  return new Sender(track, path, nodeProtection.protector(keys), { ...OPTIONS, ...options });
}

const head = () => track.ring.head;

/** Feeds pictures; the sender sees each as a room would show it. */
function play(sender: Sender, frames: number): void {
  for (let i = 0; i < frames; i++) {
    traffic.frame(0, 0);
    sender.media(head());
  }
}

/** Everything sent so far, opened by one receiver. */
function opened(receiver = new SrtpReceiver(keys)): OpenedPacket[] {
  return recorder.sent.map((datagram) => {
    const packet = receiver.open(datagram);
    if (packet === null) throw new Error("a packet is not authentic");
    return packet;
  });
}

const sequences = () => opened().map(({ sequence }) => sequence);
const ascending = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => from + i);

describe("joining", () => {
  test("waits for a keyframe when there is none", () => {
    const sender = open();
    sender.media(head());
    expect(sender.state).toBe("waiting");
    play(sender, 1);
    expect(sender.state).toBe("live");
    expect(sequences()).toEqual(ascending(1_000, head()));
  });

  test("gets the whole first picture at once, the rest in portions", () => {
    const sender = open();
    for (let i = 0; i < 4; i++) traffic.frame(0, 0);
    sender.media(head());
    expect(sender.state).toBe("burst");
    const first = opened();
    expect(first.at(-1)?.marker).toBe(true);
    expect(new Set(first.map(({ timestamp }) => timestamp)).size).toBe(1);

    sender.media(head());
    expect(recorder.sent).toHaveLength(first.length);
    sender.advance(head(), 10_000);
    expect(recorder.sent.length - first.length).toBe(Math.ceil(10_000 / 1_172));
    while (sender.state === "burst") sender.advance(head(), 10_000);
    expect(sequences()).toEqual(ascending(1_000, head()));
    play(sender, 3);
    expect(sequences()).toEqual(ascending(1_000, head()));
  });

  test("a group of pictures too long to catch up with is waited out", () => {
    traffic = new Traffic(track, { framesPerGroup: 5, keyframeBytes: 9 << 20 });
    const sender = open();
    traffic.frame(0, 0);
    sender.media(head());
    expect(sender.state).toBe("waiting");
    expect(recorder.sent).toHaveLength(0);
  });
});

describe("numbering", () => {
  test("payload, timestamp and marker are the ring's", () => {
    const sender = open();
    play(sender, 7);
    for (const [id, packet] of opened().entries()) {
      const start = track.ring.start(id);
      const payload = track.ring.bytes.subarray(start, start + track.ring.length(id));
      expect(packet).toMatchObject({ ssrc: SSRC, payloadType: 96 });
      expect(packet.timestamp).toBe(track.ring.timestamp(id));
      expect(packet.marker).toBe((track.ring.flags(id) & 2) !== 0);
      expect(Buffer.compare(packet.payload, payload)).toBe(0);
    }
  });

  test("a hole uses up a number and sends nothing", () => {
    const sender = open();
    play(sender, 2);
    const before = head();
    traffic.lose(3);
    play(sender, 2);
    const sent = sequences();
    expect(head() - sent.length).toBe(1);
    expect(sent).not.toContain(1_000 + before);
    expect(sent.at(-1)).toBe(1_000 + head() - 1);
  });

  test("the rollover counter goes on at 2^16", () => {
    const sender = open({ firstSequence: 65_500 });
    play(sender, 5);
    const indices = opened().map(({ index }) => index);
    expect(indices).toEqual(ascending(65_500, head()));
    expect(indices.at(-1)).toBeGreaterThan(65_536);
  });

  test("the header extension is in every packet and changes nothing else", () => {
    const extension = Uint8Array.fromHex("bede000152000000");
    const sender = open({ extension });
    play(sender, 2);
    for (const packet of opened()) expect(packet.extension.toHex()).toBe(extension.toHex());
    expect(sequences()).toEqual(ascending(1_000, head()));
  });

  test("counters count what left", () => {
    const sender = open();
    play(sender, 3);
    const bytes = opened().reduce((sum, { payload }) => sum + payload.length, 0);
    expect(sender.counters).toMatchObject({ packets: head(), payloadBytes: bytes });
  });
});

describe("a viewer that fell behind the ring", () => {
  test("goes on at the next keyframe, one number later", () => {
    const sender = open();
    play(sender, 1);
    const sent = recorder.sent.length;
    // Two groups of pictures that this viewer never hears of push the first one out.
    for (let i = 0; i < 120; i++) traffic.frame(0, 0);
    expect(track.ring.tail).toBeGreaterThan(sent);
    sender.media(head());
    while (sender.state === "burst") sender.advance(head(), 50_000);
    expect(sender.state).toBe("live");
    const after = opened().slice(sent);
    expect(after[0]).toMatchObject({ sequence: 1_000 + sent + 1 });
    expect(after[0]?.timestamp).toBe(track.ring.timestamp(track.keyframe));
    expect(after.map(({ sequence }) => sequence)).toEqual(
      ascending(1_000 + sent + 1, after.length),
    );
  });

  test("what it asks for from before is not sent", () => {
    const sender = open();
    play(sender, 1);
    for (let i = 0; i < 120; i++) traffic.frame(0, 0);
    sender.media(head());
    const sent = recorder.sent.length;
    sender.retransmit(1_000, 0);
    expect(recorder.sent).toHaveLength(sent);
    expect(sender.counters).toMatchObject({ retransmitted: 0, notRetransmitted: 1 });
  });
});

describe("a full send buffer", () => {
  test("a live viewer falls behind and gets everything a little later", () => {
    const sender = open();
    play(sender, 2);
    sender.settle();
    const sent = recorder.sent.length;
    recorder.room = 0;
    play(sender, 1);
    sender.settle();
    expect(sender.state).toBe("burst");
    expect(sender.counters.packets).toBe(sent);
    sender.advance(head(), 5_000);
    sender.settle();
    expect(sender.state).toBe("burst");
    recorder.room = Number.POSITIVE_INFINITY;
    while (sender.state === "burst") {
      sender.advance(head(), 5_000);
      sender.settle();
    }
    play(sender, 1);
    expect(sequences()).toEqual(ascending(1_000, head()));
    expect(sender.counters.packets).toBe(head());
  });

  test("a joiner starts over", () => {
    const sender = open();
    recorder.room = 0;
    play(sender, 1);
    sender.settle();
    recorder.room = Number.POSITIVE_INFINITY;
    sender.advance(head(), Number.POSITIVE_INFINITY);
    sender.settle();
    expect(sender.state).toBe("live");
    expect(sequences()).toEqual(ascending(1_000, head()));
  });

  test("a viewer that stays blocked goes on at a later keyframe", () => {
    const sender = open();
    play(sender, 1);
    recorder.room = 0;
    for (let i = 0; i < 120; i++) {
      play(sender, 1);
      sender.settle();
      sender.advance(head(), 30_000);
      sender.settle();
    }
    recorder.room = Number.POSITIVE_INFINITY;
    const sent = recorder.sent.length;
    while (sender.state !== "live") {
      play(sender, 1);
      sender.advance(head(), 100_000);
      sender.settle();
    }
    const [first] = opened().slice(sent);
    expect(first?.payload[0]).toBe(0x67);
  });
});

test("no index ever stands for two packets, whatever is refused and lost in between", () => {
  const sender = open({ retransmission: null });
  const contents = new Map<number, string>();
  const check = () => {
    for (const datagram of recorder.sent.splice(0)) {
      const sequence = (datagram[2]! << 8) | datagram[3]!;
      const text = Buffer.from(datagram).toString("latin1");
      expect(contents.get(sequence) ?? text).toBe(text);
      contents.set(sequence, text);
    }
  };
  for (let i = 0; i < 600; i++) {
    // Some of a portion leaves, the rest is refused, for as long as it takes to fall out.
    recorder.room = i % 150 < 120 ? 3 : Number.POSITIVE_INFINITY;
    play(sender, 1);
    sender.settle();
    sender.advance(head(), 20_000);
    sender.settle();
    check();
  }
  expect(contents.size).toBeGreaterThan(1_000);
});

describe("retransmission", () => {
  test("in a track of its own, original number in front", () => {
    const sender = open();
    play(sender, 2);
    const original = opened()[7];
    sender.retransmit(1_007, 0);
    sender.retransmit(1_003, 0);
    const [first, second] = opened().slice(-2);
    expect(first).toMatchObject({ ssrc: RTX_SSRC, payloadType: 97, sequence: 5_000 });
    expect(second).toMatchObject({ ssrc: RTX_SSRC, sequence: 5_001 });
    expect(first?.timestamp).toBe(original?.timestamp ?? -1);
    expect(first?.payload.subarray(0, 2)).toEqual(Buffer.from([1_007 >> 8, 1_007 & 0xff]));
    expect(first?.payload.subarray(2)).toEqual(original?.payload as Buffer);
  });

  test("without one, the very same datagram: no nonce protects two contents", () => {
    const sender = open({
      retransmission: null,
      extension: Uint8Array.fromHex("bede000152000000"),
    });
    play(sender, 2);
    const count = recorder.sent.length;
    for (let i = 0; i < count; i++) sender.retransmit(1_000 + i, 0);
    expect(recorder.sent.slice(count)).toEqual(recorder.sent.slice(0, count));
  });

  test("numbers across the wrap", () => {
    const sender = open({ firstSequence: 65_530 });
    play(sender, 2);
    for (const sequence of [65_535, 0, 3]) sender.retransmit(sequence, 0);
    const numbers = opened()
      .slice(-3)
      .map(({ payload }) => (payload[0]! << 8) | payload[1]!);
    expect(numbers).toEqual([65_535, 0, 3]);
  });

  test("holes, the future and the unknown are not sent", () => {
    const sender = open();
    play(sender, 1);
    const hole = 1_000 + head();
    traffic.lose(1);
    play(sender, 1);
    const sent = recorder.sent.length;
    for (const sequence of [hole, 1_000 + head(), 999, 40_000]) sender.retransmit(sequence, 0);
    expect(recorder.sent).toHaveLength(sent);
    expect(sender.counters.notRetransmitted).toBe(4);
  });

  test("at most 500 a second", () => {
    const sender = open();
    play(sender, 1);
    for (let i = 0; i < 700; i++) sender.retransmit(1_001, 10);
    expect(sender.counters.retransmitted).toBe(500);
    sender.retransmit(1_001, 1_011);
    expect(sender.counters.retransmitted).toBe(501);
  });
});
