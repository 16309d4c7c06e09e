/**
 * Reads an RTSP byte stream: requests, responses and interleaved packets mixed, cut anywhere.
 *
 * While no element is cut by the end of a chunk, packets are delivered as offsets into that chunk.
 * Only the cut one is copied: its beginning into the stash, then just the bytes that complete it.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { INTERLEAVED_HEADER_BYTES, INTERLEAVED_MAGIC, type PacketSink } from "./interleaved.ts";
import {
  contentLength,
  HEADERS_MAX,
  HeaderFields,
  type Message,
  type MessageHead,
  parseHead,
  parseStartLine,
} from "./message.ts";
import { printable } from "./printable.ts";

/** Far above any real head; a bound against a peer that never ends its own. */
export const HEAD_BYTES_MAX = 64 << 10;
/** Far above any session description. */
export const BODY_BYTES_MAX = 1 << 20;
/** Holds most cut packets without growing. */
const STASH_BYTES_FIRST = 4 << 10;
/** Holds every cut packet; a stash that grew larger served a message, and is given back after it. */
const STASH_BYTES_KEPT = 128 << 10;

const CR = 0x0d;
const LF = 0x0a;
const MORE = -1;

/** A message whose head is complete and whose body may not be. */
interface PendingBody {
  readonly head: MessageHead;
  readonly headBytes: number;
  readonly bodyBytes: number;
}

/** One connection's reader. */
export class RtspReader {
  readonly #onPacket: PacketSink;
  readonly #onMessage: (message: Message) => void;
  #stash = new Uint8Array(STASH_BYTES_FIRST);
  #stashed = 0;
  // Progress within the message being read, relative to its start.
  #lineStart = 0;
  #lines = 0;
  #pending: PendingBody | null = null;

  /** Both are called during `push`, in the order of the stream. The message is the receiver's own. */
  constructor(onPacket: PacketSink, onMessage: (message: Message) => void) {
    this.#onPacket = onPacket;
    this.#onMessage = onMessage;
  }

  /** Bytes allocated for elements that chunks cut; bounded by HEAD_BYTES_MAX and BODY_BYTES_MAX. */
  get stashBytes(): number {
    return this.#stash.length;
  }

  /**
   * Takes the next bytes of the stream, borrowed. Throws a Fault `camera_protocol` when they are not
   * RTSP; the reader is of no use after that.
   */
  push(chunk: Uint8Array): void {
    let at = this.#stashed > 0 ? this.#completeStashed(chunk) : 0;
    while (at < chunk.length) {
      const next = this.#take(chunk, at, chunk.length);
      if (next === MORE) {
        this.#keep(chunk, at, chunk.length);
        return;
      }
      at = next;
    }
  }

  /** Delivers the element that starts at `at`. Returns where it ends, or MORE when it is cut. */
  #take(b: Uint8Array, at: number, end: number): number {
    const first = b[at]!;
    if (first === INTERLEAVED_MAGIC) {
      const start = at + INTERLEAVED_HEADER_BYTES;
      if (start > end) return MORE;
      const next = start + ((b[at + 2]! << 8) | b[at + 3]!);
      if (next > end) return MORE;
      this.#onPacket(b[at + 1]!, b, start, next);
      return next;
    }
    // RFC 2326 section 4.1 by way of RFC 2068: blank lines before a message are skipped.
    if (first === CR || first === LF) return at + 1;
    if (!isLetter(first)) {
      const seen = printable(b.subarray(at, end));
      throw new Fault("camera_protocol", `expected RTSP, got ${seen}`);
    }
    return this.#takeMessage(b, at, end);
  }

  #takeMessage(b: Uint8Array, at: number, end: number): number {
    const pending = this.#pending ?? this.#takeHead(b, at, end);
    if (pending === null) return MORE;
    const bodyStart = at + pending.headBytes;
    const next = bodyStart + pending.bodyBytes;
    if (next > end) {
      this.#pending = pending;
      return MORE;
    }
    this.#pending = null;
    this.#lineStart = 0;
    this.#lines = 0;
    this.#onMessage({ ...pending.head, body: b.slice(bodyStart, next) });
    return next;
  }

  #takeHead(b: Uint8Array, at: number, end: number): PendingBody | null {
    const headBytes = this.#headBytes(b, at, end);
    if (headBytes === MORE) return null;
    const head = parseHead(textOf(b, at, at + headBytes));
    const bodyBytes = contentLength(head.headers);
    if (bodyBytes > BODY_BYTES_MAX) {
      throw new Fault("camera_protocol", `a message body of ${bodyBytes} bytes is too long`);
    }
    return { head, headBytes, bodyBytes };
  }

  /** Follows the head line by line to the blank one. */
  #headBytes(b: Uint8Array, at: number, end: number): number {
    for (;;) {
      const start = at + this.#lineStart;
      const lf = b.indexOf(LF, start);
      const cut = lf < 0 || lf >= end;
      if ((cut ? end : lf) - at > HEAD_BYTES_MAX || this.#lines > HEADERS_MAX) {
        const seen = printable(b.subarray(at, end));
        throw new Fault("camera_protocol", `a message head does not end: ${seen}`);
      }
      if (cut) return MORE;
      // What is not RTSP is told by its first line, however long the rest is in coming.
      if (this.#lines === 0) parseStartLine(textOf(b, at, lf), new HeaderFields());
      this.#lines++;
      this.#lineStart = lf + 1 - at;
      if (lf === start || (lf === start + 1 && b[start] === CR)) return this.#lineStart;
    }
  }

  /** Completes the cut element with bytes of the chunk. Returns how many it took. */
  #completeStashed(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length) {
      const next = Math.min(chunk.length, at + this.#wanted(chunk, at));
      this.#keep(chunk, at, next);
      at = next;
      const length = this.#stashed;
      if (this.#take(this.#stash, 0, length) === MORE) continue;
      this.#stashed = 0;
      if (this.#stash.length > STASH_BYTES_KEPT) this.#stash = new Uint8Array(STASH_BYTES_FIRST);
      break;
    }
    return at;
  }

  /** How many more bytes the cut element needs before another look at it is worth while. */
  #wanted(chunk: Uint8Array, at: number): number {
    const stash = this.#stash;
    if (stash[0] === INTERLEAVED_MAGIC) {
      if (this.#stashed < INTERLEAVED_HEADER_BYTES) return INTERLEAVED_HEADER_BYTES - this.#stashed;
      return INTERLEAVED_HEADER_BYTES + ((stash[2]! << 8) | stash[3]!) - this.#stashed;
    }
    if (this.#pending) return this.#pending.headBytes + this.#pending.bodyBytes - this.#stashed;
    const lf = chunk.indexOf(LF, at);
    return (lf < 0 ? chunk.length : lf + 1) - at;
  }

  #keep(b: Uint8Array, start: number, end: number): void {
    const length = this.#stashed + end - start;
    if (length > this.#stash.length) {
      const grown = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
      grown.set(this.#stash.subarray(0, this.#stashed));
      this.#stash = grown;
    }
    this.#stash.set(b.subarray(start, end), this.#stashed);
    this.#stashed = length;
  }
}

/** Methods and `RTSP` begin with one. */
function isLetter(byte: number): boolean {
  return (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;
}

function textOf(b: Uint8Array, start: number, end: number): string {
  return new TextDecoder().decode(b.subarray(start, end));
}
