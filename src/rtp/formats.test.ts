import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { emptyRtpHeader, readRtpHeader } from "./header.ts";
import {
  eachNack,
  eachRtcp,
  RTCP_RR,
  RTCP_SDES,
  RTCP_SR,
  readSenderReport,
  writeReceiverReport,
  writeSenderReport,
} from "./rtcp.ts";
import { readSps } from "./sps.ts";

describe("rtp header", () => {
  const plain = [0x80, 0xe0, 0x12, 0x34, 0, 0, 0x0b, 0xb8, 0xde, 0xad, 0xbe, 0xef];

  test("fixed header, contributing sources, extension and padding", () => {
    const csrc = [0, 0, 0, 1, 0, 0, 0, 2];
    const extension = [0xbe, 0xde, 0, 1, 9, 9, 9, 9];
    const b = new Uint8Array([0xb2, ...plain.slice(1), ...csrc, ...extension, 7, 7, 7, 0, 2]);
    const header = emptyRtpHeader();
    expect(readRtpHeader(b, 0, b.length, header)).toBe(true);
    expect(header).toEqual({
      payloadType: 96,
      marker: true,
      sequence: 0x1234,
      timestamp: 3000,
      ssrc: 0xdeadbeef,
      extension: 20,
      payloadStart: 28,
      payloadEnd: 31,
    });
  });

  test.each([
    ["eleven bytes", plain.slice(0, 11)],
    ["version 1", [0x40, ...plain.slice(1)]],
    ["extension past the end", [0x90, ...plain.slice(1), 0xbe, 0xde, 0, 9]],
    ["more padding than packet", [0xa0, ...plain.slice(1), 200]],
    ["sources past the end", [0x8f, ...plain.slice(1)]],
  ])("refuses %s", (_name, bytes) => {
    expect(readRtpHeader(new Uint8Array(bytes), 0, bytes.length, emptyRtpHeader())).toBe(false);
  });

  test("any bytes: the payload lies inside the packet, or there is none", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (b) => {
        const header = emptyRtpHeader();
        if (!readRtpHeader(b, 0, b.length, header)) return;
        expect(header.payloadStart).toBeGreaterThanOrEqual(12);
        expect(header.payloadEnd).toBeLessThanOrEqual(b.length);
        expect(header.payloadEnd).toBeGreaterThanOrEqual(header.payloadStart);
      }),
    );
  });
});

describe("rtcp", () => {
  test("a sender report with its CNAME comes back as it went", () => {
    const report = {
      ssrc: 0xcafe,
      wallClock: 1_790_000_000_123.25,
      timestamp: 0xffff_0000,
      packets: 7,
      bytes: 9_000,
    };
    for (const cname of ["", "a", "ab", "abc", "abcd", "onepull"]) {
      const b = writeSenderReport(report, cname);
      const types: number[] = [];
      eachRtcp(b, 0, b.length, (type, _count, start, end) => {
        types.push(type);
        if (type !== RTCP_SR) return;
        const back = readSenderReport(b, start, end);
        expect(back).toMatchObject({ ...report, wallClock: expect.closeTo(report.wallClock, 2) });
      });
      expect(types).toEqual([RTCP_SR, RTCP_SDES]);
      expect(b.length % 4).toBe(0);
    }
  });

  test("the NTP time goes on after 2036, and zero means none", () => {
    const at = (wallClock: number) => {
      const b = writeSenderReport({ ssrc: 1, wallClock, timestamp: 2, packets: 3, bytes: 4 }, "c");
      return readSenderReport(b, 0, 28)?.wallClock ?? null;
    };
    expect(at(Date.UTC(2040, 0, 1))).toBeCloseTo(Date.UTC(2040, 0, 1), 2);
    expect(at(0)).toBeCloseTo(0, 2);
    expect(at(Date.UTC(1900, 0, 1))).toBeNull();
  });

  test("a receiver report is one well-formed packet", () => {
    const b = writeReceiverReport({ ssrc: 1, source: 2, highestSequence: 3, lost: 1e9 });
    const seen: number[][] = [];
    eachRtcp(b, 0, b.length, (type, count, start, end) => seen.push([type, count, start, end]));
    expect(seen).toEqual([[RTCP_RR, 1, 0, 32]]);
  });

  test("a NACK names the first packet and up to sixteen that follow", () => {
    const b = new Uint8Array(16);
    b.set([0xff, 0xff, 0x80, 0x01], 12);
    const named: number[] = [];
    eachNack(b, 0, 16, (sequence) => named.push(sequence));
    expect(named).toEqual([65535, 0, 15]);
  });

  test("any bytes: bounds inside the buffer", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (b) => {
        eachRtcp(b, 0, b.length, (_type, _count, start, end) => {
          expect(start).toBeLessThan(end);
          expect(end).toBeLessThanOrEqual(b.length);
          readSenderReport(b, start, end);
          eachNack(b, start, end, () => {});
        });
      }),
    );
  });
});

describe("sequence parameter set", () => {
  test.each([
    ["67640028acd940780227e584000003000400000300c83c60c658", 1920, 1080, 100, 40],
    ["6764001eacd940a02ff961000003000100000300320f162d96", 640, 360, 100, 30],
    ["67640032acd9402800b5a1000003000100000300320f183196", 2560, 1440, 100, 50],
    ["67f40015919b282c13fc7c20000003002000000641e2c5b2c0", 352, 290, 244, 21],
    ["6764001eacd940b0126840000003004000000c83c58b6580", 704, 576, 100, 30],
  ])("%s is %d x %d", (hex, width, height, profile, level) => {
    const info = readSps(Uint8Array.fromHex(hex));
    expect(info).toMatchObject({ width, height, profile, level });
  });

  test("cut short or any bytes: an answer or null, nothing else", () => {
    const whole = Uint8Array.fromHex("67640028acd940780227e584000003000400000300c83c60c658");
    for (let end = 0; end < 10; end++) expect(readSps(whole.subarray(0, end))).toBeNull();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (junk) => {
        const info = readSps(new Uint8Array([0x67, ...junk]));
        if (info) expect(info.width * info.height).toBeGreaterThan(0);
      }),
    );
  });
});
