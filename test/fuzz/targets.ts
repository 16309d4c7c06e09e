/** The parsers of src/rtp, each with valid inputs to start from and what must hold of any. */

import { FLAG_START, PacketRing } from "../../src/core/packet-ring.ts";
import { readAudioConfig } from "../../src/rtp/aac-config.ts";
import { isWithoutPicture, nalUnits } from "../../src/rtp/annex-b.ts";
import { type Assembler, createAssembler } from "../../src/rtp/assembler.ts";
import { readH265Sps } from "../../src/rtp/h265-sps.ts";
import { emptyRtpHeader, PAYLOAD_BYTES_MAX, readRtpHeader } from "../../src/rtp/header.ts";
import { QUANTIZERS_BYTES, readJpeg } from "../../src/rtp/jpeg.ts";
import type { Repacketizer } from "../../src/rtp/repacketizer.ts";
import { createRepacketizer } from "../../src/rtp/repacketizers.ts";
import { eachNack, eachRtcp, readSenderReport, writeSenderReport } from "../../src/rtp/rtcp.ts";
import { readSps } from "../../src/rtp/sps.ts";
import type { TrackFormat } from "../../src/rtp/track-format.ts";
import { parseSdp } from "../../src/rtsp/sdp.ts";
import { trackFormatOf } from "../../src/rtsp/track-formats.ts";
import { type RecordedStream, recordedStreams } from "../harness/rtp-streams.ts";
import type { Target } from "./fuzz.ts";

/** Large enough that a packet fits, small enough that it turns over all the time. */
const RING_BYTES = 64 << 10;
/** Sets kept per type and types: more would grow with what a camera sends. */
const SETS_MAX = 3 * 16;

/** Of each record of an episode: what is special about the packet. */
const LOST_BEFORE = 1;
const REPEATED = 2;
const MARKER = 4;
const NEXT_UNIT = 8;
const WHOLE_UNIT = 16;
const RECORD_HEAD_BYTES = 3;

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`broken: ${what}`);
}

/** Several packets or units as one input: flags, length in two bytes, bytes; and so on. */
function record(flags: number, bytes: Uint8Array): number[] {
  return [flags, bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

/** Each unit's packets are an input, and the unit itself is another. */
function episodes({ packets, units }: RecordedStream): Uint8Array[] {
  const inputs: number[][] = [];
  let timestamp = -1;
  for (const packet of packets) {
    const header = emptyRtpHeader();
    readRtpHeader(packet, 0, packet.length, header);
    if (header.timestamp !== timestamp) inputs.push([]);
    const begins = header.timestamp === timestamp ? 0 : NEXT_UNIT;
    timestamp = header.timestamp;
    const payload = packet.subarray(header.payloadStart, header.payloadEnd);
    inputs.at(-1)?.push(...record(begins | (header.marker ? MARKER : 0), payload));
  }
  const whole = units.map((unit) => record(WHOLE_UNIT | NEXT_UNIT, unit));
  return [...inputs, ...whole].map((input) => Uint8Array.from(input));
}

function repacketizerTarget(stream: RecordedStream): Target {
  const { format } = stream;
  const ring = new PacketRing(RING_BYTES, RING_BYTES);
  const assembler = createAssembler(format.codec);
  return {
    name: `${format.codec} repacketizer`,
    seeds: episodes(stream),
    run(input) {
      const track = createRepacketizer(format, ring);
      const from = ring.head;
      play(track, input);
      track.restart();
      check(track.parameterSets.length <= SETS_MAX, "few parameter sets are kept");
      checkRing(ring, Math.max(from, ring.tail), assembler, track);
    },
  };
}

/** Puts the packets and units of an episode in. */
function play(track: Repacketizer, input: Uint8Array): void {
  const header = emptyRtpHeader();
  header.sequence = 65_530;
  let timestamp = 0xffff_f000;
  for (let at = 0; at + RECORD_HEAD_BYTES <= input.length; ) {
    const flags = input[at]!;
    const start = at + RECORD_HEAD_BYTES;
    const end = Math.min(input.length, start + ((input[at + 1]! << 8) | input[at + 2]!));
    const step = (flags & REPEATED) !== 0 ? 0 : (flags & LOST_BEFORE) !== 0 ? 3 : 1;
    header.sequence = (header.sequence + step) & 0xffff;
    if ((flags & NEXT_UNIT) !== 0) timestamp = (timestamp + 3000) >>> 0;
    header.marker = (flags & MARKER) !== 0;
    header.payloadStart = start;
    header.payloadEnd = end;
    const gapBefore = (flags & LOST_BEFORE) !== 0;
    if ((flags & WHOLE_UNIT) === 0) track.push(input, header, timestamp);
    else track.pushUnit(input, start, end, { timestamp, gapBefore });
    at = end;
  }
}

function checkRing(
  ring: PacketRing,
  from: number,
  assembler: Assembler,
  track: Repacketizer,
): void {
  let start = from;
  for (let id = from; id < ring.head; id++) {
    check(ring.length(id) <= PAYLOAD_BYTES_MAX, "packets are within the bound");
    if ((ring.flags(id) & FLAG_START) === 0) continue;
    assembler.assemble(ring, start, id, track.picture);
    start = id;
  }
  assembler.assemble(ring, start, ring.head, track.picture);
}

const hex = (...texts: readonly string[]): Uint8Array[] =>
  texts.map((text) => Uint8Array.fromHex(text));

const SPS = hex(
  "67640028acd940780227e584000003000400000300c83c60c658",
  "67f40015919b282c13fc7c20000003002000000641e2c5b2c0",
  "6764001eacd940b0126840000003004000000c83c58b6580",
);
const H265_SPS = hex(
  "42010101600000030090000003000003003fa00502016965959a4932bc05a02000000300200000030141",
  "4201022408000003009d0800000300007b0000b0050201693659594acb24995e02d010000003001000000300a080",
);
const AUDIO_CONFIGS = hex("1190", "1408", "2b118800", "eb098800", "1780181910");
const DESCRIPTION = `v=0\r
m=video 0 RTP/AVP 96 98 26\r
a=rtpmap:96 H264/90000\r
a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAHg==,aM4=\r
a=rtpmap:98 H265/90000\r
a=fmtp:98 sprop-vps=QAEM; sprop-sps=QgEB; sprop-pps=RAHA;sprop-max-don-diff=0\r
a=x-dimensions:2560,1440\r
m=audio 0 RTP/AVP 97 8 9\r
a=rtpmap:97 mpeg4-generic/16000/1\r
a=fmtp:97 streamtype=5;mode=AAC-hbr;config=1408;sizeLength=13;indexLength=3;indexDeltaLength=3\r
`;

function readers(streams: readonly RecordedStream[]): Target[] {
  const header = emptyRtpHeader();
  const quantizers = new Uint8Array(QUANTIZERS_BYTES);
  const report = { ssrc: 1, wallClock: 1_790_000_000_000, timestamp: 9, packets: 7, bytes: 9 };
  const unitsOf = (codec: string): readonly Uint8Array[] =>
    streams.find(({ format }) => format.codec === codec)?.units ?? [];
  return [
    {
      name: "rtp header",
      seeds: streams.flatMap(({ packets }) => packets),
      run(input) {
        if (!readRtpHeader(input, 0, input.length, header)) return;
        check(header.payloadEnd <= input.length, "the payload lies inside the packet");
        check(header.payloadStart <= header.payloadEnd, "the payload has no negative length");
      },
    },
    {
      name: "rtcp",
      seeds: [writeSenderReport(report, "onepull")],
      run(input) {
        eachRtcp(input, 0, input.length, (_type, _count, start, end) => {
          check(start < end && end <= input.length, "RTCP packets lie inside the compound");
          readSenderReport(input, start, end);
          eachNack(input, start, end, () => {});
        });
      },
    },
    { name: "h264 sps", seeds: SPS, run: (input) => void readSps(input) },
    { name: "h265 sps", seeds: H265_SPS, run: (input) => void readH265Sps(input) },
    { name: "aac config", seeds: AUDIO_CONFIGS, run: (input) => void readAudioConfig(input) },
    {
      name: "jpeg file",
      seeds: unitsOf("mjpeg"),
      run: (input) => void readJpeg(input, 0, input.length, quantizers),
    },
    {
      name: "annex b",
      seeds: [...unitsOf("h264"), ...unitsOf("h265")],
      run(input) {
        nalUnits(input);
        isWithoutPicture(input, "h265");
      },
    },
    {
      name: "track formats",
      seeds: [new TextEncoder().encode(DESCRIPTION)],
      run(input) {
        for (const media of parseSdp(new TextDecoder().decode(input)).media) {
          for (const format of media.formats) trackFormatOf(media, format);
        }
      },
    },
  ];
}

/** Audio that needs no example: any bytes are some. */
function audioOf(codec: "pcmu" | "opus"): RecordedStream {
  const packets = [new Uint8Array(12 + 160), new Uint8Array(12 + 3000)];
  for (const packet of packets) packet[0] = 0x80;
  const format: TrackFormat = {
    kind: "audio",
    codec,
    clockHz: 8_000,
    channels: 1,
    parameterSets: [],
    auHeader: null,
  };
  return { format, packets, units: [new Uint8Array(160), new Uint8Array(3000)] };
}

export function rtpTargets(): Target[] {
  const streams = recordedStreams();
  const played = [...streams, audioOf("pcmu"), audioOf("opus")];
  return [...readers(streams), ...played.map(repacketizerTarget)];
}
