import { expect, test } from "bun:test";
import fc from "fast-check";
import { FLAG_MARKER, PacketRing } from "../core/packet-ring.ts";
import { emptyRtpHeader, readRtpHeader } from "../rtp/header.ts";
import { RtspReader } from "../rtsp/reader.ts";
import { InterleavedImage } from "./image.ts";

/** What a reader makes of the bytes: channel, sequence number, SSRC, marker, timestamp, payload. */
function seen(bytes: Uint8Array): unknown[][] {
  const packets: unknown[][] = [];
  const header = emptyRtpHeader();
  const reader = new RtspReader(
    (channel, b, start, end) => {
      expect(readRtpHeader(b, start, end, header)).toBe(true);
      const { sequence, ssrc, marker, timestamp, payloadStart, payloadEnd } = header;
      const payload = b.subarray(payloadStart, payloadEnd).toHex();
      packets.push([channel, sequence, ssrc, marker, timestamp, payload]);
    },
    () => expect.unreachable(),
  );
  reader.push(bytes);
  return packets;
}

test("every reader sees the packets of the ring under its own numbers, holes as gaps", () => {
  const packets = fc.array(fc.option(fc.uint8Array({ minLength: 1, maxLength: 1_172 })), {
    maxLength: 400,
  });
  const readers = fc.array(
    fc.record({ channel: fc.nat(254), ssrc: fc.nat(0xffff_ffff), base: fc.nat(0xffff) }),
    { minLength: 1, maxLength: 3 },
  );
  const image = new InterleavedImage();
  fc.assert(
    fc.property(packets, readers, fc.nat(100), (payloads, each, skipped) => {
      const ring = new PacketRing(1 << 20, 1 << 20);
      for (const payload of payloads) {
        if (payload === null) ring.hole(7, 0);
        else {
          const at = ring.reserve(payload.length);
          ring.bytes.set(payload, at);
          ring.commit(payload.length, payload.length, payload.length % 2 === 0 ? FLAG_MARKER : 0);
        }
      }
      const from = Math.min(skipped, ring.head);
      const wire: Uint8Array[][] = each.map(() => []);
      for (let id = from; id < ring.head; ) {
        let next = id;
        for (const [i, numbers] of each.entries()) {
          next = image.write(ring, 96, id, ring.head);
          wire[i]?.push(image.numbered(numbers.channel, { payloadType: 96, ...numbers }).slice());
        }
        expect(next).toBeGreaterThan(id);
        id = next;
      }
      for (const [i, { channel, ssrc, base }] of each.entries()) {
        const expected = payloads.flatMap((payload, id) => {
          if (payload === null || id < from) return [];
          const { length } = payload;
          return [[channel, (base + id) & 0xffff, ssrc, length % 2 === 0, length, payload.toHex()]];
        });
        expect((wire[i] ?? []).flatMap((bytes) => seen(bytes))).toEqual(expected);
      }
    }),
    { numRuns: 60 },
  );
});

test("a range that grew is written anew", () => {
  const ring = new PacketRing(1 << 20, 1 << 20);
  const image = new InterleavedImage();
  const add = (byte: number): void => {
    ring.bytes[ring.reserve(1)] = byte;
    ring.commit(1, 0, 0);
  };
  add(1);
  expect(image.write(ring, 96, 0, 1)).toBe(1);
  add(2);
  expect(image.write(ring, 96, 0, 2)).toBe(2);
  expect(seen(image.numbered(0, { base: 0, ssrc: 1, payloadType: 96 })).length).toBe(2);
});
