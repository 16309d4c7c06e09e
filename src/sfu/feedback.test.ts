import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { writeReceiverReport } from "../rtp/rtcp.ts";
import { type FeedbackListener, readFeedback, writeBye, writeReferenceEcho } from "./feedback.ts";

const SSRC = 0x11223344;

/** Everything a compound packet said, in order. */
function heard(b: Uint8Array): unknown[] {
  const said: unknown[] = [];
  const listener: FeedbackListener = {
    received: (report) => said.push(["received", report]),
    missing: (ssrc, sequence) => said.push(["missing", ssrc, sequence]),
    pictureLost: () => said.push("pictureLost"),
    estimated: (bitsPerSecond) => said.push(["estimated", bitsPerSecond]),
    referenceTime: (reporter, middle) => said.push(["referenceTime", reporter, middle]),
    left: () => said.push("left"),
  };
  readFeedback(b, listener);
  return said;
}

const packet = (first: number, type: number, body: readonly number[]) =>
  Uint8Array.from([first, type, 0, body.length / 4, ...body]);
const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

const OURS = [0x11, 0x22, 0x33, 0x44];
const NACK = packet(0x81, 205, [0, 0, 0, 1, ...OURS, 0xff, 0xff, 0, 5]);
const PLI = packet(0x81, 206, [0, 0, 0, 1, ...OURS]);
const FIR = packet(0x84, 206, [0, 0, 0, 1, 0, 0, 0, 0, ...OURS, 1, 0, 0, 0]);
const REMB_BODY = [0x52, 0x45, 0x4d, 0x42, 1, (3 << 2) | 1, 0x02, 0x03, ...OURS];
const REMB = packet(0x8f, 206, [0, 0, 0, 1, 0, 0, 0, 0, ...REMB_BODY]);
const XR = packet(0x80, 207, [0, 0, 0, 9, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
const BYE = packet(0x81, 203, [0, 0, 0, 1]);

describe("feedback", () => {
  test("reception report", () => {
    const b = writeReceiverReport({ ssrc: 1, source: SSRC, highestSequence: 5, lost: 3 });
    b.set([128, 0xff, 0xff, 0xfe], 12);
    b.set([0, 0, 0x03, 0x84, 0xaa, 0xbb, 0xcc, 0xdd, 0, 1, 0, 0], 20);
    expect(heard(b)).toEqual([
      [
        "received",
        {
          ssrc: SSRC,
          lostFraction: 0.5,
          lost: -2,
          jitterTicks: 900,
          lastReport: 0xaabbccdd,
          delay: 65_536,
        },
      ],
    ]);
  });

  test("a compound of everything", () => {
    expect(heard(join(NACK, PLI, FIR, REMB, XR, BYE))).toEqual([
      ["missing", SSRC, 0xffff],
      ["missing", SSRC, 0],
      ["missing", SSRC, 2],
      "pictureLost",
      "pictureLost",
      ["estimated", 0x10203 * 8],
      ["referenceTime", 9, 0x03040506],
      "left",
    ]);
  });

  test("every truncation says a beginning of it", () => {
    const whole = join(NACK, XR, PLI, BYE);
    const all = heard(whole);
    for (let end = 0; end < whole.length; end++) {
      const some = heard(whole.subarray(0, end));
      expect(all.slice(0, some.length)).toEqual(some);
    }
  });

  test("junk says something or nothing", () => {
    const types = fc.constantFrom(200, 201, 203, 205, 206, 207);
    fc.assert(
      fc.property(types, fc.uint8Array({ maxLength: 120 }), fc.nat({ max: 31 }), (type, b, n) => {
        heard(join(Uint8Array.from([0x80 | n, type, 0, b.length >> 2]), b));
      }),
    );
  });
});

test("what is written", () => {
  expect(writeReferenceEcho(1, 2, 3).toHex()).toBe(
    "80cf0005" + "00000001" + "05000003" + "00000002" + "00000003" + "00000000",
  );
  expect(writeBye([1, SSRC]).toHex()).toBe("82cb0002" + "00000001" + "11223344");
  expect(heard(writeBye([SSRC]))).toEqual(["left"]);
});
