import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../core/fault.ts";
import type { Unit } from "../stream/sinks.ts";
import {
  helloMessage,
  replayEndedMessage,
  UNIT_HEAD_BYTES,
  UnitReader,
  writeUnitHead,
} from "./unit-wire.ts";

function unit(over: Partial<Unit> & { bytes: Uint8Array }): Unit {
  return {
    length: over.bytes.length,
    sequence: 7,
    timestamp: 0xfffffff0,
    arrived: 123_456.75,
    completed: 123_700.125,
    captured: 1_788_000_000_123.25,
    capturedClock: "arrival",
    keyframe: false,
    damaged: false,
    gapBefore: false,
    replayed: false,
    ...over,
  };
}

function unitMessage(one: Unit): Uint8Array {
  const message = new Uint8Array(UNIT_HEAD_BYTES + one.length);
  writeUnitHead(new DataView(message.buffer), 0, one, one.gapBefore);
  message.set(one.bytes.subarray(0, one.length), UNIT_HEAD_BYTES);
  return message;
}

type Heard = string | Unit;
function read(chunks: readonly Uint8Array[]): Heard[] {
  const heard: Heard[] = [];
  const reader = new UnitReader({
    hello: (camera) => heard.push(`hello ${camera}`),
    unit: (one) => heard.push({ ...one, bytes: Uint8Array.from(one.bytes) }),
    replayEnded: () => heard.push("replay ended"),
  });
  // A copy that is wiped afterwards: the reader must not keep what it borrowed.
  for (const chunk of chunks) {
    const borrowed = Uint8Array.from(chunk);
    reader.push(borrowed);
    borrowed.fill(0xee);
  }
  return heard;
}

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 37) & 0xff);
const units = [
  unit({ bytes: bytes(3), keyframe: true, replayed: true, capturedClock: "rtcp" }),
  unit({ bytes: bytes(0), sequence: 2 ** 40, damaged: true }),
  unit({ bytes: bytes(50), gapBefore: true }),
];
const [first, second, third] = units;
const wire = Buffer.concat([
  helloMessage("lobby-ä"),
  ...[first, second].flatMap((one) => (one ? [unitMessage(one)] : [])),
  replayEndedMessage(),
  ...(third ? [unitMessage(third)] : []),
]);
const said: Heard[] = ["hello lobby-ä", ...units.slice(0, 2), "replay ended", ...units.slice(2)];

describe("unit wire", () => {
  test("what is written is read, cut at every place", () => {
    for (let cut = 0; cut <= wire.length; cut++) {
      expect(read([wire.subarray(0, cut), wire.subarray(cut)])).toEqual(said);
    }
  });

  test("any chunking reads the same", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(sizes, (lengths) => {
        const chunks: Uint8Array[] = [];
        for (let at = 0, i = 0; at < wire.length; i++) {
          const length = lengths[i % lengths.length] ?? 1;
          chunks.push(wire.subarray(at, at + length));
          at += length;
        }
        expect(read(chunks)).toEqual(said);
      }),
    );
  });

  test("a unit larger than the buffer, cut small and whole", () => {
    const large = unit({ bytes: bytes(3 << 20) });
    const message = Buffer.concat([helloMessage("a"), unitMessage(large), unitMessage(large)]);
    const chunks = Array.from({ length: Math.ceil(message.length / 50_000) }, (_, i) =>
      message.subarray(i * 50_000, (i + 1) * 50_000),
    );
    for (const way of [chunks, [message]]) expect(read(way)).toEqual(["hello a", large, large]);
  });

  const broken: { name: string; wire: Uint8Array }[] = [
    { name: "no hello", wire: replayEndedMessage() },
    { name: "a second hello", wire: Buffer.concat([helloMessage("a"), helloMessage("a")]) },
    { name: "an unknown kind", wire: new Uint8Array([0, 0, 0, 0, 9, 0, 0, 0]) },
    { name: "a length beyond all units", wire: new Uint8Array([255, 255, 255, 255, 1, 0, 0, 0]) },
    {
      name: "a unit shorter than its facts",
      wire: Buffer.concat([helloMessage("a"), new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0, 0])]),
    },
  ];
  test.each(broken)("$name is a fault", ({ wire }) => {
    expect(() => read([wire])).toThrow(Fault);
  });

  test("any bytes: messages or a Fault, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.boolean(), (junk, greeted) => {
        try {
          read(greeted ? [helloMessage("a"), junk] : [junk]);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(Fault);
        }
      }),
    );
  });
});
