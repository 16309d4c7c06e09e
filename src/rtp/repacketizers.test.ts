// What every codec promises, on streams that others encoded and cut into packets.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { recordedStreams } from "../../test/harness/rtp-streams.ts";
import { PacketRing } from "../core/packet-ring.ts";
import { nalUnits } from "./annex-b.ts";
import { createAssembler } from "./assembler.ts";
import { Rig } from "./fixtures/ring.ts";
import { emptyRtpHeader, PAYLOAD_BYTES_MAX, readRtpHeader } from "./header.ts";
import { QUANTIZERS_BYTES, readJpeg } from "./jpeg.ts";
import { Verdict } from "./repacketizer.ts";
import type { Codec } from "./track-format.ts";

/** What must be the same of a unit after its way through the ring: all that makes the picture. */
function essence(codec: Codec, unit: Uint8Array): string {
  if (codec === "h264") return slices(unit, (nal) => (nal[0]! & 0x1f) <= 5);
  if (codec === "h265") return slices(unit, (nal) => nal[0]! >> 1 < 32);
  if (codec !== "mjpeg") return unit.toHex();
  const quantizers = new Uint8Array(QUANTIZERS_BYTES);
  const file = readJpeg(unit, 0, unit.length, quantizers);
  if (file === null) return "no picture";
  const { scanStart, scanEnd, ...facts } = file;
  return JSON.stringify(facts) + quantizers.toHex() + unit.subarray(scanStart, scanEnd).toHex();
}

function slices(unit: Uint8Array, isSlice: (nal: Uint8Array) => boolean): string {
  return nalUnits(unit)
    .filter(isSlice)
    .map((nal) => nal.toHex())
    .join(" ");
}

for (const { format, packets, units } of recordedStreams()) {
  const { codec } = format;
  const wanted = units.map((unit) => essence(codec, unit));

  describe(codec, () => {
    test("packets of another payloader give the units that they were made of", () => {
      const rig = new Rig(format);
      for (const packet of packets) expect(rig.receive(packet)).toBe(Verdict.Taken);
      const stored = rig.units();
      expect(stored.map(({ bytes }) => essence(codec, bytes))).toEqual(wanted);
      expect(stored.filter(({ damaged }) => damaged)).toEqual([]);
      expect(stored[0]?.keyframe).toBe(true);
      for (const { bytes } of rig.stored()) {
        expect(bytes.length).toBeLessThanOrEqual(PAYLOAD_BYTES_MAX);
      }
    });

    test("whole units come out as they went in", () => {
      const rig = new Rig(format);
      for (const [i, unit] of units.entries()) {
        expect(rig.unit(unit, i * 9000)).toBe(Verdict.Taken);
      }
      const stored = rig.units();
      expect(stored.map(({ bytes }) => essence(codec, bytes))).toEqual(wanted);
      expect(stored.map(({ timestamp }) => timestamp)).toEqual(units.map((_, i) => i * 9000));
      expect(stored.some(({ damaged }) => damaged)).toBe(false);
    });

    test("what is in the ring is the codec's own payload format: it goes in again", () => {
      const first = new Rig(format);
      for (const packet of packets) first.receive(packet);
      const second = new Rig(format);
      const marks = first.units();
      for (const [sequence, { bytes }] of first.stored().entries()) {
        const unit = marks.find(({ from, to }) => sequence >= from && sequence < to);
        const marker = unit?.to === sequence + 1;
        second.send({ bytes, sequence, marker, timestamp: unit?.timestamp ?? 0 });
      }
      expect(second.stored()).toEqual(first.stored());
    });

    test("a packet lost anywhere: what is not called damaged is what was sent", () => {
      for (const count of [1, 2, 5]) {
        for (let at = 0; at < packets.length; at++) {
          const rig = new Rig(format);
          for (const [i, packet] of packets.entries()) {
            if (i < at || i >= at + count) rig.receive(packet);
          }
          const whole = rig.units().filter(({ damaged }) => !damaged);
          for (const { bytes } of whole) expect(wanted).toContain(essence(codec, bytes));
          expect(rig.track.lost).toBe(
            at === 0
              ? 0
              : Math.min(count, packets.length - at) * Number(at + count < packets.length),
          );
        }
      }
    });

    test("packets twice, swapped or cut short: the same", () => {
      const trouble = fc.constantFrom("none", "none", "none", "twice", "late", "cut", "lost");
      fc.assert(
        fc.property(fc.array(trouble, { minLength: packets.length }), (troubles) => {
          const rig = new Rig(format);
          const cut = new Set<number>();
          for (const [i, packet] of packets.entries()) {
            const header = emptyRtpHeader();
            readRtpHeader(packet, 0, packet.length, header);
            if (troubles[i] === "lost") continue;
            if (troubles[i] === "cut") {
              cut.add(header.timestamp);
              rig.receive(packet.subarray(0, packet.length - 1));
              continue;
            }
            if (troubles[i] === "late" && i > 3) rig.receive(packets[i - 3] ?? packet);
            if (troubles[i] === "twice") rig.receive(packet);
            rig.receive(packet);
          }
          for (const { bytes, damaged, timestamp } of rig.units()) {
            // Nobody can tell that the last bytes of a packet are missing.
            if (damaged || cut.has(timestamp) || codec === "aac") continue;
            expect(wanted).toContain(essence(codec, bytes));
          }
        }),
        { numRuns: 50 },
      );
    });

    test("after a new session nothing old is continued", () => {
      const rig = new Rig(format);
      const middle = packets.length >> 1;
      for (const packet of packets.slice(0, middle)) rig.receive(packet);
      rig.track.restart();
      expect(rig.track.keyframe).toBe(-1);
      for (const packet of packets) rig.receive(packet);
      const whole = rig.units().filter(({ damaged }) => !damaged);
      expect(whole.slice(-units.length).map(({ bytes }) => essence(codec, bytes))).toEqual(wanted);
      for (const { bytes } of whole) expect(wanted).toContain(essence(codec, bytes));
    });

    test("any payloads and units: a verdict, packets within the bound, nothing else", () => {
      const payload = fc.oneof(
        fc.uint8Array({ maxLength: 3000 }),
        fc
          .record({ i: fc.nat(packets.length - 1), at: fc.nat(40), to: fc.nat(255) })
          .map(({ i, at, to }) => {
            const bytes = packets[i]!.slice(12);
            bytes[at % bytes.length] = to;
            return bytes;
          }),
      );
      const packet = fc.record({
        bytes: payload,
        step: fc.integer({ min: 0, max: 3 }),
        marker: fc.boolean(),
        tick: fc.boolean(),
        whole: fc.boolean(),
      });
      fc.assert(
        fc.property(fc.array(packet, { maxLength: 40 }), (sent) => {
          const rig = new Rig(format);
          let sequence = 65_530;
          let timestamp = 0;
          for (const { bytes, step, marker, tick, whole } of sent) {
            sequence = (sequence + step) & 0xffff;
            timestamp += tick ? 3000 : 0;
            if (whole) rig.unit(bytes, timestamp, marker);
            else rig.send({ bytes, sequence, marker, timestamp });
          }
          for (const { bytes } of rig.stored()) {
            expect(bytes.length).toBeLessThanOrEqual(PAYLOAD_BYTES_MAX);
          }
          rig.units();
        }),
        { numRuns: 100 },
      );
    });
  });
}

test("a unit that is larger than any real one is not put together", () => {
  const ring = new PacketRing(1 << 20, 1 << 24);
  const rig = createAssembler("opus");
  let packets = 0;
  while (packets * PAYLOAD_BYTES_MAX <= 9 << 20) {
    ring.keepFrom = 0;
    ring.reserve(PAYLOAD_BYTES_MAX);
    ring.commit(PAYLOAD_BYTES_MAX, 0, 0);
    packets++;
  }
  expect(rig.assemble(ring, ring.tail, ring.head)).toBe(false);
  expect(rig.assemble(ring, ring.head - 10, ring.head)).toBe(true);
  expect(rig.length).toBe(10 * PAYLOAD_BYTES_MAX);
});
