import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ReorderWindow } from "./reorder.ts";

/** A window, and the numbers that came out of it. Packets hold their own number in two bytes. */
function rig() {
  const out: number[] = [];
  const window = new ReorderWindow((b, start, end) => {
    expect(end - start).toBeGreaterThanOrEqual(2);
    out.push((b[start]! << 8) | b[start + 1]!);
  });
  const push = (sequence: number, now = 0, length = 2) => {
    const packet = new Uint8Array(length + 3);
    packet[3] = sequence >> 8;
    packet[4] = sequence;
    window.push(packet, 3, packet.length, sequence & 0xffff, now);
  };
  const pushAll = (...sequences: number[]) => {
    for (const sequence of sequences) push(sequence);
  };
  return { window, out, push, pushAll };
}

const cases: [
  name: string,
  sequences: number[],
  out: number[],
  counts: Partial<Pick<ReorderWindow, "lost" | "late" | "duplicates" | "reordered">>,
][] = [
  ["in order", [5, 6, 7], [5, 6, 7], { reordered: 0 }],
  ["one overtaken", [5, 7, 6, 8], [5, 6, 7, 8], { reordered: 1 }],
  ["two overtaken", [1, 4, 3, 2, 5], [1, 2, 3, 4, 5], { reordered: 2 }],
  ["across the wrap", [65534, 0, 65535, 1], [65534, 65535, 0, 1], { reordered: 1 }],
  ["twice, passed", [1, 2, 2, 1, 3], [1, 2, 3], { duplicates: 2, late: 0 }],
  ["twice, held", [1, 3, 3, 2], [1, 2, 3], { duplicates: 1, reordered: 1 }],
  ["the first two exchanged", [2, 1, 3], [2, 3], { late: 1 }],
  ["a jump ahead", [1, 500, 501], [1, 500, 501], { lost: 498 }],
  ["a jump with packets held", [1, 3, 500], [1, 3, 500], { lost: 1 + 496 }],
  ["numbered anew, behind", [30000, 7, 8, 9], [30000, 8, 9], { late: 1 }],
  ["numbered anew with packets held", [30000, 30002, 7, 8], [30000, 30002, 8], { lost: 1 }],
  ["numbered anew, ahead", [7, 30000, 30001], [7, 30001], { late: 1, lost: 0 }],
  ["one stray far ahead", [1, 20000, 2, 3], [1, 2, 3], { late: 1, lost: 0 }],
  ["one stray far behind", [30000, 7, 30001], [30000, 30001], { late: 1, lost: 0 }],
];
test.each(cases)("%s", (_name, sequences, want, counts) => {
  const { window, out, pushAll } = rig();
  pushAll(...sequences);
  expect(out).toEqual(want);
  expect(window).toMatchObject(counts);
});

describe("what is missing", () => {
  test("is given up when its time is over, and late after that", () => {
    const { window, out, push } = rig();
    push(1, 0);
    push(3, 10);
    push(6, 30);
    expect(window.deadline).toBe(70);
    window.expire(69);
    expect(out).toEqual([1]);
    window.expire(70);
    expect(out).toEqual([1, 3]);
    expect(window.deadline).toBe(90);
    push(2, 80);
    push(3, 80);
    window.expire(90);
    expect(out).toEqual([1, 3, 6]);
    expect(window.deadline).toBe(Number.POSITIVE_INFINITY);
    expect(window).toMatchObject({ lost: 3, late: 1, duplicates: 1 });
  });

  test("several that come too late are no new numbering", () => {
    const { window, out, push } = rig();
    for (const sequence of [1, 5, 6, 7]) push(sequence, 0);
    window.expire(60);
    for (const sequence of [2, 3, 4, 8]) push(sequence, 70);
    expect(out).toEqual([1, 5, 6, 7, 8]);
    expect(window.late).toBe(3);
  });

  test("is not waited for behind a full window", () => {
    const { window, out, push } = rig();
    push(0);
    for (let sequence = 2; sequence < 66; sequence++) push(sequence);
    expect(out.length).toBe(65);
    expect(window).toMatchObject({ lost: 1, reordered: 0, deadline: Number.POSITIVE_INFINITY });
  });

  test("is not waited for behind a packet that fits no slot", () => {
    const { window, out, push } = rig();
    push(1);
    push(4);
    push(3, 0, 9000);
    expect(out).toEqual([1, 3, 4]);
    push(6);
    push(8, 0, 9000);
    expect(out).toEqual([1, 3, 4, 6, 8]);
    expect(window.lost).toBe(3);
    expect(window.deadline).toBe(Number.POSITIVE_INFINITY);
  });
});

test("a new source: what is held goes first, and any number may follow", () => {
  const { window, out, pushAll } = rig();
  pushAll(1, 3);
  window.restart();
  pushAll(40_000, 40_001, 40_003);
  expect(out).toEqual([1, 3, 40_000, 40_001]);
});

test("whatever comes: each number once, upwards, and all that were not too late", () => {
  const link = fc.record({
    first: fc.integer({ min: 0, max: 65_535 }),
    delays: fc.array(fc.integer({ min: -1, max: 40 }), { minLength: 1, maxLength: 400 }),
  });
  fc.assert(
    fc.property(link, ({ first, delays }) => {
      const { window, out, push } = rig();
      // One packet a millisecond; -1 is lost.
      const arrivals = delays
        .flatMap((delay, i) => (delay < 0 ? [] : [{ sequence: first + i, at: i + delay }]))
        .sort((a, b) => a.at - b.at);
      const [head] = arrivals;
      for (const { sequence, at } of arrivals) {
        window.expire(at);
        push(sequence & 0xffff, at);
      }
      window.expire(1e9);
      const sent = arrivals
        .map(({ sequence }) => sequence)
        .filter((s) => s >= (head?.sequence ?? 0));
      expect(out).toEqual(sent.sort((a, b) => a - b).map((s) => s & 0xffff));
    }),
  );
});
