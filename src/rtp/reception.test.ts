import { expect, test } from "bun:test";
import { writeU16, writeU32 } from "./header.ts";
import { Heard, Reception } from "./reception.ts";

function packet(ssrc: number, sequence: number): Uint8Array {
  const b = new Uint8Array(12);
  b[0] = 0x80;
  writeU16(b, 2, sequence);
  writeU32(b, 8, ssrc);
  return b;
}

const hear = (reception: Reception, ssrc: number, sequence: number, now = 0) =>
  reception.hear(packet(ssrc, sequence), 0, 12, now);

test("the highest sequence number counts wraps, and packets out of order do not lower it", () => {
  const reception = new Reception();
  for (const sequence of [65534, 65535, 0, 65533, 3, 2]) hear(reception, 7, sequence);
  const report = reception.report(1, 5);
  expect(report).toEqual({ ssrc: 1, source: 7, highestSequence: 0x10003, lost: 5 });
});

test("nothing heard, nothing to report; what is too short is heard by nobody", () => {
  const reception = new Reception();
  expect(reception.hear(new Uint8Array(11), 0, 11, 0)).toBe(Heard.Same);
  expect(reception.report(1, 0)).toBeNull();
});

test("quirk: the SSRC changes in the middle of the stream", () => {
  const reception = new Reception();
  expect(hear(reception, 7, 40_000)).toBe(Heard.Same);
  expect(hear(reception, 8, 12)).toBe(Heard.Changed);
  expect(hear(reception, 8, 13)).toBe(Heard.Same);
  expect(reception.report(1, 0)).toMatchObject({ source: 8, highestSequence: 13 });
});

test("quirk: two sources send at the same time", () => {
  const reception = new Reception();
  const heard = [7, 8, 7, 8, 7].map((ssrc, i) => hear(reception, ssrc, i, i));
  expect(heard).toEqual([Heard.Same, Heard.Changed, Heard.Foreign, Heard.Same, Heard.Foreign]);
  expect(hear(reception, 7, 9, 2_000)).toBe(Heard.Changed);
});
