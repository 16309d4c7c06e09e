import { type Pointer, toArrayBuffer } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import { EAGAIN, EINVAL, EIO, EPERM, libc } from "./libc.ts";
import { DatagramBatch, Destination, findDescriptor, openBatch, prepareDescriptor } from "./udp.ts";

const A = new Destination("127.0.0.1", 1001);
const B = new Destination("127.0.0.1", 1002);

/** One message as the kernel would see it. */
interface Message {
  readonly port: number;
  readonly text: string;
  /** 0: one datagram. */
  readonly segmentBytes: number;
}

/** Answers of a scripted `sendmmsg`, one per call: how many are taken, or why none. */
type Answer = { readonly take: number } | { readonly fail: number };

/**
 * A `sendmmsg` that reads the messages it is given, as the kernel would, from a batch's arena.
 * Without answers left it takes everything.
 */
class FakeKernel {
  readonly messages: Message[] = [];
  readonly #answers: Answer[];
  #failure = 0;

  constructor(answers: readonly Answer[]) {
    this.#answers = [...answers];
  }

  sendmmsg(_descriptor: number, headers: Pointer, count: number): number {
    const answer = this.#answers.shift() ?? { take: count };
    if ("fail" in answer) {
      this.#failure = answer.fail;
      return -1;
    }
    for (let i = 0; i < answer.take; i++) this.messages.push(readMessage(headers + i * 64));
    return answer.take;
  }

  errno(): number {
    return this.#failure;
  }
}

function view(address: number, bytes: number): DataView {
  return new DataView(toArrayBuffer(address as Pointer, 0, bytes));
}

function readMessage(header: number): Message {
  const h = view(header, 64);
  const name = view(Number(h.getBigUint64(0, true)), h.getUint32(8, true));
  const vector = view(Number(h.getBigUint64(16, true)), 16);
  const bytes = Number(vector.getBigUint64(8, true));
  const data = toArrayBuffer(Number(vector.getBigUint64(0, true)) as Pointer, 0, bytes);
  const controlBytes = Number(h.getBigUint64(40, true));
  const control = view(Number(h.getBigUint64(32, true)), 24);
  if (controlBytes > 0) {
    expect([control.getBigUint64(0, true), control.getInt32(8, true)]).toEqual([18n, 17]);
    expect(control.getInt32(12, true)).toBe(103);
  }
  return {
    port: name.getUint16(2),
    text: new TextDecoder().decode(data),
    segmentBytes: controlBytes > 0 ? control.getUint16(16, true) : 0,
  };
}

/** Commits each text as one datagram and flushes. */
function send(batch: DatagramBatch, datagrams: readonly (readonly [string, Destination])[]): void {
  for (const [text, to] of datagrams) {
    const at = batch.reserve(text.length);
    batch.arena.bytes.set(new TextEncoder().encode(text), at);
    batch.commit(text.length, to);
  }
  batch.flush();
}

describe("runs", () => {
  const FRAME = [
    ["aaaa", A],
    ["bbbb", A],
    ["cc", A],
    ["dddd", A],
    ["eeee", B],
    ["ffff", B],
  ] as const;

  test("equal datagrams of one peer are one message, the last may be shorter", () => {
    const kernel = new FakeKernel([]);
    const batch = new DatagramBatch(kernel, 0);
    send(batch, FRAME);
    expect(kernel.messages).toEqual([
      { port: 1001, text: "aaaabbbbcc", segmentBytes: 4 },
      { port: 1001, text: "dddd", segmentBytes: 0 },
      { port: 1002, text: "eeeeffff", segmentBytes: 4 },
    ]);
    expect(batch.counters).toEqual({
      packets: 6,
      bytes: 22,
      refused: 0,
      dropped: 0,
      systemCalls: 1,
    });
  });

  test("a longer datagram starts a new run", () => {
    const kernel = new FakeKernel([]);
    send(new DatagramBatch(kernel, 0), [
      ["aa", A],
      ["bbbb", A],
    ]);
    expect(kernel.messages.map(({ text }) => text)).toEqual(["aa", "bbbb"]);
  });

  test("at most 44 segments", () => {
    const kernel = new FakeKernel([]);
    send(
      new DatagramBatch(kernel, 0),
      Array.from({ length: 100 }, () => ["xy", A] as const),
    );
    expect(kernel.messages.map(({ text }) => text.length)).toEqual([88, 88, 24]);
  });

  test("a full arena is sent before more is written", () => {
    const kernel = new FakeKernel([]);
    const batch = new DatagramBatch(kernel, 0);
    const text = "z".repeat(1_000);
    send(
      batch,
      Array.from({ length: 600 }, () => [text, A] as const),
    );
    expect(batch.counters).toMatchObject({ packets: 600, bytes: 600_000, dropped: 0 });
    expect(kernel.messages.reduce((sum, message) => sum + message.text.length, 0)).toBe(600_000);
  });

  test("more messages than one call takes", () => {
    const kernel = new FakeKernel([]);
    const batch = new DatagramBatch(kernel, 0);
    send(
      batch,
      Array.from({ length: 1_100 }, (_, i) => ["q", i % 2 === 0 ? A : B] as const),
    );
    expect(batch.counters).toMatchObject({ packets: 1_100, systemCalls: 3 });
  });

  test("a call that takes only some is followed by another", () => {
    const kernel = new FakeKernel([{ take: 1 }]);
    const batch = new DatagramBatch(kernel, 0);
    send(batch, FRAME);
    expect(kernel.messages).toHaveLength(3);
    expect(batch.counters).toMatchObject({ packets: 6, dropped: 0, systemCalls: 2 });
  });

  test("a full buffer refuses the rest, and their destinations know", () => {
    const kernel = new FakeKernel([{ take: 1 }, { fail: EAGAIN }]);
    const batch = new DatagramBatch(kernel, 0);
    send(batch, FRAME);
    expect(batch.counters).toMatchObject({ packets: 3, bytes: 10, refused: 3, dropped: 0 });
    expect([A.refused, B.refused]).toEqual([1, 2]);
    A.refused = 0;
    B.refused = 0;
    send(batch, FRAME);
    expect(batch.counters.packets).toBe(9);
    expect([A.refused, B.refused]).toEqual([0, 0]);
  });

  test("a peer that cannot be reached loses its own only", () => {
    const kernel = new FakeKernel([{ fail: EPERM }]);
    const batch = new DatagramBatch(kernel, 0);
    send(batch, FRAME);
    expect(kernel.messages.map(({ text }) => text)).toEqual(["dddd", "eeeeffff"]);
    expect(batch.counters).toMatchObject({ packets: 3, dropped: 3 });
    expect(batch.segmentation).toBe(true);
  });

  test.each([EINVAL, EIO])("refused runs (errno %d) go singly, now and for good", (fail) => {
    const kernel = new FakeKernel([{ take: 1 }, { fail: EPERM }, { fail }]);
    const batch = new DatagramBatch(kernel, 0);
    send(batch, FRAME);
    expect(kernel.messages).toEqual([
      { port: 1001, text: "aaaabbbbcc", segmentBytes: 4 },
      { port: 1002, text: "eeee", segmentBytes: 0 },
      { port: 1002, text: "ffff", segmentBytes: 0 },
    ]);
    expect(batch.counters).toMatchObject({ packets: 5, dropped: 1 });
    expect(batch.segmentation).toBe(false);
    kernel.messages.length = 0;
    send(batch, FRAME);
    expect(kernel.messages.map(({ segmentBytes }) => segmentBytes)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("one datagram that is refused is no reason to give runs up", () => {
    const kernel = new FakeKernel([{ fail: EINVAL }]);
    const batch = new DatagramBatch(kernel, 0);
    send(batch, [["aaaa", A]]);
    expect(batch.segmentation).toBe(true);
    expect(batch.counters.dropped).toBe(1);
  });
});

describe.skipIf(libc === null)("a real socket", () => {
  test.each(["127.0.0.1", "::1"])("runs arrive as datagrams at %s", async (address) => {
    const got: string[] = [];
    const all = Promise.withResolvers<void>();
    const receiver = await Bun.udpSocket({
      hostname: address,
      port: 0,
      socket: {
        data(_socket, datagram) {
          got.push(datagram.toString());
          if (got.length === 4) all.resolve();
        },
      },
    });
    const sender = await Bun.udpSocket({ hostname: address, port: 0 });
    try {
      const descriptor = findDescriptor(address, sender.port);
      expect(descriptor).toBeGreaterThan(2);
      prepareDescriptor(descriptor);
      const to = new Destination(address, receiver.port);
      const batch = openBatch(descriptor);
      if (batch === null) throw new Error("no sendmmsg");
      send(batch, [
        ["aaaa", to],
        ["bbbb", to],
        ["cc", to],
        ["dddddd", to],
      ]);
      await all.promise;
      expect(got).toEqual(["aaaa", "bbbb", "cc", "dddddd"]);
      expect(batch.counters).toMatchObject({ packets: 4, dropped: 0 });
    } finally {
      sender.close();
      receiver.close();
    }
  });

  test("a descriptor is found by the whole address only", async () => {
    const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
    try {
      expect(findDescriptor("127.0.0.2", socket.port)).toBe(-1);
      expect(findDescriptor("::1", socket.port)).toBe(-1);
      expect(findDescriptor("not an address", socket.port)).toBe(-1);
    } finally {
      socket.close();
    }
  });
});
