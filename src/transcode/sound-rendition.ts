/** One camera's sound as Opus. */
import { type RtpTicks, ticksBetween } from "../core/units.ts";
import { OPUS_CLOCK_HZ, OpusTranscoder, type SoundFormat } from "../native/av-opus.ts";
import { Meter } from "../picture/meter.ts";
import type { RenditionStats } from "../process/protocol.ts";
import type { Unit } from "../stream/sinks.ts";

/** Timestamps may be off by this much before sound is taken to be missing: 40 ms. */
const JITTER_SAMPLES = 0.04 * OPUS_CLOCK_HZ;
const SAMPLES_PER_MS = OPUS_CLOCK_HZ / 1_000;

export class SoundRendition implements Disposable {
  readonly #format: SoundFormat;
  readonly #emit: (unit: Unit) => void;
  readonly #opus: OpusTranscoder;
  /** Timestamp of the first unit in ticks of 48 kHz, and of the last one in its own. */
  #origin: number | null = null;
  #last: RtpTicks = 0;
  /** Ticks since the first unit, without the wrap. */
  #ticks = 0;
  #units = 0;
  #bytes = 0;
  readonly #encodeMs = new Meter();

  /**
   * @param emit takes each frame, borrowed, with a timestamp of 48 kHz
   * @throws Fault `native_unavailable`, `decode_failed`, `encode_failed`
   */
  constructor(format: SoundFormat, emit: (unit: Unit) => void) {
    this.#format = format;
    this.#emit = emit;
    this.#opus = new OpusTranscoder(format);
  }

  /** Takes the next unit, borrowed; `now` reads a clock, to measure with. */
  unit(unit: Unit, now: () => number): void {
    const started = now();
    // What is stored is past: sound is heard when it comes.
    if (unit.replayed || unit.damaged) return;
    const start = this.#follow(unit.timestamp);
    if (Math.abs(start - this.#opus.next) > JITTER_SAMPLES) this.#opus.skipTo(start);
    if (!this.#opus.push(unit.bytes.subarray(0, unit.length))) return;
    for (let frame = this.#opus.receive(); frame; frame = this.#opus.receive()) {
      this.#handOut(unit, frame.bytes, frame.sample, start);
    }
    this.#encodeMs.add(now() - started);
  }

  /** Counters since the start; times since the last call. */
  takeStats(): RenditionStats {
    return {
      codec: "opus",
      encoder: "libopus",
      width: 0,
      height: 0,
      units: this.#units,
      bytes: this.#bytes,
      encodeMs: this.#encodeMs.take(),
    };
  }

  [Symbol.dispose](): void {
    this.#opus.close();
  }

  /** Where the unit begins, in samples of 48 kHz since the first. */
  #follow(timestamp: RtpTicks): number {
    const perTick = OPUS_CLOCK_HZ / this.#format.clockHz;
    if (this.#origin === null) this.#origin = Math.round(timestamp * perTick);
    else this.#ticks += ticksBetween(timestamp, this.#last);
    this.#last = timestamp;
    return Math.round(this.#ticks * perTick);
  }

  #handOut(unit: Unit, bytes: Uint8Array, sample: number, start: number): void {
    this.#bytes += bytes.length;
    this.#emit({
      ...unit,
      bytes,
      length: bytes.length,
      sequence: this.#units++,
      timestamp: ((this.#origin ?? 0) + sample) % 2 ** 32,
      captured: unit.captured + (sample - start) / SAMPLES_PER_MS,
      keyframe: true,
      gapBefore: false,
    });
  }
}
