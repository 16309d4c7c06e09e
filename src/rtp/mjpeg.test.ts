import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { recordedStreams } from "../../test/harness/rtp-streams.ts";
import { body, flagWords, Rig, type Sent } from "./fixtures/ring.ts";
import { PAYLOAD_BYTES_MAX } from "./header.ts";
import { QUANTIZERS_BYTES, readJpeg, writeQuantizers } from "./jpeg.ts";
import { Verdict } from "./repacketizer.ts";
import { videoFormat } from "./track-format.ts";

const fresh = (picture?: { width: number; height: number }): Rig =>
  new Rig(picture ? { ...videoFormat("mjpeg"), picture } : videoFormat("mjpeg"));

/** An RFC 2435 header: 4:2:0, 160 by 96, unless told otherwise. */
function header(offset: number, quality: number, type = 1, columns = 20, rows = 12): number[] {
  return [0, offset >> 16, (offset >> 8) & 0xff, offset & 0xff, type, quality, columns, rows];
}
const TABLES = Array.from({ length: QUANTIZERS_BYTES }, (_, i) => i + 1);
const IN_BAND = [0, 0, 0, 128, ...TABLES];
const NOT_AGAIN = [0, 0, 0, 0];
/** Restart interval 7; the packet holds no whole number of them. */
const RESTARTS = [0, 7, 0xff, 0xff];

const T = Verdict.Taken;
const cases: { name: string; packets: Sent[]; verdicts: Verdict[]; want: [number[], string][] }[] =
  [
    {
      name: "quality below 128: no tables",
      packets: [{ bytes: [...header(0, 50), 1, 2], sequence: 1, marker: true }],
      verdicts: [T],
      want: [[[...header(0, 50), 1, 2], "start key marker"]],
    },
    {
      name: "a picture in several packets is packed anew",
      packets: [
        { bytes: [...header(0, 50), 1, 2], sequence: 1 },
        { bytes: [...header(2, 50), 3], sequence: 2 },
        { bytes: [...header(3, 50), 4, 5], sequence: 3, marker: true },
      ],
      verdicts: [T, T, T],
      want: [[[...header(0, 50), 1, 2, 3, 4, 5], "start key marker"]],
    },
    {
      name: "4:2:2 with restart markers",
      packets: [
        { bytes: [...header(0, 50, 64), 0, 7, 0xc0, 0, 1, 2], sequence: 1 },
        { bytes: [...header(2, 50, 64), 0, 7, 0xc0, 3, 3], sequence: 2, marker: true },
      ],
      verdicts: [T, T],
      want: [[[...header(0, 50, 64), ...RESTARTS, 1, 2, 3], "start key marker"]],
    },
    {
      name: "tables in band",
      packets: [{ bytes: [...header(0, 255), ...IN_BAND, 9], sequence: 1, marker: true }],
      verdicts: [T],
      want: [[[...header(0, 255), ...IN_BAND, 9], "start key marker"]],
    },
    {
      name: "quirk: tables sent once, then left out: every picture in the ring has them",
      packets: [
        { bytes: [...header(0, 200), ...IN_BAND, 9], sequence: 1, marker: true, timestamp: 1 },
        { bytes: [...header(0, 200), ...NOT_AGAIN, 8], sequence: 2, marker: true, timestamp: 2 },
      ],
      verdicts: [T, T],
      want: [
        [[...header(0, 200), ...IN_BAND, 9], "start key marker"],
        [[...header(0, 200), ...IN_BAND, 8], "start key marker"],
      ],
    },
    {
      name: "quirk: one table for luminance and chrominance",
      packets: [
        {
          bytes: [...header(0, 255), 0, 0, 0, 64, ...TABLES.slice(0, 64), 9],
          sequence: 1,
          marker: true,
        },
      ],
      verdicts: [T],
      want: [
        [
          [...header(0, 255), 0, 0, 0, 128, ...TABLES.slice(0, 64), ...TABLES.slice(0, 64), 9],
          "start key marker",
        ],
      ],
    },
    {
      name: "tables that nobody has seen",
      packets: [{ bytes: [...header(0, 200), ...NOT_AGAIN, 8], sequence: 2, marker: true }],
      verdicts: [Verdict.Malformed],
      want: [[[], "start damaged hole"]],
    },
    {
      name: "tables of 16 bits",
      packets: [{ bytes: [...header(0, 255), 0, 1, 0, 128, ...TABLES, 9], sequence: 1 }],
      verdicts: [Verdict.Malformed],
      want: [[[], "start damaged hole"]],
    },
    {
      name: "the beginning of a picture never came",
      packets: [
        { bytes: [...header(0, 50), 3], sequence: 1, marker: true, timestamp: 1 },
        { bytes: [...header(700, 50), 3], sequence: 2, marker: true, timestamp: 2 },
        { bytes: [...header(0, 50), 3], sequence: 3, marker: true, timestamp: 3 },
      ],
      verdicts: [T, Verdict.Lost, T],
      want: [
        [[...header(0, 50), 3], "start key marker"],
        [[], "start damaged hole"],
        [[...header(0, 50), 3], "start key marker"],
      ],
    },
    {
      name: "a packet is missing",
      packets: [
        { bytes: [...header(0, 50), 1, 2], sequence: 1 },
        { bytes: [...header(4, 50), 3], sequence: 3, marker: true },
      ],
      verdicts: [T, Verdict.Lost],
      want: [[[], "start key damaged hole"]],
    },
    {
      name: "an offset that does not fit, although nothing is missing",
      packets: [
        { bytes: [...header(0, 50), 1, 2], sequence: 1 },
        { bytes: [...header(4, 50), 3], sequence: 2, marker: true },
      ],
      verdicts: [T, Verdict.Lost],
      want: [[[], "start key damaged hole"]],
    },
    {
      name: "quirk: no marker on pictures of MJPEG",
      packets: [
        { bytes: [...header(0, 50), 1, 2], sequence: 1, timestamp: 1 },
        { bytes: [...header(0, 50), 3], sequence: 2, timestamp: 2 },
        { bytes: [...header(0, 50), 4], sequence: 3, timestamp: 3 },
      ],
      verdicts: [T, T, T],
      want: [
        [[...header(0, 50), 1, 2], "start key"],
        [[...header(0, 50), 3], "start key"],
      ],
    },
    {
      name: "types and qualities that mean nothing",
      packets: [
        { bytes: [...header(0, 50, 2), 1], sequence: 1, timestamp: 1 },
        { bytes: [...header(0, 50, 129), 1], sequence: 2, timestamp: 2 },
        { bytes: [...header(0, 0), 1], sequence: 3, timestamp: 3 },
        { bytes: [...header(0, 110), 1], sequence: 4, timestamp: 4 },
      ],
      verdicts: Array.from({ length: 4 }, () => Verdict.Malformed),
      want: Array.from({ length: 4 }, () => [[], "start damaged hole"]),
    },
  ];

describe("mjpeg repacketizer", () => {
  test.each(cases)("$name", ({ packets, verdicts, want }) => {
    const rig = fresh();
    expect(packets.map((packet) => rig.send(packet))).toEqual(verdicts);
    expect(rig.stored().map(({ bytes, flags }) => [bytes, flagWords(flags)])).toEqual(want);
  });

  test("however a picture is cut, what comes out is the same picture", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(cuts, fc.boolean(), (sizes, inBand) => {
        const rig = fresh();
        const scan = body(
          [],
          sizes.reduce((sum, size) => sum + size, 0),
        );
        let at = 0;
        for (const [i, size] of sizes.entries()) {
          const tables = inBand && at === 0 ? IN_BAND : [];
          const head = [...header(at, inBand ? 255 : 50), ...tables];
          const bytes = [...head, ...scan.slice(at, at + size)];
          rig.send({ bytes, sequence: i, marker: i === sizes.length - 1 });
          at += size;
        }
        const [unit] = rig.units();
        expect(unit?.damaged).toBe(false);
        expect(scanOf(unit?.bytes)).toBe(Uint8Array.from(scan).toHex());
        const lengths = rig.stored().map(({ bytes }) => bytes.length);
        expect(lengths.slice(0, -1).every((length) => length === PAYLOAD_BYTES_MAX)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test("quirk: pictures too large for the header, their size in the session description", () => {
    const described = { width: 2560, height: 1440 };
    const rig = fresh(described);
    rig.send({ bytes: [...header(0, 50, 1, 0, 180), 1], sequence: 1, marker: true });
    expect(rig.track.picture).toEqual(described);
    const [unit] = rig.units();
    expect(factsOf(unit?.bytes)).toMatchObject(described);
    // Without a description nobody knows, so no file can be made of it.
    const unknown = fresh();
    unknown.send({ bytes: [...header(0, 50, 1, 0, 180), 1], sequence: 1, marker: true });
    expect(unknown.units()[0]?.damaged).toBe(true);
  });

  test("quirk: pictures too large for the header, their size in a header extension (ONVIF)", () => {
    const rig = fresh();
    const tables = [0xff, 0xdb, 0x00, 0x43, 0x00];
    const frame = [0xff, 0xc0, 0x00, 0x11, 0x08, 0x08, 0x00, 0x0c, 0x00, 0x03, 0x01];
    const extension = [0xff, 0xd8, 0x00, 0x04, ...tables, ...frame];
    const fixed = [0x90, 0x9a, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1];
    rig.receive(Uint8Array.from([...fixed, ...extension, ...header(0, 50, 1, 0, 0), 1]));
    expect(rig.track.picture).toEqual({ width: 3072, height: 2048 });
    expect(factsOf(rig.units()[0]?.bytes)).toMatchObject({ width: 3072, height: 2048 });
    const none = fresh();
    none.receive(
      Uint8Array.from([...fixed, 0xff, 0xd8, 0, 1, 0xff, 0xdb, 0, 0, ...header(0, 50, 1, 0, 0), 1]),
    );
    expect(none.track.picture).toBeNull();
  });

  test("the picture follows the stream", () => {
    const rig = fresh();
    rig.send({ bytes: [...header(0, 50), 1], sequence: 1, marker: true, timestamp: 1 });
    expect(rig.track.picture).toEqual({ width: 160, height: 96 });
    rig.send({ bytes: [...header(0, 50, 1, 80, 45), 1], sequence: 2, marker: true, timestamp: 2 });
    expect(rig.track.picture).toEqual({ width: 640, height: 360 });
    expect(rig.track.changes).toBe(2);
  });

  test("quirk: the end marker of JPEG inside the data is not written twice", () => {
    const rig = fresh();
    rig.send({ bytes: [...header(0, 50), 1, 0xff, 0xd9], sequence: 1, marker: true });
    expect(rig.units()[0]?.bytes.subarray(-4).toHex()).toBe("0001ffd9");
  });
});

describe("jpeg files", () => {
  const file = recordedStreams().find(({ format }) => format.codec === "mjpeg")?.units[0];
  const whole = file ?? new Uint8Array(0);
  const segment = (marker: number): number => {
    let at = 2;
    while (whole[at + 1] !== marker) at += 2 + ((whole[at + 2]! << 8) | whole[at + 3]!);
    return at;
  };

  test("a large one keeps its size although packets cannot say it", () => {
    const large = whole.slice();
    large.set([0x05, 0xa0, 0x0a, 0x00], segment(0xc0) + 5);
    const rig = fresh();
    expect(rig.unit(large)).toBe(T);
    expect(rig.track.picture).toEqual({ width: 2560, height: 1440 });
    expect(factsOf(rig.units()[0]?.bytes)).toMatchObject({ width: 2560, height: 1440 });
  });

  test("fill bytes in front of a marker, and something behind the end", () => {
    const at = segment(0xc0);
    const filled = Uint8Array.from([
      ...whole.subarray(0, at),
      0xff,
      0xff,
      ...whole.subarray(at),
      0,
      0,
    ]);
    expect(fresh().unit(filled)).toBe(T);
  });

  const refused: [name: string, change: (b: Uint8Array) => Uint8Array][] = [
    ["progressive", (b) => b.with(segment(0xc0) + 1, 0xc2)],
    ["grey", (b) => b.with(segment(0xc0) + 9, 1)],
    ["4:4:4", (b) => b.with(segment(0xc0) + 11, 0x11)],
    ["4:2:2 with chrominance of two lines", (b) => b.with(segment(0xc0) + 14, 0x12)],
    ["12 bits", (b) => b.with(segment(0xc0) + 4, 12)],
    ["Huffman tables of its own", (b) => b.with(segment(0xc4) + 5, 1)],
    ["tables of 16 bits", (b) => b.with(segment(0xdb) + 4, 0x10)],
    ["components in another order", (b) => b.with(segment(0xda) + 6, 0x11)],
    ["no end", (b) => b.subarray(0, -2)],
    ["no start", (b) => b.subarray(2)],
    ["nothing", () => new Uint8Array(0)],
  ];
  test.each(refused)("%s: RTP cannot carry it", (_name, change) => {
    expect(fresh().unit(change(whole))).toBe(Verdict.Malformed);
  });

  test("cut short or changed anywhere: a picture or null", () => {
    const into = new Uint8Array(QUANTIZERS_BYTES);
    for (let end = 0; end < 700; end++) expect(readJpeg(whole, 0, end, into)).toBeNull();
    fc.assert(
      fc.property(fc.nat(700), fc.nat(255), (at, value) => {
        const picture = readJpeg(whole.with(at, value), 0, whole.length, into);
        if (picture) expect(picture.scanEnd).toBeLessThanOrEqual(whole.length);
      }),
    );
  });

  test("tables of a quality: RFC 2435 appendix A", () => {
    const into = new Uint8Array(QUANTIZERS_BYTES);
    writeQuantizers(50, into);
    expect([...into.subarray(0, 4), ...into.subarray(64, 68)]).toEqual([
      16, 11, 12, 14, 17, 18, 18, 24,
    ]);
    writeQuantizers(1, into);
    expect([into[0], into[127]]).toEqual([255, 255]);
    writeQuantizers(99, into);
    expect([into[0], into[127]]).toEqual([1, 2]);
  });
});

function factsOf(unit: Uint8Array | undefined): unknown {
  return unit && readJpeg(unit, 0, unit.length, new Uint8Array(QUANTIZERS_BYTES));
}

function scanOf(unit: Uint8Array | undefined): string {
  const picture = unit && readJpeg(unit, 0, unit.length, new Uint8Array(QUANTIZERS_BYTES));
  return picture ? unit.subarray(picture.scanStart, picture.scanEnd).toHex() : "";
}
