/**
 * One camera, live. Ingest writes RTP packets in; every consumer reads the same ring.
 *
 * Within one turn of the event loop ingest calls `receive` for each packet that a socket read
 * brought and `flush` once at the end; the sinks run inside `flush`.
 *
 * @module
 */
import {
  FLAG_DAMAGED,
  FLAG_HOLE,
  FLAG_KEYFRAME,
  FLAG_MARKER,
  FLAG_START,
  PacketRing,
} from "../core/packet-ring.ts";
import {
  type Millis,
  type RtpTicks,
  ticksBetween,
  type UnixMs,
  VIDEO_CLOCK_HZ,
} from "../core/units.ts";
import { H264Repacketizer, Verdict } from "../rtp/h264.ts";
import { emptyRtpHeader, readRtpHeader } from "../rtp/header.ts";
import { MediaClock } from "../rtp/media-clock.ts";
import { eachRtcp, RTCP_SR, readSenderReport } from "../rtp/rtcp.ts";
import { readSps } from "../rtp/sps.ts";
import type { PacketSink, Unit, UnitSink } from "./sinks.ts";
import { UnitAssembler } from "./unit-assembler.ts";

/** Two groups of pictures of 2 s at 2 Mbps; grows as soon as one does not fit. */
const RING_BYTES_MIN = 1 << 20;
/** Ten seconds at 12 Mbps: the longest group of pictures that cameras are sold with. */
const RING_BYTES_MAX = 16 << 20;
/** A timestamp further off than this is a new clock of the camera, not a pause. */
const TIMESTAMP_JUMP_TICKS = 10 * VIDEO_CLOCK_HZ;
/** Time never stands still across a splice: one picture at 30 fps. */
const STEP_TICKS_MIN = VIDEO_CLOCK_HZ / 30;

/** Counters since the stream was made; they only grow. */
export interface StreamCounters {
  packets: number;
  bytes: number;
  units: number;
  keyframes: number;
  damagedUnits: number;
  late: number;
  malformed: number;
}

const assembler = new UnitAssembler();

export class Stream {
  readonly ring = new PacketRing(RING_BYTES_MIN, RING_BYTES_MAX);
  readonly clock = new MediaClock(VIDEO_CLOCK_HZ);
  readonly counters: StreamCounters = {
    packets: 0,
    bytes: 0,
    units: 0,
    keyframes: 0,
    damagedUnits: 0,
    late: 0,
    malformed: 0,
  };
  /** Picture size by the last parameter set, 0 until known. */
  width = 0;
  height = 0;
  /** `profile-level-id` of the stream (RFC 6184 section 8.1), empty until known. */
  profileLevelId = "";
  /** Timestamp of the newest packet. */
  newestTimestamp: RtpTicks = 0;

  readonly #header = emptyRtpHeader();
  readonly #video = new H264Repacketizer(this.ring);
  // Replaced, never changed: a sink may leave while the list is being walked.
  #packetSinks: readonly PacketSink[] = [];
  #unitSinks: readonly UnitSink[] = [];
  #spsSeen = 0;
  /** Added to the camera's timestamps, so that they go on where an earlier session ended. */
  #offset = 0;
  #continueFrom: { timestamp: RtpTicks; at: Millis } | null = null;
  #lastCameraTimestamp: RtpTicks = -1;
  #lastFlush: Millis = 0;
  #flushed = 0;
  // The unit that flush is looking at, -1 when none is open.
  #unitStart = -1;
  #unitArrived: Millis = 0;
  #gapBefore = false;
  #unitSequence = 0;

  /** Packets that were missing upstream, by sequence number. */
  get lost(): number {
    return this.#video.lost;
  }

  /** First packet of the newest group of pictures that can be decoded; -1 when none is held. */
  get keyframe(): number {
    const id = this.#video.keyframe;
    return this.ring.holds(id) ? id : -1;
  }

  /** Parameter sets from the session description; those in band replace them. */
  offerParameterSets(nals: readonly Uint8Array[]): void {
    this.#video.offerParameterSets(nals);
    this.#readParameterSets();
  }

  /** Takes the RTP packet in [start, end) of `b`, borrowed. Sinks see it at the next `flush`. */
  receive(b: Uint8Array, start: number, end: number, now: Millis): void {
    const header = this.#header;
    if (!readRtpHeader(b, start, end, header)) {
      this.counters.malformed++;
      return;
    }
    this.counters.packets++;
    this.counters.bytes += end - start;
    const verdict = this.#video.push(b, header, this.#continuous(header.timestamp, now));
    if (verdict === Verdict.Late) this.counters.late++;
    else if (verdict === Verdict.Malformed) this.counters.malformed++;
  }

  /** Takes the RTCP compound in [start, end) of `b`, borrowed. */
  receiveControl(b: Uint8Array, start: number, end: number): void {
    eachRtcp(b, start, end, (type, _count, at, next) => {
      if (type !== RTCP_SR) return;
      const report = readSenderReport(b, at, next);
      if (report) this.clock.reported((report.timestamp + this.#offset) >>> 0, report.wallClock);
    });
  }

  /** The turn is over: sinks see what it brought. */
  flush(now: Millis, wall: UnixMs): void {
    const from = this.#flushed;
    const to = this.ring.head;
    if (from === to) return;
    this.#flushed = to;
    this.#lastFlush = now;
    this.newestTimestamp = this.ring.timestamp(to - 1);
    for (const sink of this.#packetSinks) sink.packets(from, to, now);
    if (this.#video.spsChanges !== this.#spsSeen) this.#readParameterSets();
    for (let id = Math.max(from, this.ring.tail); id < to; id++) this.#look(id, now, wall);
  }

  /** The upstream session ended; the next one goes on in the same ring, on the same timeline. */
  restart(): void {
    this.#video.restart();
    this.clock.reset();
    this.#lastCameraTimestamp = -1;
    if (this.counters.packets > 0) {
      this.#continueFrom = { timestamp: this.newestTimestamp, at: this.#lastFlush };
    }
  }

  /** `sink` gets all packets from now on. Returns how to end that. */
  attachPackets(sink: PacketSink): () => void {
    this.#packetSinks = [...this.#packetSinks, sink];
    return () => {
      this.#packetSinks = this.#packetSinks.filter((other) => other !== sink);
    };
  }

  /**
   * `sink` gets the current group of pictures at once, marked as replayed, and then every unit.
   * Returns how to end that.
   */
  attachUnits(sink: UnitSink, now: Millis): () => void {
    const end = this.#unitStart >= 0 ? this.#unitStart : this.#flushed;
    const first = this.keyframe;
    if (first >= 0) this.#replay(sink, first, end, now);
    this.#unitSinks = [...this.#unitSinks, sink];
    return () => {
      this.#unitSinks = this.#unitSinks.filter((other) => other !== sink);
    };
  }

  /** The camera's timestamp on the stream's own timeline. */
  #continuous(camera: RtpTicks, now: Millis): RtpTicks {
    const jump = ticksBetween(camera, this.#lastCameraTimestamp);
    const jumped = this.#lastCameraTimestamp >= 0 && Math.abs(jump) > TIMESTAMP_JUMP_TICKS;
    if (jumped) {
      this.#continueFrom = { timestamp: this.newestTimestamp, at: this.#lastFlush };
      this.clock.reset();
    }
    if (this.#continueFrom !== null) {
      const { timestamp, at } = this.#continueFrom;
      this.#continueFrom = null;
      const silence = Math.round(((now - at) * VIDEO_CLOCK_HZ) / 1000);
      this.#offset = (timestamp + Math.max(silence, STEP_TICKS_MIN) - camera) >>> 0;
    }
    this.#lastCameraTimestamp = camera;
    return (camera + this.#offset) >>> 0;
  }

  #readParameterSets(): void {
    this.#spsSeen = this.#video.spsChanges;
    const sps = this.#video.sps;
    const info = readSps(sps);
    if (!info) return;
    this.width = info.width;
    this.height = info.height;
    this.profileLevelId = sps.subarray(1, 4).toHex();
  }

  /** Follows unit boundaries packet by packet; hands out each unit that is complete. */
  #look(id: number, now: Millis, wall: UnixMs): void {
    const flags = this.ring.flags(id);
    if ((flags & FLAG_START) !== 0) {
      if (this.#unitStart >= 0) this.#complete(id, now);
      this.#unitStart = id;
      this.#unitArrived = now;
      this.clock.arrived(this.ring.timestamp(id), wall);
    }
    if ((flags & FLAG_HOLE) !== 0) this.#gapBefore = true;
    if ((flags & FLAG_MARKER) !== 0 && this.#unitStart >= 0) this.#complete(id + 1, now);
  }

  #complete(end: number, now: Millis): void {
    const start = this.#unitStart;
    this.#unitStart = -1;
    const flags = this.ring.holds(start) ? this.ring.flags(start) : FLAG_DAMAGED;
    this.counters.units++;
    if ((flags & FLAG_KEYFRAME) !== 0) this.counters.keyframes++;
    if ((flags & FLAG_DAMAGED) !== 0) this.counters.damagedUnits++;
    const sequence = this.#unitSequence++;
    const gapBefore = this.#gapBefore;
    this.#gapBefore = false;
    for (const sink of this.#unitSinks) {
      this.#deliver(sink, start, end, flags, {
        sequence,
        arrived: this.#unitArrived,
        completed: now,
        gapBefore,
        replayed: false,
      });
    }
  }

  #deliver(
    sink: UnitSink,
    start: number,
    end: number,
    flags: number,
    facts: Pick<Unit, "sequence" | "arrived" | "completed" | "gapBefore" | "replayed">,
  ): void {
    const whole = this.ring.holds(start) && assembler.assemble(this.ring, start, end);
    const timestamp = this.ring.timestamp(whole ? start : end - 1);
    sink.unit({
      bytes: assembler.bytes,
      length: whole ? assembler.length : 0,
      sequence: facts.sequence,
      timestamp,
      arrived: facts.arrived,
      completed: facts.completed,
      captured: this.clock.at(timestamp),
      capturedClock: this.clock.source,
      keyframe: (flags & FLAG_KEYFRAME) !== 0,
      damaged: !whole || (flags & FLAG_DAMAGED) !== 0,
      gapBefore: facts.gapBefore,
      replayed: facts.replayed,
    });
  }

  #replay(sink: UnitSink, from: number, end: number, now: Millis): void {
    const starts: number[] = [];
    for (let id = from; id < end; id++) {
      if ((this.ring.flags(id) & FLAG_START) !== 0) starts.push(id);
    }
    for (const [i, start] of starts.entries()) {
      const next = starts[i + 1] ?? end;
      let gapBefore = false;
      for (let id = start; id < next; id++) {
        if ((this.ring.flags(id) & FLAG_HOLE) !== 0) gapBefore = true;
      }
      const sequence = this.#unitSequence - (starts.length - i);
      const facts = { sequence, arrived: now, completed: now, gapBefore, replayed: true };
      this.#deliver(sink, start, next, this.ring.flags(start), facts);
    }
  }
}
