/** One track of a session: puts its packets in order and hands them to the stream's track. */
import type { Millis } from "../core/units.ts";
import { Heard, Reception } from "../rtp/reception.ts";
import { ReorderWindow } from "../rtp/reorder.ts";
import { writeEmptyReceiverReport, writeReceiverReport } from "../rtp/rtcp.ts";
import type { AgreedTrack } from "../rtsp/client-track.ts";
import type { Track } from "../stream/track.ts";
import type { PullCounters } from "./puller.ts";

/** RTP payload types are 7 bits. */
const PAYLOAD_TYPES = 128;

/** What an intake is made of. */
export interface IntakeOptions {
  readonly agreed: AgreedTrack;
  readonly track: Track;
  readonly counters: PullCounters;
  /** Names the hub in its reports. */
  readonly ssrc: number;
}

/** Packets of one track go in as they arrive, at most one intake per track at a time. */
export class TrackIntake {
  readonly agreed: AgreedTrack;
  /** Packets that were handed to the track. */
  packets = 0;
  readonly #track: Track;
  readonly #counters: PullCounters;
  readonly #ssrc: number;
  readonly #reception = new Reception();
  /** Over UDP only: nothing is overtaken on a TCP connection. */
  readonly #window: ReorderWindow | null;
  /** Payload types of the medium's other formats: nothing that this track can read. */
  readonly #foreign = new Uint8Array(PAYLOAD_TYPES);
  #now: Millis = 0;

  constructor({ agreed, track, counters, ssrc }: IntakeOptions) {
    this.agreed = agreed;
    this.#track = track;
    this.#counters = counters;
    this.#ssrc = ssrc;
    const overUdp = agreed.transport.lower === "udp";
    this.#window = overUdp ? new ReorderWindow((b, start, end) => this.#pass(b, start, end)) : null;
    this.disown(agreed.media.formats.map(({ payloadType }) => payloadType));
  }

  /** True for the one payload type that the camera described for this track. */
  isFor(payloadType: number): boolean {
    return payloadType === this.agreed.format.payloadType;
  }

  /** Packets of these payload types are not this track's, but for its own. */
  disown(payloadTypes: readonly number[]): void {
    for (const payloadType of payloadTypes) {
      if (!this.isFor(payloadType)) this.#foreign[payloadType % PAYLOAD_TYPES] = 1;
    }
  }

  /** When to call `expire`; infinite while no packet is waited for. */
  get deadline(): Millis {
    return this.#window?.deadline ?? Number.POSITIVE_INFINITY;
  }

  /** Packets that never came. */
  get lost(): number {
    return this.#window?.lost ?? 0;
  }

  /** Takes the RTP packet in [start, end) of `b`, borrowed. */
  rtp(b: Uint8Array, start: number, end: number, now: Millis): void {
    if (end - start > 1 && this.#foreign[b[start + 1]! & 0x7f] === 1) {
      this.#counters.ignored++;
      return;
    }
    this.#now = now;
    const heard = this.#reception.hear(b, start, end, now);
    if (heard === Heard.Foreign) {
      this.#counters.ignored++;
      return;
    }
    if (heard === Heard.Changed) this.#restart();
    // What is too short to have a number is for the track to count.
    if (this.#window === null || end - start < 4) this.#pass(b, start, end);
    else this.#window.push(b, start, end, (b[start + 2]! << 8) | b[start + 3]!, now);
  }

  /** Takes the RTCP compound in [start, end) of `b`, borrowed. */
  control(b: Uint8Array, start: number, end: number): void {
    this.#track.receiveControl(b, start, end);
  }

  /** Gives up packets that were waited for long enough. */
  expire(now: Millis): void {
    this.#now = now;
    this.#window?.expire(now);
  }

  /** What the camera is told of how it is received; cameras take it as a sign of life. */
  report(): Uint8Array {
    const report = this.#reception.report(this.#ssrc, this.lost);
    return report ? writeReceiverReport(report) : writeEmptyReceiverReport(this.#ssrc);
  }

  /** The session is over. Its counts join those of the pull. */
  close(): void {
    if (this.#window === null) return;
    this.#counters.reordered += this.#window.reordered;
    this.#counters.late += this.#window.late + this.#window.duplicates;
  }

  #restart(): void {
    this.#window?.restart();
    this.#track.restart();
  }

  #pass(b: Uint8Array, start: number, end: number): void {
    this.packets++;
    this.#track.receive(b, start, end, this.#now);
  }
}
