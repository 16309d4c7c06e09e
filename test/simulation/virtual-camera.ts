/**
 * A camera in simulated time: its RTSP server, its crystal, its wall clock. No sockets, no timers:
 * bytes go in and out, and the true time comes with every call.
 *
 * @module
 */
import { type Millis, type UnixMs, VIDEO_CLOCK_HZ } from "../../src/core/units.ts";
import { writeU16, writeU32 } from "../../src/rtp/header.ts";
import { writeSenderReport } from "../../src/rtp/rtcp.ts";
import { writeInterleavedHeader } from "../../src/rtsp/interleaved.ts";
import { h264Format, writeSdp } from "../../src/rtsp/sdp.ts";
import { ServerConnection } from "../../src/rtsp/server.ts";

const SPS = Uint8Array.fromHex("67640028acd940780227e584000003000400000300c83c60c658");
const PPS = new Uint8Array([0x68, 0xeb, 0xe3, 0xcb]);
const SDP = writeSdp("virtual", [
  { kind: "video", control: "video", format: h264Format(96, SPS, PPS) },
]);
const GOP_FRAMES = 50;
/** Small: what is looked at is time, not bytes. */
const SLICE_BYTES = 120;
const HEADER_BYTES = 12;
const FRAMING_BYTES = 4;

export interface VirtualCameraOptions {
  /** What the true wall clock reads when the true time is 0. */
  readonly wall: UnixMs;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class VirtualCamera {
  /** How much too fast its crystal runs. */
  ppm = 0;
  /** How far its wall clock is ahead. */
  wallError = 0;
  /** Milliseconds from report to report; 0 for none. */
  reportEveryMs = 5_000;
  /** Requests answered with anything. */
  answers = 0;
  /** Frames since the start, over all sessions. */
  frames = 0;
  readonly #options: VirtualCameraOptions;
  readonly #packet = new Uint8Array(FRAMING_BYTES + HEADER_BYTES + SLICE_BYTES);
  readonly #slice = new Uint8Array(SLICE_BYTES);
  #server: ServerConnection | null = null;
  #playing = false;
  #out: Uint8Array[] = [];
  #ssrc = 0;
  #sequence = 0;
  #firstTimestamp = 0;
  /** What its crystal counted since it was switched on, in ms of its own. */
  #media = 0;
  #at: Millis = 0;
  #frame = 0;
  #reportDue: Millis = 0;

  /** @param firstTimestamp of its media clock */
  constructor(options: VirtualCameraOptions, firstTimestamp: number) {
    this.#options = options;
    this.boot(firstTimestamp, 0);
  }

  /** Switched off and on: no connection, and new numbers for everything. */
  boot(firstTimestamp: number, now: Millis): void {
    const { random } = this.#options;
    this.#server = null;
    this.#playing = false;
    this.#out = [];
    this.#ssrc = Math.floor(random() * 2 ** 32);
    this.#sequence = Math.floor(random() * 2 ** 16);
    this.#firstTimestamp = firstTimestamp;
    this.#media = 0;
    this.#at = now;
    this.#frame = 0;
  }

  accept(now: Millis): void {
    let tokens = 0;
    const token = () => `0123456789abcdef${tokens++}`;
    this.#server = new ServerConnection({ now, token, sink: () => {} });
    this.#pump();
  }

  /** What the client sends. `null`: time has passed. */
  handle(bytes: Uint8Array | null, now: Millis): void {
    this.#server?.handle(bytes, now);
    this.#pump();
  }

  /** What goes to the client now. */
  take(): Uint8Array[] {
    const out = this.#out;
    if (out.length > 0) this.#out = [];
    return out;
  }

  /** Captures a picture. What goes to the client is there to `take`. */
  capture(now: Millis): void {
    this.#media += (now - this.#at) * (1 + this.ppm / 1e6);
    this.#at = now;
    const keyframe = this.#frame++ % GOP_FRAMES === 0;
    if (!this.#playing) return;
    this.frames++;
    if (this.reportEveryMs > 0 && now >= this.#reportDue) this.#report(now);
    if (keyframe) {
      this.#send(SPS, false);
      this.#send(PPS, false);
    }
    this.#slice[0] = keyframe ? 0x65 : 0x41;
    this.#slice[1] = 0x9a;
    this.#send(this.#slice, true);
  }

  get #timestamp(): number {
    const ticks = Math.round((this.#media * VIDEO_CLOCK_HZ) / 1_000);
    return (this.#firstTimestamp + ticks) % 2 ** 32;
  }

  #report(now: Millis): void {
    this.#reportDue = now + this.reportEveryMs;
    const wallClock = this.#options.wall + now + this.wallError;
    const sums = { packets: this.frames, bytes: this.frames };
    const report = { ssrc: this.#ssrc, wallClock, timestamp: this.#timestamp, ...sums };
    const rtcp = writeSenderReport(report, "virtual");
    const framed = new Uint8Array(FRAMING_BYTES + rtcp.length);
    framed.set(rtcp, writeInterleavedHeader(framed, 0, 1, rtcp.length));
    this.#out.push(framed);
  }

  #send(nal: Uint8Array, marker: boolean): void {
    const length = HEADER_BYTES + nal.length;
    const b = this.#packet;
    const at = writeInterleavedHeader(b, 0, 0, length);
    b[at] = 0x80;
    b[at + 1] = 96 | (marker ? 0x80 : 0);
    writeU16(b, at + 2, this.#sequence);
    writeU32(b, at + 4, this.#timestamp);
    writeU32(b, at + 8, this.#ssrc);
    b.set(nal, at + HEADER_BYTES);
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#out.push(b.slice(0, at + length));
  }

  #pump(): void {
    for (;;) {
      const server = this.#server;
      const out = server?.poll();
      if (!server || !out || out.kind === "wait") return;
      if (out.kind === "send") {
        this.answers++;
        this.#out.push(out.bytes);
        continue;
      }
      switch (out.event.kind) {
        case "describe":
          server.describe(SDP);
          break;
        case "setup":
          server.setup({ ssrc: this.#ssrc });
          break;
        case "play":
          server.play([]);
          this.#playing = true;
          break;
        case "announce":
        case "record":
          server.refuse(405);
          break;
        case "pause":
        case "teardown":
          this.#playing = false;
          break;
        case "closed":
          this.#playing = false;
          this.#server = null;
          break;
        default:
          out.event satisfies never;
      }
    }
  }
}
