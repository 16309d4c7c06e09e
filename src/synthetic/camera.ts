/** One synthetic camera: its place in the clip, its RTP stream, and who receives it. */
import { randomInt } from "node:crypto";
import { type Millis, type RtpTicks, type UnixMs, VIDEO_CLOCK_HZ } from "../core/units.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import { writeSenderReport } from "../rtp/rtcp.ts";
import type { TrackStart } from "../rtsp/server-session.ts";
import { FrameLog, type FrameRecord } from "./frame-log.ts";
import type { UnitPackets } from "./packets.ts";

/** The control attribute of the one track. */
export const VIDEO_CONTROL = "video";
/** RFC 3550 section 6.2 recommends five seconds between reports. */
const REPORT_INTERVAL_MS = 5_000;

/** A client's session, as far as the camera sends to it. Neither call waits or throws. */
export interface Receiver {
  /** Sends one access unit; false when the client did not get it whole. */
  frame(unit: UnitPackets): boolean;
  /** Sends an RTCP packet, borrowed. */
  report(rtcp: Uint8Array): void;
}

/** What can end a client's connection from the camera's side. */
export interface CameraConnection {
  drop(): void;
}

interface Subscription {
  readonly receiver: Receiver;
  reported: boolean;
  awaitsKeyframe: boolean;
}

export interface CameraOptions {
  readonly name: string;
  /** The clip, shared by all cameras. */
  readonly units: readonly UnitPackets[];
  /** The unit to begin with. */
  readonly phase: number;
  readonly fps: number;
  /** Whether a client's first frame is a keyframe, or whatever comes next. */
  readonly startWithKeyframe: boolean;
  readonly onFrame: ((record: FrameRecord) => void) | null;
}

/** What a camera counts. */
export interface CameraCounters {
  /** DESCRIBE requests answered. */
  describes: number;
  /** PLAY requests answered. */
  plays: number;
  /** Frames that went out to at least one client. */
  frames: number;
  /** RTP packets sent, with headers, all clients together. */
  bytes: number;
  /** Frames that a client did not get, because it was too slow or gone. */
  droppedFrames: number;
}

/** Ticks when the schedule says so; owns nothing that needs to be closed. */
export class Camera {
  readonly name: string;
  readonly ssrc = randomInt(2 ** 32);
  readonly counters: CameraCounters = {
    describes: 0,
    plays: 0,
    frames: 0,
    bytes: 0,
    droppedFrames: 0,
  };
  readonly log: FrameLog;
  /** Connections that asked for this camera and are still there. */
  readonly connections = new Set<CameraConnection>();
  readonly #options: CameraOptions;
  readonly #timestampStart: RtpTicks = randomInt(2 ** 32);
  readonly #subscriptions = new Map<Receiver, Subscription>();
  #on = true;
  #unit: number;
  #interval = -1;
  #sequence = randomInt(2 ** 16);
  #reportDue: Millis = Number.NEGATIVE_INFINITY;
  // Of the whole stream, as its sender reports say it.
  #packets = 0;
  #octets = 0;

  constructor(options: CameraOptions) {
    this.name = options.name;
    this.log = new FrameLog(options.name);
    this.#options = options;
    this.#unit = options.phase;
  }

  /** False for a camera that is switched off: it answers nobody. */
  get on(): boolean {
    return this.#on;
  }

  /** Clients it sends to. */
  get playing(): number {
    return this.#subscriptions.size;
  }

  /** Switches the camera on, or off: its clients lose their connections as by a power cut. */
  switch(on: boolean): void {
    this.#on = on;
    if (on) return;
    for (const connection of [...this.connections]) connection.drop();
  }

  /** Where its packets go on, for the response to PLAY; nothing when that is not known. */
  starts(): TrackStart[] {
    if (this.#options.startWithKeyframe) return [];
    const timestamp = this.#timestampAt(this.#interval + 1);
    return [{ control: VIDEO_CONTROL, sequence: this.#sequence, timestamp }];
  }

  /** Sends to `receiver` from the next frame on. Returns how to end that; idempotent. */
  join(receiver: Receiver): () => void {
    const awaitsKeyframe = this.#options.startWithKeyframe;
    this.#subscriptions.set(receiver, { receiver, reported: false, awaitsKeyframe });
    return () => this.#subscriptions.delete(receiver);
  }

  /** It is this camera's turn. `interval` counts frame intervals since the start. */
  tick(interval: number): void {
    this.#interval = interval;
    const frame = this.#unit;
    const unit = this.#options.units[frame];
    this.#unit = (frame + 1) % this.#options.units.length;
    if (unit === undefined || this.#subscriptions.size === 0) return;
    const timestamp = this.#timestampAt(interval);
    const monotonic = monotonicMs();
    const unix = unixMs();
    unit.stamp(this.#sequence, timestamp, this.ssrc);
    this.#report(timestamp, monotonic, unix);
    if (!this.#send(unit)) return;
    this.#sequence = (this.#sequence + unit.packets.length) & 0xffff;
    this.#packets += unit.packets.length;
    this.#octets += unit.payloadBytes;
    this.counters.frames++;
    this.#record(frame, timestamp, monotonic, unix);
  }

  /** False when every client still waits for a keyframe. */
  #send(unit: UnitPackets): boolean {
    let sent = false;
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.awaitsKeyframe && !unit.keyframe) continue;
      subscription.awaitsKeyframe = false;
      sent = true;
      if (subscription.receiver.frame(unit)) this.counters.bytes += unit.packetBytes;
      else this.counters.droppedFrames++;
    }
    return sent;
  }

  /** Tells clients what the RTP clock reads now: new ones before their first frame, all by and by. */
  #report(timestamp: RtpTicks, monotonic: Millis, wallClock: UnixMs): void {
    const everyone = monotonic >= this.#reportDue;
    if (everyone) this.#reportDue = monotonic + REPORT_INTERVAL_MS;
    let rtcp: Uint8Array | null = null;
    for (const subscription of this.#subscriptions.values()) {
      if (!everyone && subscription.reported) continue;
      const sums = { packets: this.#packets, bytes: this.#octets };
      rtcp ??= writeSenderReport({ ssrc: this.ssrc, wallClock, timestamp, ...sums }, this.name);
      subscription.receiver.report(rtcp);
      subscription.reported = true;
    }
  }

  #record(frame: number, rtpTimestamp: RtpTicks, monotonic: Millis, unix: UnixMs): void {
    this.log.add(frame, rtpTimestamp, monotonic, unix);
    const { onFrame } = this.#options;
    if (onFrame === null) return;
    onFrame({ camera: this.name, frame, rtpTimestamp, monotonicMs: monotonic, unixMs: unix });
  }

  #timestampAt(interval: number): RtpTicks {
    const ticks = Math.floor((interval * VIDEO_CLOCK_HZ) / this.#options.fps);
    return (this.#timestampStart + ticks) % 2 ** 32;
  }
}
