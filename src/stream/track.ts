/**
 * One track of a camera, live. Ingest writes RTP packets or whole units in; every consumer reads
 * the same ring.
 *
 * Within one turn of the event loop ingest calls `receive` for each packet that a socket read
 * brought, and `Stream.flush` once at the end; the sinks run inside it.
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
import type { Millis, RtpTicks, UnixMs } from "../core/units.ts";
import { type Assembler, createAssembler } from "../rtp/assembler.ts";
import { emptyRtpHeader, readRtpHeader } from "../rtp/header.ts";
import { MediaClock } from "../rtp/media-clock.ts";
import { type Repacketizer, Verdict, type WholeUnit } from "../rtp/repacketizer.ts";
import { createRepacketizer } from "../rtp/repacketizers.ts";
import { eachRtcp, RTCP_SR, readSenderReport, type SenderReport } from "../rtp/rtcp.ts";
import { Timeline } from "../rtp/timeline.ts";
import type { Codec, TrackFormat } from "../rtp/track-format.ts";
import type { PacketSink, Unit, UnitSink } from "./sinks.ts";

/** Two groups of pictures of 2 s at 2 Mbps; grows as soon as one does not fit. */
const VIDEO_BYTES_MIN = 1 << 20;
/** Ten seconds at 12 Mbps: the longest group of pictures that cameras are sold with. */
const VIDEO_BYTES_MAX = 16 << 20;
/** Two seconds of the loudest codec, G.711 (64 kbps), and four times that. Audio never grows it. */
const AUDIO_BYTES = 64 << 10;

/** Counters since the track was made; they only grow. */
export interface TrackCounters {
  packets: number;
  bytes: number;
  units: number;
  keyframes: number;
  damagedUnits: number;
  late: number;
  malformed: number;
}

/** One per codec serves every camera of a process: a unit is borrowed during one call only. */
const assemblers = new Map<Codec, Assembler>();

function assemblerOf(codec: Codec): Assembler {
  let assembler = assemblers.get(codec);
  if (assembler === undefined) {
    assembler = createAssembler(codec);
    assemblers.set(codec, assembler);
  }
  return assembler;
}

export class Track {
  readonly format: TrackFormat;
  readonly ring: PacketRing;
  readonly clock: MediaClock;
  readonly counters: TrackCounters = {
    packets: 0,
    bytes: 0,
    units: 0,
    keyframes: 0,
    damagedUnits: 0,
    late: 0,
    malformed: 0,
  };
  /** Timestamp of the newest packet. */
  newestTimestamp: RtpTicks = 0;

  readonly #header = emptyRtpHeader();
  readonly #writer: Repacketizer;
  readonly #timeline: Timeline;
  readonly #assembler: Assembler;
  // Replaced, never changed: a sink may leave while the list is being walked.
  #packetSinks: readonly PacketSink[] = [];
  #unitSinks: readonly UnitSink[] = [];
  #jumps = 0;
  /** Waits for the next unit: what it says is about a stream that may not have begun. */
  #report: SenderReport | null = null;
  #flushed = 0;
  // The unit that flush is looking at, -1 when none is open.
  #unitStart = -1;
  #unitArrived: Millis = 0;
  #gapBefore = false;
  #unitSequence = 0;

  constructor(format: TrackFormat) {
    this.format = format;
    this.ring =
      format.kind === "video"
        ? new PacketRing(VIDEO_BYTES_MIN, VIDEO_BYTES_MAX)
        : new PacketRing(AUDIO_BYTES, AUDIO_BYTES);
    this.clock = new MediaClock(format.clockHz);
    this.#timeline = new Timeline(format.clockHz);
    this.#writer = createRepacketizer(format, this.ring);
    this.#assembler = assemblerOf(format.codec);
    this.#writer.offerParameterSets(format.parameterSets);
  }

  /** Packets that were missing upstream, by sequence number. */
  get lost(): number {
    return this.#writer.lost;
  }

  /** Pixels of the picture, `null` until known, and of audio. */
  get picture(): Repacketizer["picture"] {
    return this.#writer.picture;
  }

  /** What a decoder needs beforehand, as last seen; see TrackFormat. */
  get parameterSets(): readonly Uint8Array[] {
    return this.#writer.parameterSets;
  }

  /** Counts changes of `picture` and `parameterSets`. */
  get changes(): number {
    return this.#writer.changes;
  }

  /** First packet of the newest group of pictures that can be decoded; -1 when none is held. */
  get keyframe(): number {
    const id = this.#writer.keyframe;
    return this.ring.holds(id) ? id : -1;
  }

  /** Parameter sets from the session description; those in band replace them. */
  offerParameterSets(sets: readonly Uint8Array[]): void {
    this.#writer.offerParameterSets(sets);
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
    this.#count(this.#writer.push(b, header, this.#place(header.timestamp, now)));
  }

  /**
   * Takes a whole unit of a source that is no RTP, in [start, end) of `b`, borrowed. Its timestamp
   * is in ticks of the track's clock. Sinks see it at the next `flush`.
   */
  receiveUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit, now: Millis): void {
    this.counters.packets++;
    this.counters.bytes += end - start;
    const timestamp = this.#place(unit.timestamp, now);
    this.#count(this.#writer.pushUnit(b, start, end, { ...unit, timestamp }));
  }

  /** Takes the RTCP compound in [start, end) of `b`, borrowed. */
  receiveControl(b: Uint8Array, start: number, end: number): void {
    eachRtcp(b, start, end, (type, _count, at, next) => {
      if (type !== RTCP_SR) return;
      const report = readSenderReport(b, at, next);
      // One that may be about another stream does not displace one that is about this.
      const { ssrc } = this.#header;
      if (report === null) return;
      if (report.ssrc === ssrc || this.#report?.ssrc !== ssrc) this.#report = report;
    });
  }

  /** The turn is over: sinks see what it brought. `wall` is when that was. */
  flush(now: Millis, wall: UnixMs): void {
    const from = this.#flushed;
    const to = this.ring.head;
    if (from === to) return;
    this.#flushed = to;
    this.newestTimestamp = this.ring.timestamp(to - 1);
    for (const sink of this.#packetSinks) sink.packets(from, to, now);
    for (let id = Math.max(from, this.ring.tail); id < to; id++) this.#look(id, now, wall);
  }

  /** The upstream session ended; the next one goes on in the same ring, on the same timeline. */
  restart(): void {
    this.#writer.restart();
    this.#timeline.restart();
    this.#report = null;
    this.clock.reset();
  }

  /** Nothing comes after this: the camera sends another codec now, or is not pulled any more. */
  end(): void {
    const sinks = [...this.#packetSinks, ...this.#unitSinks];
    this.#packetSinks = [];
    this.#unitSinks = [];
    for (const sink of sinks) sink.ended();
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

  #count(verdict: Verdict): void {
    if (verdict === Verdict.Late) this.counters.late++;
    else if (verdict === Verdict.Malformed) this.counters.malformed++;
  }

  /** The camera's timestamp on the track's own timeline. */
  #place(camera: RtpTicks, now: Millis): RtpTicks {
    const timestamp = this.#timeline.place(camera, now);
    if (this.#timeline.jumps !== this.#jumps) {
      this.#jumps = this.#timeline.jumps;
      this.clock.reset();
    }
    return timestamp;
  }

  /** Follows unit boundaries packet by packet; hands out each unit that is complete. */
  #look(id: number, now: Millis, wall: UnixMs): void {
    const flags = this.ring.flags(id);
    if ((flags & FLAG_START) !== 0) {
      if (this.#unitStart >= 0) this.#complete(id, now);
      this.#unitStart = id;
      this.#unitArrived = now;
      this.#tellClock(this.ring.timestamp(id), now, wall);
    }
    if ((flags & FLAG_HOLE) !== 0) this.#gapBefore = true;
    if ((flags & FLAG_MARKER) !== 0 && this.#unitStart >= 0) this.#complete(id + 1, now);
  }

  #tellClock(timestamp: RtpTicks, now: Millis, wall: UnixMs): void {
    const report = this.#report;
    this.#report = null;
    if (report?.ssrc === this.#header.ssrc) {
      this.clock.reported((report.timestamp + this.#timeline.offset) >>> 0, report.wallClock);
    }
    this.clock.arrived(timestamp, now, wall);
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
    const whole =
      this.ring.holds(start) && this.#assembler.assemble(this.ring, start, end, this.picture);
    const timestamp = this.ring.timestamp(whole ? start : end - 1);
    sink.unit({
      bytes: this.#assembler.bytes,
      length: whole ? this.#assembler.length : 0,
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
