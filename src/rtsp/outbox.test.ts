import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Outbox } from "./outbox.ts";

/** A client that takes at most `window` bytes until it is told to read on. */
class SlowClient {
  readonly taken: Uint8Array[] = [];
  window = 0;
  readonly outbox = new Outbox((bytes) => {
    const count = Math.min(this.window, bytes.length);
    this.window -= count;
    this.taken.push(bytes.slice(0, count));
    return count;
  });
  read(bytes: number): void {
    this.window += bytes;
    this.outbox.drain();
  }
}

describe("Outbox", () => {
  test("delivers frames whole and in order, however the client reads", () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ send: fc.integer({ min: 1, max: 400 }) }),
        fc.record({ read: fc.integer({ min: 0, max: 700 }) }),
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (each) => {
        const client = new SlowClient();
        const sent: Uint8Array[] = [];
        for (const [i, step] of each.entries()) {
          if ("read" in step) {
            client.read(step.read);
            continue;
          }
          const frame = new Uint8Array(step.send).fill(i);
          expect(client.outbox.frame(frame)).toBe(true);
          frame.fill(255);
          sent.push(new Uint8Array(step.send).fill(i));
        }
        for (let i = 0; i < 100; i++) client.read(1_000);
        expect(Buffer.concat(client.taken)).toEqual(Buffer.concat(sent));
        expect(client.outbox.waiting).toBe(0);
      }),
    );
  });

  test("drops whole frames beyond its bound, never messages", () => {
    const client = new SlowClient();
    const frame = new Uint8Array(300_000);
    const results = Array.from({ length: 5 }, () => client.outbox.frame(frame));
    expect(results).toEqual([true, true, true, false, false]);
    client.outbox.message(new Uint8Array(200_000));
    expect(client.outbox.waiting).toBe(1_100_000);
    client.read(900_000);
    expect(client.outbox.frame(frame)).toBe(true);
    expect(client.outbox.waiting).toBe(500_000);
  });

  test("finishes a frame that was begun, however large", () => {
    const client = new SlowClient();
    client.read(10);
    expect(client.outbox.frame(new Uint8Array(3 << 20))).toBe(true);
    expect(client.outbox.waiting).toBe((3 << 20) - 10);
    expect(client.outbox.frame(new Uint8Array(1))).toBe(false);
  });

  test("drops even messages when nothing is read at all", () => {
    const client = new SlowClient();
    const message = new Uint8Array(1 << 20);
    const results = Array.from({ length: 18 }, () => client.outbox.message(message));
    expect(results.filter(Boolean)).toHaveLength(16);
  });

  test("keeps nothing for a client that is gone", () => {
    const outbox = new Outbox(() => -1);
    expect(outbox.message(new Uint8Array(10))).toBe(false);
    outbox.drain();
    expect(outbox.waiting).toBe(0);
  });
});
