import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PacketRing } from "../core/packet-ring.ts";
import { createAssembler } from "../rtp/assembler.ts";
import { H264Repacketizer } from "../rtp/h264.ts";
import { emptyRtpHeader, readRtpHeader } from "../rtp/header.ts";
import { Verdict } from "../rtp/repacketizer.ts";
import { RtspReader } from "../rtsp/reader.ts";
import { UnitPackets } from "./packets.ts";

function annexB(...nals: readonly (readonly number[])[]): Uint8Array {
  return Uint8Array.from(nals.flatMap((nal) => [0, 0, 0, 1, ...nal]));
}

/** A slice of `length` bytes that starts a picture and holds no start code. */
function slice(type: number, length: number): number[] {
  return [0x60 | type, 0x80, ...Array.from({ length: length - 2 }, (_, i) => 1 + (i % 255))];
}

describe("UnitPackets", () => {
  test("are read as the unit they were made of", () => {
    const lengths = fc.array(fc.integer({ min: 3, max: 5000 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lengths, (each) => {
        const slices = each.map((length) => slice(5, length));
        const bytes = annexB([0x67, 1, 2], [0x68, 3], ...slices);
        const unit = new UnitPackets({ bytes, keyframe: true });
        unit.stamp(65_530, 4_000_000_000, 7);
        const ring = new PacketRing(1 << 16, 1 << 20);
        const repacketizer = new H264Repacketizer(ring);
        const header = emptyRtpHeader();
        for (const [i, packet] of unit.packets.entries()) {
          expect(packet.length).toBeLessThanOrEqual(1_400);
          expect(readRtpHeader(packet, 0, packet.length, header)).toBe(true);
          expect(header).toMatchObject({
            payloadType: 96,
            marker: i === unit.packets.length - 1,
            sequence: (65_530 + i) & 0xffff,
            timestamp: 4_000_000_000,
            ssrc: 7,
          });
          expect(repacketizer.push(packet, header, header.timestamp)).toBe(Verdict.Taken);
        }
        const assembler = createAssembler("h264");
        assembler.assemble(ring, ring.tail, ring.head);
        expect(Buffer.compare(assembler.bytes.subarray(0, assembler.length), bytes)).toBe(0);
      }),
    );
  });

  test("are framed for interleaving, on any channel", () => {
    const bytes = annexB(slice(1, 4_000));
    const unit = new UnitPackets({ bytes, keyframe: false });
    for (const channel of [0, 6, 0]) {
      unit.setChannel(channel);
      const packets: Uint8Array[] = [];
      const reader = new RtspReader(
        (on, b, start, end) => {
          expect(on).toBe(channel);
          packets.push(b.slice(start, end));
        },
        () => expect.unreachable(),
      );
      reader.push(unit.interleaved);
      expect(packets).toEqual([...unit.packets]);
    }
  });

  test("count payload bytes without headers", () => {
    const unit = new UnitPackets({ bytes: annexB([0x67, 1], slice(5, 100)), keyframe: true });
    expect(unit.payloadBytes).toBe(102);
    expect(unit.packetBytes).toBe(102 + 2 * 12);
  });
});
