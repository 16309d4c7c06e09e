import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../core/fault.ts";
import type { TrackFormat } from "../rtp/track-format.ts";
import type { Unit } from "./sinks.ts";
import {
  type Hello,
  helloMessage,
  replayEndedMessage,
  type TrackKind,
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

/** Damaged units are sound here. */
const kindOf = (one: Unit): TrackKind => (one.damaged ? "audio" : "video");

function unitMessage(one: Unit): Uint8Array {
  const message = new Uint8Array(UNIT_HEAD_BYTES + one.length);
  writeUnitHead(new DataView(message.buffer), 0, one, {
    kind: kindOf(one),
    gapBefore: one.gapBefore,
  });
  message.set(one.bytes.subarray(0, one.length), UNIT_HEAD_BYTES);
  return message;
}

type Heard = string | Hello | Unit;
function read(chunks: readonly Uint8Array[]): Heard[] {
  const heard: Heard[] = [];
  const reader = new UnitReader({
    hello: (hello) => heard.push(hello),
    unit: (one, kind) => heard.push(kind, { ...one, bytes: Uint8Array.from(one.bytes) }),
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
const A = { camera: "a", tracks: [] };
const VIDEO: TrackFormat = {
  kind: "video",
  codec: "h265",
  clockHz: 90_000,
  channels: 1,
  parameterSets: [bytes(3), bytes(0)],
  auHeader: null,
};
const SOUND: TrackFormat = {
  kind: "audio",
  codec: "aac",
  clockHz: 48_000,
  channels: 2,
  parameterSets: [bytes(2)],
  auHeader: { sizeBits: 13, indexBits: 3, indexDeltaBits: 3 },
};
const LOBBY = { camera: "lobby-ä", tracks: [VIDEO, SOUND] };
const [first, second, third] = units;
const wire = Buffer.concat([
  helloMessage(LOBBY),
  ...[first, second].flatMap((one) => (one ? [unitMessage(one)] : [])),
  replayEndedMessage(),
  ...(third ? [unitMessage(third)] : []),
]);
const said: Heard[] = [
  LOBBY,
  ...kinds(units.slice(0, 2)),
  "replay ended",
  ...kinds(units.slice(2)),
];

/** Each with the track that it came on. */
function kinds(of: readonly Unit[]): Heard[] {
  return of.flatMap((one) => [kindOf(one), one]);
}

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
    const message = Buffer.concat([helloMessage(A), unitMessage(large), unitMessage(large)]);
    const chunks = Array.from({ length: Math.ceil(message.length / 50_000) }, (_, i) =>
      message.subarray(i * 50_000, (i + 1) * 50_000),
    );
    for (const way of [chunks, [message]]) expect(read(way)).toEqual([A, ...kinds([large, large])]);
  });

  const broken: { name: string; wire: Uint8Array }[] = [
    { name: "no hello", wire: replayEndedMessage() },
    { name: "a second hello", wire: Buffer.concat([helloMessage(A), helloMessage(A)]) },
    { name: "an unknown kind", wire: new Uint8Array([0, 0, 0, 0, 9, 0, 0, 0]) },
    { name: "a length beyond all units", wire: new Uint8Array([255, 255, 255, 255, 1, 0, 0, 0]) },
    {
      name: "a unit shorter than its facts",
      wire: Buffer.concat([helloMessage(A), new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0, 0])]),
    },
  ];
  const named = {
    name: "a hello that is no JSON",
    wire: new Uint8Array([1, 0, 0, 0, 1, 0, 0, 0, 9]),
  };
  const third = Uint8Array.from(unitMessage(unit({ bytes: bytes(1) })));
  third[6] = 2;
  const strange = { name: "a third track", wire: Buffer.concat([helloMessage(A), third]) };
  test.each([...broken, named, strange])("$name is a fault", ({ wire }) => {
    expect(() => read([wire])).toThrow(Fault);
  });

  test("any bytes: messages or a Fault, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.boolean(), (junk, greeted) => {
        try {
          read(greeted ? [helloMessage(A), junk] : [junk]);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(Fault);
        }
      }),
    );
  });
});
