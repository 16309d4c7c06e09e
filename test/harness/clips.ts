/**
 * Short clips as RTP packets, encoded by GStreamer, and what plays them into tracks again and again:
 * a camera of any codec without a connection.
 *
 * @module
 */
import type { Millis } from "../../src/core/units.ts";
import { monotonicMs, unixMs } from "../../src/native/clock.ts";
import { emptyRtpHeader, readRtpHeader, writeU16, writeU32 } from "../../src/rtp/header.ts";
import type { Track } from "../../src/stream/track.ts";
import { Pattern } from "../../src/synthetic/pattern.ts";

/** RTP packets of one loop, in order, and how long it lasts. */
export interface RtpClip {
  readonly packets: readonly Uint8Array[];
  /** Ticks of the RTP clock. */
  readonly ticks: number;
  readonly clockHz: number;
}

const PICTURE = { width: 640, height: 360, fps: 25 } as const;
const SECONDS = 4;
const PICTURES = SECONDS * PICTURE.fps;
const VIDEO_HZ = 90_000;
/** Well below the bound of the ring, so that a packet is one packet there as well. */
const MTU = 1_100;

const RAW = [
  ...["fdsrc", "fd=0", "!", "rawvideoparse", "format=i420"],
  ...[`width=${PICTURE.width}`, `height=${PICTURE.height}`, `framerate=${PICTURE.fps}/1`, "!"],
];
const VIDEO_ENCODERS = {
  vp8: [
    ...["vp8enc", "deadline=1", "cpu-used=8", "keyframe-max-dist=25", "target-bitrate=800000"],
    ...["lag-in-frames=0", "!", "rtpvp8pay", "picture-id-mode=2"],
  ],
  h264: [
    ...["x264enc", "tune=zerolatency", "speed-preset=veryfast", "key-int-max=25", "bitrate=800"],
    ...["!", "video/x-h264,profile=constrained-baseline", "!", "rtph264pay", "config-interval=-1"],
  ],
} as const;

const AUDIO_ENCODERS = {
  opus: { rate: 48_000, clockHz: 48_000, chain: ["opusenc", "!", "rtpopuspay"] },
  pcma: { rate: 8_000, clockHz: 8_000, chain: ["alawenc", "!", "rtppcmapay"] },
  pcmu: { rate: 8_000, clockHz: 8_000, chain: ["mulawenc", "!", "rtppcmupay"] },
} as const;
/** 20 ms, as cameras send; rtppcmapay would wait for a full packet. */
const PACKET_NS = 20_000_000;

/** Numbered pictures, a keyframe every second. */
export async function videoClip(codec: keyof typeof VIDEO_ENCODERS): Promise<RtpClip> {
  const pattern = new Pattern(PICTURE, PICTURE.fps, PICTURES);
  const raw = new Uint8Array(pattern.bytes * PICTURES);
  for (let i = 0; i < PICTURES; i++) {
    pattern.draw(i, raw.subarray(i * pattern.bytes, (i + 1) * pattern.bytes));
  }
  const chain = [...RAW, ...VIDEO_ENCODERS[codec], `mtu=${MTU}`];
  return { packets: await packetsOf(chain, raw), ticks: SECONDS * VIDEO_HZ, clockHz: VIDEO_HZ };
}

/** A tone. */
export async function audioClip(codec: keyof typeof AUDIO_ENCODERS): Promise<RtpClip> {
  const { rate, clockHz, chain } = AUDIO_ENCODERS[codec];
  const source = [
    ...["audiotestsrc", "freq=440", "volume=0.5", `num-buffers=${SECONDS * 50}`],
    ...[`samplesperbuffer=${rate / 50}`, "!", `audio/x-raw,rate=${rate},channels=1`, "!"],
  ];
  const limits = codec === "opus" ? [] : [`min-ptime=${PACKET_NS}`, `max-ptime=${PACKET_NS}`];
  const packets = await packetsOf([...source, ...chain, ...limits], new Uint8Array(0));
  return { packets, ticks: SECONDS * clockHz, clockHz };
}

/** Runs the pipeline to its end; packets come framed by their length (RFC 4571). */
async function packetsOf(chain: readonly string[], input: Uint8Array): Promise<Uint8Array[]> {
  const sink = ["!", "rtpstreampay", "!", "fdsink", "fd=1"];
  const child = Bun.spawn(["gst-launch-1.0", "-q", ...chain, ...sink], {
    stdin: input,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [bytes, trouble] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0 || bytes.length === 0) throw new Error(`GStreamer: ${trouble}`);
  const packets: Uint8Array[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const length = (bytes[at]! << 8) | bytes[at + 1]!;
    packets.push(bytes.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return packets;
}

const FEED_INTERVAL_MS = 5;

/** Plays a clip into a track, in its own time, over and over. */
export class ClipPlayer implements Disposable {
  /** False pauses: nothing comes, and time goes on. */
  playing = true;
  readonly #track: Track;
  readonly #clip: RtpClip;
  readonly #started: Millis = monotonicMs();
  readonly #timer: Timer;
  /** Of each packet, in ticks since the clip's start: what is sent is written over. */
  readonly #offsets: readonly number[];
  #next = 0;
  #loop = 0;
  #sequence = 1;

  constructor(track: Track, clip: RtpClip) {
    this.#track = track;
    this.#clip = clip;
    this.#offsets = offsetsOf(clip.packets);
    this.#timer = setInterval(() => this.#feed(), FEED_INTERVAL_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #feed(): void {
    const now = monotonicMs();
    const { packets, ticks, clockHz } = this.#clip;
    const reached = ((now - this.#started) * clockHz) / 1_000;
    for (;;) {
      const due = (this.#offsets[this.#next] ?? 0) + this.#loop * ticks;
      if (due > reached) break;
      const packet = packets[this.#next];
      if (packet !== undefined && this.playing) this.#send(packet, due, now);
      this.#next = (this.#next + 1) % packets.length;
      if (this.#next === 0) this.#loop++;
    }
    this.#track.flush(now, unixMs());
  }

  #send(packet: Uint8Array, ticks: number, now: Millis): void {
    writeU16(packet, 2, this.#sequence++ & 0xffff);
    writeU32(packet, 4, ticks >>> 0);
    this.#track.receive(packet, 0, packet.length, now);
  }
}

function offsetsOf(packets: readonly Uint8Array[]): number[] {
  const header = emptyRtpHeader();
  const timestamps = packets.map((packet) => {
    readRtpHeader(packet, 0, packet.length, header);
    return header.timestamp;
  });
  return timestamps.map((timestamp) => (timestamp - (timestamps[0] ?? 0)) >>> 0);
}
