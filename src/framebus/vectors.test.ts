/**
 * The golden files that every client reads (test/vectors/frame). ONEPULL_WRITE_VECTORS=1 writes
 * them anew, which is right only together with a new version of the format.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../core/fault.ts";
import type { FrameFacts } from "../stream/sinks.ts";
import { HEAD_BYTES_MAX, type RingPlace, readMessage, writeMessage } from "./header.ts";
import { RingFile } from "./ring-file.ts";
import { parseTopic } from "./topic.ts";

const FOLDER = join(import.meta.dir, "../../test/vectors/frame");

interface MessageVector {
  readonly file: string;
  /** Why a reader refuses it; then there is nothing more. */
  readonly refused?: string;
  readonly topic?: string;
  /** As in the message, nanoseconds as text. */
  readonly header?: Readonly<Record<string, string | number | boolean>>;
  readonly payload_bytes?: number;
}

interface RingVector {
  readonly file: string;
  readonly width: number;
  readonly height: number;
  readonly stride: number;
  readonly slots: number;
  readonly reads: readonly {
    readonly why: string;
    readonly slot: number;
    readonly offset: number;
    readonly size: number;
    readonly generation: number;
    /** The picture in hexadecimal, or `null` where a reader has to refuse. */
    readonly pixels: string | null;
  }[];
}

function message(topic: string, facts: FrameFacts, place: RingPlace): Uint8Array {
  const into = new Uint8Array(HEAD_BYTES_MAX);
  return into.slice(0, writeMessage(into, topic, parseTopic(topic), facts, place));
}

const text = (words: string) => new TextEncoder().encode(words);

const plain: FrameFacts = {
  sequence: 0,
  width: 640,
  height: 360,
  stride: 1920,
  timestamp: 0,
  mediaTicks: 0,
  captured: 1_788_000_000_000,
  capturedClock: "arrival",
  decoded: 1_788_000_000_004.25,
  keyframe: true,
  damaged: false,
  droppedBefore: 0,
};
const plainPlace: RingPlace = {
  path: "/dev/shm/onepull-main/lobby.shm",
  slot: 0,
  offset: 4160,
  size: 691_200,
  generation: 2,
};
const large: FrameFacts = {
  ...plain,
  sequence: 2 ** 40 + 7,
  width: 1280,
  height: 720,
  stride: 3840,
  timestamp: 2 ** 32 - 1,
  mediaTicks: 5 * 2 ** 32 + (2 ** 32 - 1),
  captured: 1_788_000_000_123.456,
  capturedClock: "rtcp",
  decoded: 1_788_000_000_127.75,
  keyframe: false,
  damaged: true,
  droppedBefore: 12,
};
const largePlace: RingPlace = {
  path: '/dev/shm/onepull-main/gate-2.shm.1280 "quoted" \\ ü',
  slot: 7,
  offset: 4160 + 7 * 2_768_896,
  size: 2_764_800,
  generation: 2 ** 52 + 2,
};

const written: { file: string; bytes: Uint8Array; refused?: string }[] = [
  { file: "plain.bin", bytes: message("lobby/shm", plain, plainPlace) },
  { file: "large.bin", bytes: message("gate-2/shm?width=1280", large, largePlace) },
  {
    file: "newer.bin",
    bytes: Buffer.concat([
      text(
        new TextDecoder()
          .decode(message("lobby/shm?width=640", plain, plainPlace))
          .replace('"v":1', '"later":{"pts_ns":"x","list":[1,2]},"v": 1')
          .replace('"pts_ns":0', '"pts_ns" : 1788000000123456789'),
      ),
      new Uint8Array([0, 10, 255]),
    ]),
  },
  { file: "no-topic.bin", bytes: text('{"v":1}\n'), refused: "no NUL" },
  { file: "no-end.bin", bytes: text('lobby/shm\0{"v":1}'), refused: "no LF" },
  { file: "no-json.bin", bytes: text("lobby/shm\0{v:1}\n"), refused: "not JSON" },
  { file: "no-object.bin", bytes: text("lobby/shm\0[1]\n"), refused: "not an object" },
  {
    file: "version-2.bin",
    bytes: text(
      new TextDecoder().decode(message("lobby/shm", plain, plainPlace)).replace('"v":1', '"v":2'),
    ),
    refused: "another version",
  },
  {
    file: "no-width.bin",
    bytes: text(
      new TextDecoder().decode(message("lobby/shm", plain, plainPlace)).replace('"width":640,', ""),
    ),
    refused: "a field is missing",
  },
];

/** What a reader sees, in the words of the message. */
function seen(bytes: Uint8Array): Omit<MessageVector, "file"> {
  const { topic, header, payload } = readMessage(bytes);
  return {
    topic,
    header: {
      camera: header.camera,
      seq: header.seq,
      format: header.format,
      width: header.width,
      height: header.height,
      stride: header.stride,
      rtp_timestamp: header.rtpTimestamp,
      pts_ns: String(header.ptsNs),
      captured_at_ns: String(header.capturedAtNs),
      captured_clock: header.capturedClock,
      decoded_at_ns: String(header.decodedAtNs),
      keyframe: header.keyframe,
      damaged: header.damaged,
      dropped_before: header.droppedBefore,
      path: header.path,
      slot: header.slot,
      offset: header.offset,
      size: header.size,
      generation: header.generation,
    },
    payload_bytes: payload.length,
  };
}

/** Five pictures into three slots, and a sixth one under way. */
function ring(): { bytes: Uint8Array; vector: RingVector } {
  const folder = mkdtempSync(join(tmpdir(), "ring-"));
  using file = new RingFile({ folder, name: "x.shm", width: 4, height: 2, now: 1000, slots: 3 });
  const places = [1, 2, 3, 4, 5].map((level) => {
    file.begin().set(Uint8Array.from({ length: 24 }, (_, i) => level * 16 + (i % 16)));
    return file.end();
  });
  file.begin().fill(0xee, 0, 10);
  const bytes = Uint8Array.from(readFileSync(file.path));
  rmSync(folder, { recursive: true });
  const [, , third, fourth, fifth] = places;
  if (!third || !fourth || !fifth) throw new Error("five pictures were written");
  const pixels = (place: RingPlace) =>
    bytes.subarray(place.offset, place.offset + place.size).toHex();
  const read = (why: string, { path: _path, ...place }: RingPlace, seen: string | null) => {
    return { why, ...place, pixels: seen };
  };
  const reads = [
    read("complete", fifth, pixels(fifth)),
    read("complete, the oldest left", fourth, pixels(fourth)),
    read("being overwritten", third, null),
    read("a generation to come", { ...fifth, generation: fifth.generation + 6 }, null),
    read("of another file", { ...fifth, generation: 2 }, null),
    read(
      "an odd generation is never a picture",
      { ...third, generation: third.generation + 5 },
      null,
    ),
  ];
  return {
    bytes,
    vector: { file: "ring.bin", width: 4, height: 2, stride: 12, slots: 3, reads },
  };
}

if (process.env["ONEPULL_WRITE_VECTORS"] === "1") {
  const list: MessageVector[] = written.map(({ file, bytes, refused }) => {
    writeFileSync(join(FOLDER, file), bytes);
    return refused === undefined ? { file, ...seen(bytes) } : { file, refused };
  });
  const { bytes, vector } = ring();
  writeFileSync(join(FOLDER, "ring.bin"), bytes);
  writeFileSync(join(FOLDER, "messages.json"), `${JSON.stringify(list, null, 2)}\n`);
  writeFileSync(join(FOLDER, "ring.json"), `${JSON.stringify(vector, null, 2)}\n`);
}

const load = (file: string) => Uint8Array.from(readFileSync(join(FOLDER, file)));
const messages: MessageVector[] = JSON.parse(readFileSync(join(FOLDER, "messages.json"), "utf8"));
const ringVector: RingVector = JSON.parse(readFileSync(join(FOLDER, "ring.json"), "utf8"));

describe("messages", () => {
  test("every vector has its file, and the other way round", () => {
    expect(messages.map(({ file }) => file)).toEqual(written.map(({ file }) => file));
  });

  test.each(written)("$file is written as it stands", ({ file, bytes }) => {
    expect(load(file)).toEqual(Uint8Array.from(bytes));
  });

  test.each(messages)("$file is read as it says", ({ file, refused, ...vector }) => {
    if (refused !== undefined) expect(() => readMessage(load(file))).toThrow(Fault);
    else expect(seen(load(file))).toEqual(vector);
  });

  test("exact nanoseconds: nothing passes through a double", () => {
    expect(readMessage(load("newer.bin")).header.ptsNs).toBe(1_788_000_000_123_456_789n);
    expect(readMessage(load("large.bin")).header.capturedAtNs).toBe(1_788_000_000_123_456_055n);
  });
});

describe("ring", () => {
  test("is written as it stands", () => {
    const { bytes, vector } = ring();
    expect(bytes).toEqual(load("ring.bin"));
    expect(ringVector).toEqual(vector);
  });

  test.each(ringVector.reads)("$why", ({ offset, size, generation, pixels }) => {
    const bytes = load("ring.bin");
    const counter = new DataView(bytes.buffer).getBigUint64(offset - 64, true);
    const whole = counter === BigInt(generation) && generation % 2 === 0;
    expect(whole).toBe(pixels !== null);
    if (pixels !== null) expect(bytes.subarray(offset, offset + size).toHex()).toBe(pixels);
  });
});
