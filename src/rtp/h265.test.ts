import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { annexB } from "../../test/harness/rtp-streams.ts";
import { isWithoutPicture } from "./annex-b.ts";
import { body, flagWords, Rig, type Sent } from "./fixtures/ring.ts";
import { readH265Sps } from "./h265-sps.ts";
import { PAYLOAD_BYTES_MAX } from "./header.ts";
import { Verdict } from "./repacketizer.ts";
import { videoFormat } from "./track-format.ts";

const fresh = (): Rig => new Rig(videoFormat("h265"));
const hex = (text: string): number[] => [...Uint8Array.fromHex(text)];

const VPS = hex("40010c01ffff01600000030090000003000003003f959809");
const SPS_360 = hex(
  "42010101600000030090000003000003003fa00502016965959a4932bc05a02000000300200000030141",
);
const SPS_1080 = hex(
  "420101016000000300900000030000030078a003c08010e596566924caf0168080000003008000000504",
);
const PPS = hex("4401c172b46240");
/** Slices: type, first in the picture or not. IDR_W_RADL 19, CRA 21, TRAIL_R 1, RASL_N 8. */
const IDR = [0x26, 0x01, 0xaf, 0x1d];
const CRA = [0x2a, 0x01, 0xaf, 0x1d];
const BLA = [0x20, 0x01, 0xaf, 0x1d];
const TRAIL = [0x02, 0x01, 0xd0, 0x09];
const RASL = [0x10, 0x01, 0xe0, 0x24];
const TRAIL_NEXT_SLICE = [0x02, 0x01, 0x50, 0x09];

/** Payload header and FU header for a fragment of an IDR picture. */
const FU_FIRST = [0x62, 0x01, 0x93];
const FU_MIDDLE = [0x62, 0x01, 0x13];
const FU_LAST = [0x62, 0x01, 0x53];

const sized = (nal: readonly number[]): number[] => [nal.length >> 8, nal.length & 0xff, ...nal];
const aggregate = (...nals: number[][]): number[] => [0x60, 0x01, ...nals.flatMap(sized)];

const T = Verdict.Taken;
const cases: { name: string; packets: Sent[]; verdicts: Verdict[]; want: [number[], string][] }[] =
  [
    {
      name: "single NAL unit",
      packets: [{ bytes: TRAIL, sequence: 1, marker: true }],
      verdicts: [T],
      want: [[TRAIL, "start marker"]],
    },
    {
      name: "an aggregate is taken apart, the marker falls on its last part",
      packets: [{ bytes: aggregate(VPS, SPS_360, PPS, IDR), sequence: 1, marker: true }],
      verdicts: [T],
      want: [
        [VPS, "start key"],
        [SPS_360, ""],
        [PPS, ""],
        [IDR, "marker"],
      ],
    },
    {
      name: "a short NAL unit in fragments becomes one packet",
      packets: [
        { bytes: [...FU_FIRST, 0xaf, 9], sequence: 65535 },
        { bytes: [...FU_MIDDLE, 8], sequence: 0 },
        { bytes: [...FU_LAST, 7], sequence: 1, marker: true },
      ],
      verdicts: [T, T, T],
      want: [[[0x26, 0x01, 0xaf, 9, 8, 7], "start key marker"]],
    },
    {
      name: "quirk: a fragment with both start and end set (H.265)",
      packets: [{ bytes: [0x62, 0x01, 0xd3, 0xaf, 9], sequence: 1, marker: true }],
      verdicts: [T],
      want: [[[0x26, 0x01, 0xaf, 9], "start key marker"]],
    },
    {
      name: "CRA and BLA pictures are starts, their leading pictures are not",
      packets: [
        { bytes: CRA, sequence: 1, marker: true, timestamp: 1 },
        { bytes: RASL, sequence: 2, marker: true, timestamp: 2 },
        { bytes: BLA, sequence: 3, marker: true, timestamp: 3 },
      ],
      verdicts: [T, T, T],
      want: [
        [CRA, "start key marker"],
        [RASL, "start marker"],
        [BLA, "start key marker"],
      ],
    },
    {
      name: "several slices, one of them lost",
      packets: [
        { bytes: TRAIL, sequence: 1 },
        { bytes: TRAIL_NEXT_SLICE, sequence: 2 },
        { bytes: TRAIL_NEXT_SLICE, sequence: 4, marker: true },
      ],
      verdicts: [T, T, Verdict.Lost],
      want: [
        [TRAIL, "start damaged"],
        [TRAIL_NEXT_SLICE, ""],
        [[], "hole"],
      ],
    },
    {
      name: "the first slice is missing",
      packets: [{ bytes: TRAIL_NEXT_SLICE, sequence: 1, marker: true }],
      verdicts: [Verdict.Lost],
      want: [[[], "start damaged hole"]],
    },
    {
      name: "joined in the middle of a fragmented NAL unit",
      packets: [{ bytes: [...FU_MIDDLE, 8], sequence: 3 }],
      verdicts: [Verdict.Lost],
      want: [[[], "start damaged hole"]],
    },
    {
      name: "an aggregate that claims more than it has is malformed",
      packets: [{ bytes: [0x60, 0x01, 0, 9, 0x26, 1], sequence: 1 }],
      verdicts: [Verdict.Malformed],
      want: [[[], "start damaged hole"]],
    },
    {
      name: "PACI and payload types that nobody uses are malformed",
      packets: [{ bytes: [0x64, 0x01, 1, 2, 3], sequence: 1 }],
      verdicts: [Verdict.Malformed],
      want: [[[], "start damaged hole"]],
    },
    {
      name: "quirk: start codes inside a payload (H.265)",
      packets: [
        {
          bytes: annexB([VPS, SPS_360, PPS, IDR].map((nal) => Uint8Array.from(nal))),
          sequence: 1,
          marker: true,
        },
      ],
      verdicts: [T],
      want: [
        [VPS, "start key"],
        [SPS_360, ""],
        [PPS, ""],
        [IDR, "marker"],
      ],
    },
  ];

describe("h265 repacketizer", () => {
  test.each(cases)("$name", ({ packets, verdicts, want }) => {
    const rig = fresh();
    expect(packets.map((packet) => rig.send(packet))).toEqual(verdicts);
    expect(rig.stored().map(({ bytes, flags }) => [bytes, flagWords(flags)])).toEqual(want);
  });

  test("quirk: parameter sets of H.265 in the session description only", () => {
    const rig = fresh();
    rig.track.offerParameterSets([VPS, SPS_360, PPS].map((set) => Uint8Array.from(set)));
    expect(rig.track.picture).toEqual({ width: 640, height: 360 });
    rig.send({ bytes: IDR, sequence: 1, marker: true });
    expect(rig.stored().map(({ bytes }) => bytes)).toEqual([VPS, SPS_360, PPS, IDR]);
    expect(rig.track.keyframe).toBe(0);
  });

  test("sets that came once, in band, are in front of every keyframe", () => {
    const rig = fresh();
    for (const [i, bytes] of [VPS, SPS_360, PPS, IDR].entries()) rig.send({ bytes, sequence: i });
    rig.send({ bytes: SPS_1080, sequence: 4, timestamp: 9 });
    rig.send({ bytes: IDR, sequence: 5, timestamp: 9, marker: true });
    const written = rig.stored().map(({ bytes }) => bytes);
    // Those that refer to a set that is written anew come behind it.
    expect(written.slice(4)).toEqual([SPS_1080, VPS, SPS_1080, PPS, IDR]);
    expect(rig.track.picture).toEqual({ width: 1920, height: 1080 });
    expect(rig.track.parameterSets.map((set) => [...set])).toEqual([VPS, SPS_1080, PPS]);
  });

  test("however a NAL unit is cut, what comes out is the same unit", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 2, maxLength: 12 });
    fc.assert(
      fc.property(cuts, (sizes) => {
        const rig = fresh();
        const nal = body([0x26, 0x01, 0xaf], 2 + sizes.reduce((sum, size) => sum + size, 0));
        let at = 2;
        for (const [i, size] of sizes.entries()) {
          const last = i === sizes.length - 1;
          const head = i === 0 ? FU_FIRST : last ? FU_LAST : FU_MIDDLE;
          rig.send({ bytes: [...head, ...nal.slice(at, at + size)], sequence: i, marker: last });
          at += size;
        }
        const [unit] = rig.units();
        expect(unit?.bytes.toHex()).toBe(annexB([Uint8Array.from(nal)]).toHex());
        const lengths = rig.stored().map(({ bytes }) => bytes.length);
        expect(lengths.slice(0, -1).every((length) => length === PAYLOAD_BYTES_MAX)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test("NAL units that RTP has no number for are left out", () => {
    const rig = fresh();
    const dolby = [0x7c, 0x01, 1, 2, 3];
    rig.unit(annexB([dolby, TRAIL, dolby].map((nal) => Uint8Array.from(nal))));
    expect(rig.stored().map(({ bytes, flags }) => [bytes, flagWords(flags)])).toEqual([
      [TRAIL, "start marker"],
    ]);
  });
});

test("units without a picture", () => {
  const unit = (...nals: number[][]) => annexB(nals.map((nal) => Uint8Array.from(nal)));
  expect(isWithoutPicture(unit(VPS, SPS_360, PPS), "h265")).toBe(true);
  expect(isWithoutPicture(unit(VPS, SPS_360, PPS, IDR), "h265")).toBe(false);
  expect(isWithoutPicture(unit(RASL), "h265")).toBe(false);
  expect(isWithoutPicture(Uint8Array.of(0xff, 0xd8), "mjpeg")).toBe(false);
});

describe("sequence parameter set of H.265", () => {
  const rows: [
    name: string,
    hex: string,
    width: number,
    height: number,
    profile: number,
    tier: number,
    level: number,
  ][] = [
    [
      "Main",
      "42010101600000030090000003000003003fa00502016965959a4932bc05a02000000300200000030141",
      640,
      360,
      1,
      0,
      63,
    ],
    [
      "cropped at the bottom",
      "420101016000000300900000030000030078a003c08010e596566924caf0168080000003008000000504",
      1920,
      1080,
      1,
      0,
      120,
    ],
    [
      "cropped at the side",
      "420101016000000300900000030000030078a002ac80301d796566924caf0168080000003008000003005040",
      1366,
      768,
      1,
      0,
      120,
    ],
    [
      "sub-layers, 4:2:2 of 10 bits, high tier",
      "4201022408000003009d0800000300007b0000b0050201693659594acb24995e02d010000003001000000300a080",
      640,
      360,
      4,
      1,
      123,
    ],
  ];
  test.each(rows)("%s", (_name, text, width, height, profile, tier, level) => {
    expect(readH265Sps(Uint8Array.fromHex(text))).toMatchObject({
      id: 0,
      videoSet: 0,
      width,
      height,
      profile,
      tier,
      level,
    });
  });

  test("cut short or any bytes: an answer or null, nothing else", () => {
    const whole = Uint8Array.from(SPS_360);
    for (let end = 0; end < 22; end++) expect(readH265Sps(whole.subarray(0, end))).toBeNull();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (junk) => {
        const info = readH265Sps(new Uint8Array([0x42, 0x01, ...junk]));
        if (info) expect(info.width * info.height).toBeGreaterThan(0);
      }),
    );
  });
});
