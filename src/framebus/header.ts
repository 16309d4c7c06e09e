/**
 * The frame bus message: topic NUL, one line of JSON LF, payload. Normative description, field by
 * field: docs/wire/frame.md.
 *
 * @module
 */
import { assert, Fault } from "../core/fault.ts";
import type { UnixMs } from "../core/units.ts";
import type { CapturedClock } from "../rtp/media-clock.ts";
import type { FrameFacts } from "../stream/sinks.ts";
import type { FrameTopic } from "./topic.ts";

const VERSION = 1;
const NUL = 0;
const LF = 10;

/** Topic and header: about 500 bytes, and as much again for a long path. */
export const HEAD_BYTES_MAX = 4_096;

/** Where a picture lies in shared memory. */
export interface RingPlace {
  readonly path: string;
  readonly slot: number;
  /** Of the first pixel in the file. */
  readonly offset: number;
  /** Bytes of the picture. */
  readonly size: number;
  /** What the slot's generation counter says as long as it holds this picture. */
  readonly generation: number;
}

/** The JSON line. Times ending in `Ns` are exact, which a `number` could not be. */
interface FrameHeader extends RingPlace {
  readonly camera: string;
  readonly seq: number;
  readonly format: string;
  readonly width: number;
  readonly height: number;
  readonly stride: number;
  readonly rtpTimestamp: number;
  readonly ptsNs: bigint;
  readonly capturedAtNs: bigint;
  readonly capturedClock: CapturedClock;
  readonly decodedAtNs: bigint;
  readonly keyframe: boolean;
  readonly damaged: boolean;
  readonly droppedBefore: number;
}

/** One message taken apart. */
export interface FrameMessage {
  readonly topic: string;
  readonly header: FrameHeader;
  /** Empty for shared memory. A view of the message. */
  readonly payload: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Writes a message without payload into `into` (HEAD_BYTES_MAX long) and returns its length.
 *
 * @param name the topic as it stands in front, without NUL
 */
export function writeMessage(
  into: Uint8Array,
  name: string,
  { camera, format }: FrameTopic,
  facts: FrameFacts,
  place: RingPlace,
): number {
  const head =
    `${name}\0{"v":${VERSION},"camera":${JSON.stringify(camera)},"seq":${facts.sequence}` +
    `,"format":"${format.kind}"` +
    `,"width":${facts.width},"height":${facts.height},"stride":${facts.stride}` +
    `,"rtp_timestamp":${facts.timestamp},"pts_ns":${ticksNs(facts.mediaTicks)}` +
    `,"captured_at_ns":${unixNs(facts.captured)},"captured_clock":"${facts.capturedClock}"` +
    `,"decoded_at_ns":${unixNs(facts.decoded)}` +
    `,"keyframe":${facts.keyframe},"damaged":${facts.damaged}` +
    `,"dropped_before":${facts.droppedBefore},"path":${JSON.stringify(place.path)}` +
    `,"slot":${place.slot},"offset":${place.offset},"size":${place.size}` +
    `,"generation":${place.generation}}\n`;
  const { read, written } = encoder.encodeInto(head, into);
  assert(read === head.length, "a header fits into HEAD_BYTES_MAX");
  return written;
}

/** Nanoseconds as text: today's do not fit into a double, whose fraction of a millisecond does. */
function unixNs(ms: UnixMs): string {
  const whole = Math.floor(ms);
  return (BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1e6))).toString();
}

/** 90 000 ticks a second: 100 000 ns are nine ticks. Rounded down. */
function ticksNs(ticks: number): string {
  return ((BigInt(ticks) * 100_000n) / 9n).toString();
}

/**
 * Takes a message apart, strictly; fields that are not known are let pass.
 *
 * @throws Fault `request_invalid` when it is not a message of this version
 */
export function readMessage(message: Uint8Array): FrameMessage {
  const nul = message.indexOf(NUL);
  const end = message.indexOf(LF, nul + 1);
  if (nul < 0 || end < 0) throw malformed("no topic or no header");
  let text: string;
  let json: unknown;
  try {
    text = decoder.decode(message.subarray(nul + 1, end));
    json = JSON.parse(exactTimes(text));
  } catch (cause) {
    throw malformed("a header that is not JSON", cause);
  }
  const topic = decoder.decode(message.subarray(0, nul));
  return { topic, header: readHeader(new Fields(json)), payload: message.subarray(end + 1) };
}

/** Puts quotes around nanoseconds, so that JSON.parse keeps every digit. */
function exactTimes(json: string): string {
  return json.replace(/"(\w+_ns)"\s*:\s*(-?\d+)/g, '"$1":"$2"');
}

function readHeader(fields: Fields): FrameHeader {
  if (fields.whole("v") !== VERSION) throw malformed(`version ${fields.whole("v")}`);
  const clock = fields.text("captured_clock");
  if (clock !== "rtcp" && clock !== "arrival") throw malformed(`captured_clock ${clock}`);
  return {
    camera: fields.text("camera"),
    seq: fields.whole("seq"),
    format: fields.text("format"),
    width: fields.whole("width"),
    height: fields.whole("height"),
    stride: fields.whole("stride"),
    rtpTimestamp: fields.whole("rtp_timestamp"),
    ptsNs: fields.nanoseconds("pts_ns"),
    capturedAtNs: fields.nanoseconds("captured_at_ns"),
    capturedClock: clock,
    decodedAtNs: fields.nanoseconds("decoded_at_ns"),
    keyframe: fields.flag("keyframe"),
    damaged: fields.flag("damaged"),
    droppedBefore: fields.whole("dropped_before"),
    path: fields.text("path"),
    slot: fields.whole("slot"),
    offset: fields.whole("offset"),
    size: fields.whole("size"),
    generation: fields.whole("generation"),
  };
}

/** Typed access to parsed JSON. */
class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  constructor(json: unknown) {
    if (typeof json !== "object" || json === null) throw malformed("a header that is no object");
    this.#values = new Map(Object.entries(json));
  }
  text(name: string): string {
    const value = this.#values.get(name);
    if (typeof value === "string") return value;
    throw malformed(`no text ${name}`);
  }
  whole(name: string): number {
    const value = this.#values.get(name);
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    throw malformed(`no whole number ${name}`);
  }
  flag(name: string): boolean {
    const value = this.#values.get(name);
    if (typeof value === "boolean") return value;
    throw malformed(`no true or false ${name}`);
  }
  nanoseconds(name: string): bigint {
    return BigInt(this.text(name));
  }
}

function malformed(what: string, cause?: unknown): Fault {
  return new Fault("request_invalid", `Not a frame bus message: ${what}.`, { cause });
}
