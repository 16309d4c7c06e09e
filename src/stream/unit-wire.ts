/**
 * Whole units from one process to another: from media to what decodes, and from what reads a
 * camera by libav to media. One connection per camera, one direction, little-endian; both ends are
 * of one build.
 *
 * ```text
 * message   u32  bytes of the body
 *           u8   kind: 1 hello, 2 unit, 3 replay ended
 *           u8   flags: 1 keyframe, 2 damaged, 4 gap before, 8 replayed, 16 captured by RTCP
 *           u8   track: 0 video, 1 audio; 0 in front of other bodies than a unit
 *           u8   0
 * hello     JSON: {camera, tracks}, what a track is encoded in as in rtp/track-format.ts with
 *           parameter sets in Base64; the first message, and only that
 * unit      u32  RTP timestamp, in the track's clock
 *           u32  from its first packet to its last, us
 *           f64  sequence
 *           f64  arrived, ms of CLOCK_MONOTONIC
 *           f64  captured, ms since 1970 UTC
 *           the unit: in Annex B form (H.264, H.265), a JPEG file, a frame
 * replay    empty: the units so far were stored ones, live ones follow
 * ```
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { isVideoCodec, type TrackFormat, type VideoCodec } from "../rtp/track-format.ts";
import type { Unit } from "./sinks.ts";

const HEAD_BYTES = 8;
const FACTS_BYTES = 32;
/** A stored unit is at most 8 MiB (rtp/assembler.ts). */
const BODY_BYTES_MAX = FACTS_BYTES + (8 << 20);
/** Two tracks with their parameter sets: each is at most a few hundred bytes. */
const HELLO_BYTES_MAX = 64 << 10;
/** A keyframe of 4 Mbps fits. */
const BUFFER_BYTES_FIRST = 256 << 10;

const KIND_HELLO = 1;
const KIND_UNIT = 2;
const KIND_REPLAY_ENDED = 3;

const TRACK_VIDEO = 0;
const TRACK_AUDIO = 1;

const FLAG_KEYFRAME = 1;
const FLAG_DAMAGED = 2;
const FLAG_GAP_BEFORE = 4;
const FLAG_REPLAYED = 8;
const FLAG_CAPTURED_BY_RTCP = 16;

/** What stands in front of a unit's bytes. */
export const UNIT_HEAD_BYTES = HEAD_BYTES + FACTS_BYTES;

export type TrackKind = TrackFormat["kind"];

/** Whose units a connection brings, and what they are encoded in. */
export interface Hello {
  readonly camera: string;
  readonly tracks: readonly TrackFormat[];
}

/** What the video track is encoded in; `null` when there is none. */
export function videoCodecOf(tracks: readonly TrackFormat[]): VideoCodec | null {
  return tracks.map(({ codec }) => codec).find(isVideoCodec) ?? null;
}

/** The first message of a connection. */
export function helloMessage({ camera, tracks }: Hello): Uint8Array {
  const plain = tracks.map((track) => ({
    ...track,
    parameterSets: track.parameterSets.map((set) => set.toBase64()),
  }));
  const body = new TextEncoder().encode(JSON.stringify({ camera, tracks: plain }));
  const message = new Uint8Array(HEAD_BYTES + body.length);
  writeHead(new DataView(message.buffer), 0, { body: body.length, kind: KIND_HELLO });
  message.set(body, HEAD_BYTES);
  return message;
}

/** Says that the replay is over. */
export function replayEndedMessage(): Uint8Array {
  const message = new Uint8Array(HEAD_BYTES);
  writeHead(new DataView(message.buffer), 0, { body: 0, kind: KIND_REPLAY_ENDED });
  return message;
}

/** What the sender knows of a unit besides the unit. */
export interface Placement {
  readonly kind: TrackKind;
  /** Something is missing in front of it, on its way included. */
  readonly gapBefore: boolean;
}

/** Writes UNIT_HEAD_BYTES at `at`; the unit's bytes follow. `placement` goes before the unit's own. */
export function writeUnitHead(into: DataView, at: number, unit: Unit, placement: Placement): void {
  const flags =
    (unit.keyframe ? FLAG_KEYFRAME : 0) |
    (unit.damaged ? FLAG_DAMAGED : 0) |
    (placement.gapBefore ? FLAG_GAP_BEFORE : 0) |
    (unit.replayed ? FLAG_REPLAYED : 0) |
    (unit.capturedClock === "rtcp" ? FLAG_CAPTURED_BY_RTCP : 0);
  const track = placement.kind === "video" ? TRACK_VIDEO : TRACK_AUDIO;
  writeHead(into, at, { body: FACTS_BYTES + unit.length, kind: KIND_UNIT, flags, track });
  into.setUint32(at + 8, unit.timestamp, true);
  into.setUint32(at + 12, Math.min((unit.completed - unit.arrived) * 1_000, 0xffff_ffff), true);
  into.setFloat64(at + 16, unit.sequence, true);
  into.setFloat64(at + 24, unit.arrived, true);
  into.setFloat64(at + 32, unit.captured, true);
}

interface Head {
  readonly body: number;
  readonly kind: number;
  readonly flags?: number;
  readonly track?: number;
}

function writeHead(into: DataView, at: number, { body, kind, flags = 0, track = 0 }: Head): void {
  into.setUint32(at, body, true);
  into.setUint8(at + 4, kind);
  into.setUint8(at + 5, flags);
  into.setUint8(at + 6, track);
  into.setUint8(at + 7, 0);
}

/** Takes what a connection says, in order. */
export interface UnitHandler {
  hello(hello: Hello): void;
  /** The unit and its bytes are borrowed until this returns. */
  unit(unit: Unit, kind: TrackKind): void;
  replayEnded(): void;
}

/** Push-parser: takes bytes cut anywhere. Holds one message at most. */
export class UnitReader {
  #bytes = new Uint8Array(BUFFER_BYTES_FIRST);
  #view = new DataView(this.#bytes.buffer);
  #start = 0;
  #end = 0;
  #greeted = false;
  readonly #handler: UnitHandler;

  constructor(handler: UnitHandler) {
    this.#handler = handler;
  }

  /**
   * Takes the next bytes, borrowed.
   *
   * @throws Fault `internal` when they are no messages; the connection is of no use then
   */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      this.#makeRoom();
      const take = Math.min(bytes.length - at, this.#bytes.length - this.#end);
      this.#bytes.set(bytes.subarray(at, at + take), this.#end);
      this.#end += take;
      at += take;
      while (this.#deliver()) {
        // One message after another.
      }
    }
  }

  /** Bytes of the message that begins the buffer, as far as its head has come. */
  #messageBytes(): number {
    if (this.#end - this.#start < HEAD_BYTES) return HEAD_BYTES;
    const body = this.#view.getUint32(this.#start, true);
    if (body > BODY_BYTES_MAX) throw malformed(`a message of ${body} bytes`);
    return HEAD_BYTES + body;
  }

  /** After this the buffer has room for more of its first message. */
  #makeRoom(): void {
    if (this.#start > 0) {
      this.#bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const wanted = this.#messageBytes();
    if (wanted <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  #deliver(): boolean {
    if (this.#end - this.#start < HEAD_BYTES) return false;
    const start = this.#start;
    const next = start + this.#messageBytes();
    if (next > this.#end) return false;
    this.#start = next;
    this.#message(this.#view.getUint8(start + 4), start, next);
    return true;
  }

  #message(kind: number, start: number, end: number): void {
    if (this.#greeted !== (kind !== KIND_HELLO)) throw malformed("no hello, or a second one");
    if (kind === KIND_UNIT) this.#unit(start, end);
    else if (kind === KIND_REPLAY_ENDED) this.#handler.replayEnded();
    else if (kind === KIND_HELLO) this.#hello(start + HEAD_BYTES, end);
    else throw malformed(`a message of kind ${kind}`);
  }

  #hello(start: number, end: number): void {
    if (end - start > HELLO_BYTES_MAX) throw malformed("a hello that is too long");
    this.#greeted = true;
    this.#handler.hello(readHello(this.#bytes.subarray(start, end)));
  }

  #unit(start: number, end: number): void {
    if (end - start < UNIT_HEAD_BYTES) throw malformed("a unit that is too short");
    const view = this.#view;
    const track = view.getUint8(start + 6);
    if (track > TRACK_AUDIO) throw malformed(`a unit of track ${track}`);
    const flags = view.getUint8(start + 5);
    const arrived = view.getFloat64(start + 24, true);
    const unit: Unit = {
      bytes: this.#bytes.subarray(start + UNIT_HEAD_BYTES, end),
      length: end - start - UNIT_HEAD_BYTES,
      timestamp: view.getUint32(start + 8, true),
      sequence: view.getFloat64(start + 16, true),
      arrived,
      completed: arrived + view.getUint32(start + 12, true) / 1_000,
      captured: view.getFloat64(start + 32, true),
      capturedClock: (flags & FLAG_CAPTURED_BY_RTCP) !== 0 ? "rtcp" : "arrival",
      keyframe: (flags & FLAG_KEYFRAME) !== 0,
      damaged: (flags & FLAG_DAMAGED) !== 0,
      gapBefore: (flags & FLAG_GAP_BEFORE) !== 0,
      replayed: (flags & FLAG_REPLAYED) !== 0,
    };
    this.#handler.unit(unit, track === TRACK_VIDEO ? "video" : "audio");
  }
}

/** Both ends are of one build, so only what comes from elsewhere does not have this shape. */
function readHello(json: Uint8Array): Hello {
  try {
    const { camera, tracks } = JSON.parse(new TextDecoder().decode(json)) as PlainHello;
    return { camera, tracks: tracks.map(trackOf) };
  } catch (cause) {
    throw malformed("a hello that is none", cause);
  }
}

type PlainTrack = Omit<TrackFormat, "parameterSets"> & { readonly parameterSets: string[] };
type PlainHello = { readonly camera: string; readonly tracks: PlainTrack[] };

function trackOf(plain: PlainTrack): TrackFormat {
  return { ...plain, parameterSets: plain.parameterSets.map((set) => Uint8Array.fromBase64(set)) };
}

function malformed(what: string, cause?: unknown): Fault {
  const message = `A unit connection brought ${what}; its two ends differ in build.`;
  return new Fault("internal", message, { cause });
}
