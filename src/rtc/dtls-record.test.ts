import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  HANDSHAKE,
  handshakeIsSound,
  helloHasCookie,
  RECORD_HEADER_BYTES,
  readRecords,
  writeRecordHeader,
} from "./dtls-record.ts";

function record(type: number, body: readonly number[], epoch = 0, sequence = 1): number[] {
  const b = new Uint8Array(RECORD_HEADER_BYTES + body.length);
  writeRecordHeader(b, { type, version: 0xfefd, epoch, sequence }, body.length);
  b.set(body, RECORD_HEADER_BYTES);
  return [...b];
}

const fragment = (length: number, offset: number, bytes: number, type = 11) => [
  type,
  ...[length >> 16, length >> 8, length, 0, 2, offset >> 16, offset >> 8, offset],
  ...[bytes >> 16, bytes >> 8, bytes],
  ...new Uint8Array(Math.min(bytes, 64)),
];

describe("records", () => {
  test("several in a datagram, large sequence numbers", () => {
    const wire = Uint8Array.from([...record(20, [1]), ...record(22, [1, 2], 1, 2 ** 47 + 5)]);
    expect(readRecords(wire)).toEqual([
      { type: 20, version: 0xfefd, epoch: 0, sequence: 1, start: 0, end: 14 },
      { type: 22, version: 0xfefd, epoch: 1, sequence: 2 ** 47 + 5, start: 14, end: 29 },
    ]);
  });

  test("every truncation but between records is refused", () => {
    const wire = Uint8Array.from([...record(20, [1]), ...record(22, [1, 2, 3])]);
    for (let end = 1; end < wire.length; end++) {
      expect(readRecords(wire.subarray(0, end))?.length ?? 0).toBe(end === 14 ? 1 : 0);
    }
  });

  test("empty records and other protocols are refused", () => {
    expect(readRecords(Uint8Array.from(record(22, [])))).toBeNull();
    const tls = record(22, [1]);
    tls[1] = 3;
    expect(readRecords(Uint8Array.from(tls))).toBeNull();
  });
});

describe("handshake fragments", () => {
  const sound = (body: readonly number[]) => {
    const wire = Uint8Array.from(record(HANDSHAKE, body));
    const [first] = readRecords(wire) ?? [];
    return first !== undefined && handshakeIsSound(wire, first);
  };

  test("whole ones, several, parts of longer ones", () => {
    expect(sound(fragment(10, 0, 10))).toBe(true);
    expect(sound([...fragment(10, 0, 10), ...fragment(4, 0, 4)])).toBe(true);
    expect(sound(fragment(100, 40, 60))).toBe(true);
    expect(sound(fragment(0, 0, 0, 14))).toBe(true);
  });

  test("lengths that ask for memory or lie are refused", () => {
    expect(sound(fragment(0xffffff, 0, 10))).toBe(false);
    expect(sound(fragment(10, 5, 10))).toBe(false);
    expect(sound(fragment(10, 0, 10).slice(0, -1))).toBe(false);
    expect(sound([11, 0, 0])).toBe(false);
  });
});

test("cookies", () => {
  const hello = (session: number, cookie: number) =>
    Uint8Array.from([
      ...new Uint8Array(34),
      session,
      ...new Uint8Array(session),
      cookie,
      ...new Uint8Array(cookie),
    ]);
  expect(helloHasCookie(hello(0, 20))).toBe(true);
  expect(helloHasCookie(hello(32, 20))).toBe(true);
  expect(helloHasCookie(hello(32, 0))).toBe(false);
  expect(helloHasCookie(new Uint8Array(3))).toBe(false);
});

test("junk is read or refused, nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 60 }), (junk, length) => {
      const wire = Uint8Array.from([...record(22, [...junk.subarray(0, length)]), ...junk]);
      for (const one of readRecords(wire) ?? readRecords(wire.subarray(0, 13 + length)) ?? []) {
        handshakeIsSound(wire, one);
      }
      helloHasCookie(junk);
    }),
  );
});
