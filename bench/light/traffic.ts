/**
 * Packets that look like a camera's, without one: 1080p at 25 pictures a second, 4 Mbps, a keyframe
 * every two seconds. Nothing in them decodes.
 *
 * @module
 */
import { VIDEO_CLOCK_HZ } from "../../src/core/units.ts";
import { RTP_HEADER_BYTES, writeU16, writeU32 } from "../../src/rtp/header.ts";
import type { Track } from "../../src/stream/track.ts";

/** Constrained Baseline, level 4.0, 1920x1080. */
const SPS = Uint8Array.fromHex("6742c028d900780227e5c04400000300040000030001a0f1832e00");
const PPS = Uint8Array.fromHex("68cb83cb20");

export interface TrafficOptions {
  readonly framesPerSecond?: number;
  readonly framesPerGroup?: number;
  readonly keyframeBytes?: number;
  readonly frameBytes?: number;
  /** Of the camera's packets; its own choice. */
  readonly packetBytes?: number;
}

export class Traffic {
  readonly #track: Track;
  readonly #options: Required<TrafficOptions>;
  readonly #packet: Uint8Array;
  #sequence = 100;
  #frame = 0;

  constructor(track: Track, options: TrafficOptions = {}) {
    this.#track = track;
    this.#options = {
      framesPerSecond: 25,
      framesPerGroup: 50,
      keyframeBytes: 90_000,
      frameBytes: 18_500,
      packetBytes: 1_400,
      ...options,
    };
    this.#packet = new Uint8Array(RTP_HEADER_BYTES + this.#options.packetBytes);
    this.#packet.fill(0xa5);
  }

  /** RTP timestamp of the next picture. */
  get timestamp(): number {
    return (1_000 + (this.#frame * VIDEO_CLOCK_HZ) / this.#options.framesPerSecond) >>> 0;
  }

  /** Feeds one picture and flushes. */
  frame(now: number, wall: number): void {
    const { framesPerGroup, keyframeBytes, frameBytes } = this.#options;
    const key = this.#frame % framesPerGroup === 0;
    if (key) {
      this.#single(SPS, now);
      this.#single(PPS, now);
    }
    this.#fragments(key ? 0x65 : 0x61, key ? keyframeBytes : frameBytes, now);
    this.#frame++;
    this.#track.flush(now, wall);
  }

  /** Leaves out the camera's next packets: a loss on the way to the hub. */
  lose(count: number): void {
    this.#sequence += count;
  }

  #single(nal: Uint8Array, now: number): void {
    this.#packet.set(nal, RTP_HEADER_BYTES);
    this.#send(RTP_HEADER_BYTES + nal.length, false, now);
  }

  /** FU-A (RFC 6184 section 5.8) of a slice whose first macroblock is 0. */
  #fragments(nalHeader: number, bytes: number, now: number): void {
    const room = this.#options.packetBytes - 2;
    for (let at = 0; at < bytes; at += room) {
      const length = Math.min(room, bytes - at);
      const last = at + length === bytes;
      this.#packet[RTP_HEADER_BYTES] = (nalHeader & 0xe0) | 28;
      this.#packet[RTP_HEADER_BYTES + 1] =
        (nalHeader & 0x1f) | (at === 0 ? 0x80 : 0) | (last ? 0x40 : 0);
      this.#packet[RTP_HEADER_BYTES + 2] = at === 0 ? 0x88 : this.#frame;
      this.#send(RTP_HEADER_BYTES + 2 + length, last, now);
    }
  }

  #send(length: number, marker: boolean, now: number): void {
    const b = this.#packet;
    b[0] = 0x80;
    b[1] = (marker ? 0x80 : 0) | 96;
    writeU16(b, 2, this.#sequence++ & 0xffff);
    writeU32(b, 4, this.timestamp);
    writeU32(b, 8, 7);
    this.#track.receive(b, 0, length, now);
  }
}
