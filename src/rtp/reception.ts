/** Which source of a track is listened to, and what a receiver report says of it (RFC 3550). */
import type { Millis } from "../core/units.ts";
import { RTP_HEADER_BYTES, readU32 } from "./header.ts";
import type { ReceiverReport } from "./rtcp.ts";

/** What a packet means for the source that is listened to. */
export const Heard = { Same: 0, Changed: 1, Foreign: 2 } as const;
export type Heard = (typeof Heard)[keyof typeof Heard];

/** A source that was silent for this long may be taken for gone, and come back. */
const GONE_MS = 1_000;

/**
 * Follows a camera that changes its SSRC, once. Where two send at the same time, the one that came
 * last is listened to and the other is foreign: changing at every packet would lose both.
 */
export class Reception {
  #source = -1;
  #previous = -1;
  #heardAt: Millis = 0;
  #sequence = 0;
  #cycles = 0;

  /** Takes the head of the RTP packet in [start, end) of `b`. */
  hear(b: Uint8Array, start: number, end: number, now: Millis): Heard {
    if (end - start < RTP_HEADER_BYTES) return Heard.Same;
    const source = readU32(b, start + 8);
    const sequence = (b[start + 2]! << 8) | b[start + 3]!;
    if (source === this.#source) {
      this.#heardAt = now;
      this.#follow(sequence);
      return Heard.Same;
    }
    if (source === this.#previous && now - this.#heardAt < GONE_MS) return Heard.Foreign;
    const first = this.#source < 0;
    this.#previous = this.#source;
    this.#source = source;
    this.#heardAt = now;
    this.#sequence = sequence;
    this.#cycles = 0;
    return first ? Heard.Same : Heard.Changed;
  }

  /**
   * What to report; `null` while nothing was heard.
   *
   * @param ssrc names who reports
   * @param lost packets that never came
   */
  report(ssrc: number, lost: number): ReceiverReport | null {
    if (this.#source < 0) return null;
    const highestSequence = (this.#cycles & 0xffff) * 0x10000 + this.#sequence;
    return { ssrc, source: this.#source, highestSequence, lost };
  }

  #follow(sequence: number): void {
    if (((sequence - this.#sequence) & 0xffff) >= 0x8000) return;
    if (sequence < this.#sequence) this.#cycles++;
    this.#sequence = sequence;
  }
}
