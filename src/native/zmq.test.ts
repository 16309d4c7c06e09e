import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../core/fault.ts";
import { monotonicMs } from "./clock.ts";
import { ZmqContext, ZmqPoller, type ZmqSocket } from "./zmq.ts";

/** Longer than anything local takes, on a machine that is busy with other things. */
const PATIENCE_MS = 5_000;

const bytes = (text: string) => new TextEncoder().encode(text);
const into = new Uint8Array(256);

/** The next message, waited for. */
function next(socket: ZmqSocket): string | null {
  const poller = new ZmqPoller([socket]);
  const deadline = monotonicMs() + PATIENCE_MS;
  while (monotonicMs() < deadline) {
    if (!poller.wait(50)) continue;
    const length = socket.receive(into);
    if (length >= 0) return new TextDecoder().decode(into.subarray(0, length));
  }
  return null;
}

let disposables: Disposable[] = [];
function open(): ZmqContext {
  const context = new ZmqContext();
  disposables.push(context);
  return context;
}
afterEach(() => {
  for (const one of disposables) one[Symbol.dispose]();
  disposables = [];
});

describe("zmq", () => {
  test("push to pull over tcp, on a port the system chose", () => {
    const context = open();
    const pull = context.open("pull", {});
    const endpoint = pull.bind("tcp://127.0.0.1:*");
    expect(endpoint).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    const push = context.open("push", {});
    push.connect(endpoint);
    const buffer = bytes("hello, and more");
    expect(push.send(buffer, 5)).toBe(true);
    buffer.fill(0); // Sent messages are copies.
    expect(next(pull)).toBe("hello");
    expect(pull.receive(into)).toBe(-1);
  });

  test("loopback of IP version 6", () => {
    const endpoint = open().open("pull", {}).bind("tcp://[::1]:*");
    expect(endpoint).toMatch(/^tcp:\/\/\[::1\]:\d+$/);
  });

  test("push to pull over ipc; a left-over socket file is replaced", () => {
    const folder = mkdtempSync(join(tmpdir(), "zmq-"));
    const endpoint = `ipc://${join(folder, "intake")}`;
    for (let round = 0; round < 2; round++) {
      using context = new ZmqContext();
      const pull = context.open("pull", {});
      expect(pull.bind(endpoint)).toBe(endpoint);
      const push = context.open("push", {});
      push.connect(endpoint);
      expect(push.send(bytes("x"), 1)).toBe(true);
      expect(next(pull)).toBe("x");
    }
    rmSync(folder, { recursive: true });
  });

  test("xpub tells of each subscription and of its end, also when the peer vanishes", () => {
    const context = open();
    const xpub = context.open("xpub", { everySubscription: true });
    const endpoint = xpub.bind("tcp://127.0.0.1:*");
    const others = [new ZmqContext(), new ZmqContext()];
    for (const other of others) {
      const sub = other.open("sub", {});
      sub.subscribe(bytes("a\0"));
      sub.connect(endpoint);
    }
    expect([next(xpub), next(xpub)]).toEqual(["\x01a\0", "\x01a\0"]);
    for (const other of others) other.close();
    expect([next(xpub), next(xpub)]).toEqual(["\x00a\0", "\x00a\0"]);
  });

  test("conflate keeps the newest message", () => {
    const context = open();
    const xpub = context.open("xpub", { everySubscription: true });
    const endpoint = xpub.bind("tcp://127.0.0.1:*");
    const subscribe = (conflate: boolean) => {
      const sub = context.open("sub", { conflate });
      sub.subscribe(bytes("n"));
      sub.connect(endpoint);
      expect(next(xpub)).toBe("\x01n");
      return sub;
    };
    const [newest, all] = [subscribe(true), subscribe(false)];
    for (let i = 100; i < 200; i++) xpub.send(bytes(`n${i}`), 4);
    for (let i = 100; i < 200; i++) expect(next(all)).toBe(`n${i}`);
    let read = 1;
    while (next(newest) !== "n199") read++;
    expect(read).toBeLessThan(10);
    expect(newest.receive(into)).toBe(-1);
  });

  test("send says no when nobody is there, and when the queue is full", () => {
    const context = open();
    const push = context.open("push", { immediate: true, sendHighWater: 2 });
    push.connect(`ipc://${join(tmpdir(), `zmq-nobody-${process.pid}`)}`);
    expect(push.send(bytes("x"), 1)).toBe(false);
    const [a, b] = [
      context.open("pair", { sendHighWater: 1, receiveHighWater: 1 }),
      context.open("pair", { sendHighWater: 1, receiveHighWater: 1 }),
    ];
    a.bind("inproc://full");
    b.connect("inproc://full");
    let sent = 0;
    while (sent < 100 && b.send(bytes("x"), 1)) sent++;
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(100);
  });

  test("a message longer than the buffer is cut, and its length says so", () => {
    const context = open();
    const [a, b] = [context.open("pair", {}), context.open("pair", {})];
    a.bind("inproc://long");
    b.connect("inproc://long");
    b.send(new Uint8Array(1000).fill(7), 1000);
    const small = new Uint8Array(10);
    expect(a.receive(small)).toBe(1000);
    expect([...small]).toEqual(new Array(10).fill(7));
  });

  test("the poller waits no longer than told, and names the readable socket", () => {
    const context = open();
    const pairs = [0, 1].map((i) => {
      const [a, b] = [context.open("pair", {}), context.open("pair", {})];
      a.bind(`inproc://poll${i}`);
      b.connect(`inproc://poll${i}`);
      return { a, b };
    });
    const poller = new ZmqPoller(pairs.map(({ a }) => a));
    expect(poller.wait(0)).toBe(false);
    expect(poller.wait(20)).toBe(false);
    pairs[1]?.b.send(bytes("x"), 1);
    expect(poller.wait(PATIENCE_MS)).toBe(true);
    expect([poller.readable(0), poller.readable(1)]).toEqual([false, true]);
  });

  test("an address that is taken, and one that is none, are told in words", () => {
    const context = open();
    const endpoint = context.open("pull", {}).bind("tcp://127.0.0.1:*");
    const attempt = (address: string) => {
      try {
        context.open("pull", {}).bind(address);
      } catch (error) {
        if (error instanceof Fault) return { code: error.code, message: error.message };
      }
      return null;
    };
    expect(attempt(endpoint)?.code).toBe("port_taken");
    expect(attempt(endpoint)?.message).toContain(endpoint);
    expect(attempt("nonsense")?.code).toBe("config_invalid");
    expect(attempt(`ipc://${"x".repeat(200)}`)?.code).toBe("config_invalid");
  });

  test("closing is idempotent, and a closed socket is not used", () => {
    const context = new ZmqContext();
    const socket = context.open("pull", {});
    socket.close();
    socket.close();
    expect(() => socket.receive(into)).toThrow("before it is closed");
    context.close();
    context.close();
  });

  test("ten thousand messages and a hundred contexts leave memory as it was", () => {
    const round = () => {
      using context = new ZmqContext();
      const [a, b] = [context.open("pair", {}), context.open("pair", {})];
      a.bind("inproc://leak");
      b.connect("inproc://leak");
      const message = new Uint8Array(200);
      for (let i = 0; i < 100; i++) {
        b.send(message, message.length);
        expect(a.receive(into)).toBe(200);
      }
    };
    for (let i = 0; i < 20; i++) round();
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 100; i++) round();
    Bun.gc(true);
    expect(process.memoryUsage.rss() - before).toBeLessThan(30 << 20);
  });
});
