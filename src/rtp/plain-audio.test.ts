import { describe, expect, test } from "bun:test";
import { body, flagWords, Rig } from "./fixtures/ring.ts";
import { PAYLOAD_BYTES_MAX } from "./header.ts";
import { Verdict } from "./repacketizer.ts";
import type { AudioCodec } from "./track-format.ts";

const fresh = (codec: AudioCodec, clockHz: number, channels: number): Rig =>
  new Rig({ kind: "audio", codec, clockHz, channels, parameterSets: [], auHeader: null });

const MAX = PAYLOAD_BYTES_MAX;
const cases: {
  name: string;
  codec: AudioCodec;
  channels: number;
  bytes: number;
  verdict: Verdict;
  /** Bytes and timestamp of each packet in the ring; the one that goes in is at 3000. */
  want: [number, number][];
}[] = [
  {
    name: "20 ms of G.711",
    codec: "pcmu",
    channels: 1,
    bytes: 160,
    verdict: Verdict.Taken,
    want: [[160, 3000]],
  },
  {
    name: "quirk: packets of G.711 that are longer than any MTU: cut, each part with its own time",
    codec: "pcma",
    channels: 1,
    bytes: 3000,
    verdict: Verdict.Taken,
    want: [
      [MAX, 3000],
      [MAX, 3000 + MAX],
      [3000 - 2 * MAX, 3000 + 2 * MAX],
    ],
  },
  {
    name: "two channels are cut between samples, and two bytes are a tick",
    codec: "pcma",
    channels: 2,
    bytes: 2000,
    verdict: Verdict.Taken,
    want: [
      [MAX, 3000],
      [2000 - MAX, 3000 + MAX / 2],
    ],
  },
  {
    name: "three channels",
    codec: "pcmu",
    channels: 3,
    bytes: 1200,
    verdict: Verdict.Taken,
    want: [
      [1170, 3000],
      [30, 3390],
    ],
  },
  {
    name: "G.722: a byte per tick although it samples twice as fast",
    codec: "g722",
    channels: 1,
    bytes: MAX + 1,
    verdict: Verdict.Taken,
    want: [
      [MAX, 3000],
      [1, 3000 + MAX],
    ],
  },
  {
    name: "Opus",
    codec: "opus",
    channels: 2,
    bytes: 120,
    verdict: Verdict.Taken,
    want: [[120, 3000]],
  },
  {
    name: "Opus cannot be cut",
    codec: "opus",
    channels: 2,
    bytes: MAX + 1,
    verdict: Verdict.Malformed,
    want: [[0, 3000]],
  },
  {
    name: "nothing at all",
    codec: "pcmu",
    channels: 1,
    bytes: 0,
    verdict: Verdict.Malformed,
    want: [[0, 3000]],
  },
];

describe("plain audio", () => {
  test.each(cases)("$name", ({ codec, channels, bytes, verdict, want }) => {
    const sent = body([], bytes);
    const byPacket = fresh(codec, 8_000, channels);
    expect(byPacket.send({ bytes: sent, sequence: 1 })).toBe(verdict);
    const byUnit = fresh(codec, 8_000, channels);
    expect(byUnit.unit(sent)).toBe(verdict);
    for (const { ring, track } of [byPacket, byUnit]) {
      const ids = Array.from({ length: ring.head - ring.tail }, (_, i) => ring.tail + i);
      expect(ids.map((id) => [ring.length(id), ring.timestamp(id)])).toEqual(want);
      expect(track.parameterSets).toEqual([]);
    }
    if (verdict === Verdict.Taken) {
      expect(byPacket.stored().flatMap((packet) => packet.bytes)).toEqual(sent);
      expect(byPacket.units().every(({ keyframe, damaged }) => keyframe && !damaged)).toBe(true);
    }
  });

  test("lost packets: a gap, and what follows is whole; markers mean nothing", () => {
    const rig = fresh("pcma", 8_000, 1);
    rig.send({ bytes: [1], sequence: 65_535, marker: true, timestamp: 0 });
    rig.send({ bytes: [2], sequence: 0, timestamp: 1 });
    rig.send({ bytes: [3], sequence: 3, timestamp: 4 });
    rig.send({ bytes: [2], sequence: 0, timestamp: 1 });
    expect(rig.stored().map(({ bytes, flags }) => [bytes, flagWords(flags)])).toEqual([
      [[1], "start key marker"],
      [[2], "start key marker"],
      [[], "hole"],
      [[3], "start key marker"],
    ]);
    expect(rig.track.keyframe).toBe(3);
    expect(rig.track.lost).toBe(2);
  });
});
