/**
 * Reads one source by libav to its end: says what it is, then hands out its units, in time.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import type { Millis, RtpTicks } from "../core/units.ts";
import { AvInput, type AvPacket, type AvTrack } from "../native/av-demux.ts";
import { monotonicMs } from "../native/clock.ts";
import type { TrackFormat } from "../rtp/track-format.ts";
import type { AvSource } from "../source/av-source.ts";
import type { TrackKind } from "../stream/unit-wire.ts";
import { avFault } from "./av-fault.ts";
import { AvTrackReader, formatOf } from "./av-track.ts";
import { Pacer } from "./pacer.ts";

/** Packets that are kept until the sound has said what it is: two seconds of video with sound. */
const HELD_PACKETS_MAX = 200;

/** Takes what a source has. */
export interface AvReceiver {
  /** First, and once. */
  described(formats: readonly TrackFormat[]): void;
  /** The bytes are borrowed until it returns. */
  unit(kind: TrackKind, unit: AvUnit): void;
}

/** One whole unit in `b` from `start` to `end`. */
export interface AvUnit {
  readonly b: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** In the clock of the track's format. */
  readonly timestamp: RtpTicks;
  /** Something in front of it is missing. */
  readonly gapBefore: boolean;
}

/**
 * Resolves at the end of a source that has one, or when aborted.
 *
 * @throws Fault that says why the source cannot be read, any more or at all
 */
export async function readSource(
  source: AvSource,
  receiver: AvReceiver,
  signal: AbortSignal,
): Promise<void> {
  try {
    await using input = await AvInput.open(source, signal);
    await new AvReader(source, input, receiver, signal).run();
  } catch (thrown) {
    if (!signal.aborted) throw avFault(thrown, source);
  }
}

type Readers = Partial<Record<TrackKind, AvTrackReader>>;

class AvReader {
  readonly #source: AvSource;
  readonly #input: AvInput;
  readonly #receiver: AvReceiver;
  readonly #signal: AbortSignal;
  readonly #pacer: Pacer | null;
  /** Seconds of earlier rounds. */
  #offset = 0;
  #first = Number.POSITIVE_INFINITY;
  #last = 0;
  /** A damaged packet was left out, and the next one has to say so. */
  readonly #missing: Record<TrackKind, boolean> = { video: false, audio: false };

  constructor(source: AvSource, input: AvInput, receiver: AvReceiver, signal: AbortSignal) {
    this.#source = source;
    this.#input = input;
    this.#receiver = receiver;
    this.#signal = signal;
    this.#pacer = source.paced ? new Pacer(monotonicMs) : null;
  }

  async run(): Promise<void> {
    const { held, readers } = await this.#describe();
    for (const packet of held) await this.#hand(packet, readers);
    while (!this.#signal.aborted) {
      const packet = await this.#input.read();
      if (packet !== null) await this.#hand(packet, readers);
      else if (!(await this.#again())) return;
    }
  }

  /** Reads until every track has said what it is; keeps what it read. */
  async #describe(): Promise<{ held: AvPacket[]; readers: Readers }> {
    const { tracks } = this.#input;
    const held: AvPacket[] = [];
    const described = (): (TrackFormat | null | undefined)[] =>
      tracks.map((track) => formatOf(track, held.find(({ kind }) => kind === track.kind) ?? null));
    let formats = described();
    while (formats.includes(null) && held.length < HELD_PACKETS_MAX) {
      const packet = await this.#input.read();
      if (packet === null) break;
      held.push({ ...packet, bytes: Uint8Array.from(packet.bytes) });
      formats = described();
    }
    const usable = formats.filter((format) => format !== null && format !== undefined);
    if (!usable.some(({ kind }) => kind === "video")) throw this.#unsupported(tracks);
    this.#receiver.described(usable);
    return { held, readers: this.#readersFor(usable) };
  }

  #unsupported(tracks: readonly AvTrack[]): Fault {
    const { label } = this.#source;
    const video = tracks.find(({ kind }) => kind === "video");
    const has = video ? `video ${video.codecName}` : "no video";
    const wanted = "the hub takes H.264, H.265, MJPEG and VP8";
    return new Fault("track_unsupported", `${label} has ${has}; ${wanted}: set it so there.`);
  }

  #readersFor(formats: readonly TrackFormat[]): Readers {
    const readers: Readers = {};
    for (const format of formats) {
      const { kind } = format;
      readers[kind] = new AvTrackReader(format, (b, start, end, timestamp) =>
        this.#receiver.unit(kind, { b, start, end, timestamp, gapBefore: this.#gap(kind) }),
      );
    }
    return readers;
  }

  async #hand(packet: AvPacket, readers: Readers): Promise<void> {
    const shown = packet.presentation ?? packet.decode;
    if (shown !== null) {
      this.#first = Math.min(this.#first, shown);
      this.#last = Math.max(this.#last, shown + packet.duration);
    }
    const due = packet.decode ?? packet.presentation;
    const waitMs = due === null ? 0 : (this.#pacer?.waitMs(due + this.#offset) ?? 0);
    if (waitMs > 0) await this.#pause(waitMs);
    if (packet.damaged) this.#missing[packet.kind] = true;
    else readers[packet.kind]?.packet(packet, this.#offset);
  }

  /** Whether something is missing, told once. */
  #gap(kind: TrackKind): boolean {
    const missing = this.#missing[kind];
    this.#missing[kind] = false;
    return missing;
  }

  /** True when the source was taken back to its start. */
  async #again(): Promise<boolean> {
    if (!this.#source.looped || !Number.isFinite(this.#first)) return false;
    await this.#input.rewind();
    this.#offset += this.#last - this.#first;
    return true;
  }

  #pause(ms: Millis): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const wake = (): void => resolve();
    this.#signal.addEventListener("abort", wake, { once: true });
    return promise.finally(() => {
      clearTimeout(timer);
      this.#signal.removeEventListener("abort", wake);
    });
  }
}
