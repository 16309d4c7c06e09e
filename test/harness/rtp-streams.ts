/** The streams of test/vectors/rtp: RTP packets as others cut them, and the units they are made of. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nalUnits } from "../../src/rtp/annex-b.ts";
import { type TrackFormat, videoFormat } from "../../src/rtp/track-format.ts";

export interface RecordedStream {
  readonly format: TrackFormat;
  readonly packets: readonly Uint8Array[];
  /** As the encoder wrote them; see Repacketizer.pushUnit. */
  readonly units: readonly Uint8Array[];
}

const FOLDER = join(import.meta.dir, "../vectors/rtp");
const START_CODE = [0, 0, 0, 1];
const H264_DELIMITER = 9;
const H265_DELIMITER = 35;

const aac: TrackFormat = {
  kind: "audio",
  codec: "aac",
  clockHz: 16_000,
  channels: 1,
  parameterSets: [Uint8Array.of(0x14, 0x08)],
  auHeader: { sizeBits: 13, indexBits: 3, indexDeltaBits: 3 },
};

/** One of each codec. */
export function recordedStreams(): RecordedStream[] {
  const h264 = accessUnits("h264.h264", (nal) => (nal[0]! & 0x1f) === H264_DELIMITER);
  const h265 = accessUnits("h265.h265", (nal) => nal[0]! >> 1 === H265_DELIMITER);
  return [
    { format: videoFormat("h264"), packets: packetsOf("h264.rtp"), units: h264 },
    { format: videoFormat("h265"), packets: packetsOf("h265.rtp"), units: h265 },
    { format: videoFormat("mjpeg"), packets: packetsOf("mjpeg.rtp"), units: pictures() },
    { format: videoFormat("vp8"), packets: packetsOf("vp8.rtp"), units: vp8Frames() },
    { format: aac, packets: packetsOf("aac.rtp"), units: aacFrames() },
  ];
}

function read(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(FOLDER, name)));
}

/** RFC 4571: the length of each packet in two bytes in front of it. */
function packetsOf(name: string): Uint8Array[] {
  const b = read(name);
  const packets: Uint8Array[] = [];
  for (let at = 0; at < b.length; ) {
    const end = at + 2 + ((b[at]! << 8) | b[at + 1]!);
    packets.push(b.slice(at + 2, end));
    at = end;
  }
  return packets;
}

export function annexB(nals: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(nals.flatMap((nal) => [...START_CODE, ...nal]));
}

/** Both encoders put a delimiter in front of each unit. */
function accessUnits(name: string, isDelimiter: (nal: Uint8Array) => boolean): Uint8Array[] {
  const units: Uint8Array[][] = [];
  for (const nal of nalUnits(read(name))) {
    if (isDelimiter(nal)) units.push([]);
    units.at(-1)?.push(nal);
  }
  return units.map(annexB);
}

function pictures(): Uint8Array[] {
  const b = read("mjpeg.mjpeg");
  const starts: number[] = [];
  for (let at = 0; at + 2 < b.length; at++) {
    if (b[at] === 0xff && b[at + 1] === 0xd8 && b[at + 2] === 0xff) starts.push(at);
  }
  return starts.map((start, i) => b.slice(start, starts[i + 1] ?? b.length));
}

/** IVF: a header of 32 bytes, then frames with 12 bytes in front, the first four their size. */
function vp8Frames(): Uint8Array[] {
  const b = read("vp8.ivf");
  const frames: Uint8Array[] = [];
  const view = new DataView(b.buffer);
  for (let at = 32; at < b.length; ) {
    const end = at + 12 + view.getUint32(at, true);
    frames.push(b.slice(at + 12, end));
    at = end;
  }
  return frames;
}

/** ADTS without checksums: 7 bytes in front of each frame. */
function aacFrames(): Uint8Array[] {
  const b = read("aac.aac");
  const frames: Uint8Array[] = [];
  for (let at = 0; at < b.length; ) {
    const end = at + (((b[at + 3]! & 3) << 11) | (b[at + 4]! << 3) | (b[at + 5]! >> 5));
    frames.push(b.slice(at + 7, end));
    at = end;
  }
  return frames;
}
