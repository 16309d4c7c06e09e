import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FLAG_HOLE, FLAG_MARKER, PacketRing } from "./packet-ring.ts";

function put(ring: PacketRing, length: number, fill: number, timestamp = 0): number {
  const at = ring.reserve(length);
  ring.bytes.fill(fill, at, at + length);
  return ring.commit(length, timestamp, 0);
}

function bytesOf(ring: PacketRing, id: number): number[] {
  return [...ring.bytes.subarray(ring.start(id), ring.start(id) + ring.length(id))];
}

describe("packet ring", () => {
  test("holds what was written, oldest dropped first", () => {
    const ring = new PacketRing(100, 100);
    ring.keepFrom = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 10; i++) expect(put(ring, 30, i)).toBe(i);
    expect(ring.head).toBe(10);
    expect(ring.tail).toBe(7);
    for (let id = 7; id < 10; id++) expect(bytesOf(ring, id)).toEqual(Array(30).fill(id));
    expect(ring.overruns).toBe(0);
  });

  test("grows while the last group of pictures does not fit, then drops and counts", () => {
    const ring = new PacketRing(64, 256);
    for (let i = 0; i < 8; i++) put(ring, 30, i);
    expect(ring.bytes.length).toBeWithin(240, 257);
    expect(ring.tail).toBe(0);
    for (let id = 0; id < 8; id++) expect(bytesOf(ring, id)).toEqual(Array(30).fill(id));
    put(ring, 30, 9);
    expect(ring.bytes.length).toBe(256);
    expect(ring.tail).toBe(1);
    expect(ring.overruns).toBe(1);
  });

  test("is little larger than the longest of the last groups of pictures", () => {
    const ring = new PacketRing(1_000, 100_000);
    const groups = (count: number, packets: number) => {
      for (let i = 0; i < count; i++) {
        ring.keepFrom = ring.head;
        for (let j = 0; j < packets; j++) put(ring, 100, j);
        expect(ring.tail).toBeLessThanOrEqual(ring.keepFrom);
      }
    };
    groups(10, 200);
    expect(ring.bytes.length).toBeWithin(20_000, 25_001);
    expect(ring.overruns).toBe(0);
    groups(60, 20);
    expect(ring.bytes.length).toBe(2_500);
    // What is held is still whole, and the newest.
    for (let id = ring.tail; id < ring.head; id++) {
      expect(bytesOf(ring, id)).toEqual(Array(100).fill((id - ring.head + 20 + 20) % 20));
    }
    groups(60, 2);
    expect(ring.bytes.length).toBe(1_000);
    for (let j = 0; j < 5_000; j++) put(ring, 100, j);
    expect([ring.bytes.length, ring.overruns > 0]).toEqual([100_000, true]);
  });

  test("a packet may be shorter than its reservation", () => {
    const ring = new PacketRing(64, 64);
    ring.reserve(20);
    const id = ring.commit(5, 90, FLAG_MARKER);
    expect([ring.length(id), ring.timestamp(id), ring.flags(id)]).toEqual([5, 90, FLAG_MARKER]);
  });

  test("a packet that could never fit is our own bug", () => {
    expect(() => new PacketRing(64, 64).reserve(33)).toThrow("broken invariant");
  });

  test("nothing but holes stays bounded", () => {
    const ring = new PacketRing(64, 64);
    for (let i = 0; i < 200_000; i++) ring.hole(i, 0);
    expect(ring.head - ring.tail).toBe(65_536);
    expect(ring.flags(ring.head - 1)).toBe(FLAG_HOLE);
  });

  test("against a plain list: every held packet is whole, whatever the sizes", () => {
    const step = fc.record({ length: fc.integer({ min: 0, max: 50 }), key: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const ring = new PacketRing(128, 512);
        const model: number[] = [];
        for (const [i, { length, key }] of steps.entries()) {
          if (key) ring.keepFrom = ring.head;
          put(ring, length, i & 0xff);
          model.push(length);
        }
        expect(ring.bytes.length).toBeWithin(128, 513);
        for (let id = ring.tail; id < ring.head; id++) {
          expect(bytesOf(ring, id)).toEqual(Array(model[id]!).fill(id & 0xff));
        }
        const held = model.slice(ring.tail).reduce((sum, length) => sum + length, 0);
        expect(held).toBeLessThanOrEqual(ring.bytes.length);
      }),
      { numRuns: 300 },
    );
  });
});
