/**
 * Sends one camera's units to the process that wants them, over a Unix socket. Runs in the media
 * process and never waits: what the socket does not take is kept up to a bound, and beyond that
 * whole units are left out.
 *
 * @module
 */
import type { Socket } from "bun";
import { assert, Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import type { Unit, UnitSink } from "./sinks.ts";
import {
  type Hello,
  helloMessage,
  replayEndedMessage,
  type TrackKind,
  UNIT_HEAD_BYTES,
  writeUnitHead,
} from "./unit-wire.ts";

/** The largest group of pictures that a stream replays (16 MiB), and room for live units behind. */
const PENDING_BYTES_MAX = 20 << 20;
/** Kept for the next backlog; anything larger is given back once it has drained. */
const PENDING_BYTES_KEPT = 256 << 10;
/** A peer that takes nothing for so long does not decode in time whatever it is sent. */
const STALL_MS: Millis = 1_000;

export interface UnitFeedOptions extends Hello {
  /** Where the other process listens. */
  readonly socket: string;
  /** Called once when the other process is gone, or a track ended. Not called by `close`. */
  readonly gone: () => void;
}

/** Counters since the feed was opened. */
export interface UnitFeedCounters {
  sent: number;
  /** Whole units that were left out because the peer did not take them. */
  dropped: number;
}

type State =
  | { readonly at: "open" }
  /** Nothing is written any more; units are ignored. */
  | { readonly at: "closed" };

/** What a feed sends: the tracks that are wanted, `null` for one that is not. */
export interface UnitSources {
  readonly video: UnitSource | null;
  readonly audio: UnitSource | null;
}

/** A track, as far as a feed knows it. */
export interface UnitSource {
  /** See track.ts. */
  attachUnits(sink: UnitSink, now: Millis): () => void;
}

export class UnitFeed implements Disposable {
  readonly counters: UnitFeedCounters = { sent: 0, dropped: 0 };
  readonly #socket: Socket;
  readonly #gone: () => void;
  #state: State = { at: "open" };
  #detach: readonly (() => void)[] | null = null;
  /** Bytes from `#start` to `#end` are yet to be written. */
  #pending = new Uint8Array(PENDING_BYTES_KEPT);
  #view = new DataView(this.#pending.buffer);
  #start = 0;
  #end = 0;
  /** When the peer last took something; counts only while something is pending. */
  #progressAt: Millis = 0;
  readonly #droppedBefore: Record<TrackKind, boolean> = { video: false, audio: false };

  private constructor(socket: Socket, gone: () => void) {
    this.#socket = socket;
    this.#gone = gone;
  }

  /**
   * Connects, and says what will come.
   *
   * @throws Fault `process_down` when it does not listen
   */
  static async open(options: UnitFeedOptions): Promise<UnitFeed> {
    const gone = Promise.withResolvers<void>();
    const drained: { call: () => void } = { call: () => {} };
    const socket = await connect(options.socket, () => drained.call(), gone.resolve);
    const feed = new UnitFeed(socket, options.gone);
    drained.call = () => feed.#flush(monotonicMs());
    void gone.promise.then(() => {
      feed.ended();
    });
    feed.#append(helloMessage(options));
    feed.#flush(monotonicMs());
    return feed;
  }

  /** Bytes that wait for the peer. */
  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  /**
   * Sends the current group of pictures, and what sound is held, and then every unit, until `close`.
   * Once only.
   */
  follow({ video, audio }: UnitSources, now: Millis): void {
    assert(this.#detach === null, "a feed follows one stream");
    if (this.#state.at === "closed") return;
    const attach = (source: UnitSource | null, kind: TrackKind): (() => void)[] =>
      source ? [source.attachUnits(this.#sinkOf(kind), now)] : [];
    this.#detach = [...attach(video, "video"), ...attach(audio, "audio")];
    this.#append(replayEndedMessage());
    this.#flush(now);
  }

  #sinkOf(kind: TrackKind): UnitSink {
    return { unit: (unit) => this.unit(unit, kind), ended: () => this.ended() };
  }

  /** Sends one unit, borrowed, or leaves it out when the peer does not keep up. */
  unit(unit: Unit, kind: TrackKind): void {
    if (this.#state.at === "closed") return;
    if (!this.#takes(unit)) {
      this.counters.dropped++;
      this.#droppedBefore[kind] = true;
      return;
    }
    if (this.pendingBytes === 0) this.#progressAt = unit.completed;
    const at = this.#reserve(UNIT_HEAD_BYTES + unit.length);
    const gapBefore = unit.gapBefore || this.#droppedBefore[kind];
    writeUnitHead(this.#view, at, unit, { kind, gapBefore });
    this.#pending.set(unit.bytes.subarray(0, unit.length), at + UNIT_HEAD_BYTES);
    this.#droppedBefore[kind] = false;
    this.counters.sent++;
    this.#flush(unit.completed);
  }

  /** A track ended, or the peer is gone: whoever opened the feed is told. */
  ended(): void {
    if (this.close()) this.#gone();
  }

  /** Ends the connection; what is pending is thrown away. False when it had ended already. */
  close(): boolean {
    if (this.#state.at === "closed") return false;
    this.#state = { at: "closed" };
    for (const detach of this.#detach ?? []) detach();
    this.#socket.terminate();
    this.#pending = new Uint8Array(0);
    this.#start = 0;
    this.#end = 0;
    return true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #takes(unit: Unit): boolean {
    if (this.pendingBytes === 0) return true;
    const stalled = unit.completed - this.#progressAt > STALL_MS;
    return !stalled && this.pendingBytes + UNIT_HEAD_BYTES + unit.length <= PENDING_BYTES_MAX;
  }

  #append(message: Uint8Array): void {
    const at = this.#reserve(message.length);
    this.#pending.set(message, at);
  }

  /** Makes `bytes` more pending, and returns where in `#pending` they go. */
  #reserve(bytes: number): number {
    if (this.#end + bytes > this.#pending.length) this.#compact(bytes);
    const at = this.#end;
    this.#end += bytes;
    return at;
  }

  /** Moves what is pending to the front, of a larger buffer when need be. */
  #compact(more: number): void {
    const length = this.pendingBytes;
    const old = this.#pending;
    if (length + more > old.length) {
      this.#pending = new Uint8Array(
        Math.max(length + more, Math.min(old.length * 2, PENDING_BYTES_MAX)),
      );
      this.#view = new DataView(this.#pending.buffer);
    }
    this.#pending.set(old.subarray(this.#start, this.#end));
    this.#start = 0;
    this.#end = length;
  }

  #flush(now: Millis): void {
    if (this.#start === this.#end) return;
    const written = this.#socket.write(this.#pending, this.#start, this.#end - this.#start);
    // Negative when the peer is gone, which the socket's `close` tells.
    if (written > 0) {
      this.#start += written;
      this.#progressAt = now;
    }
    if (this.#start === this.#end) this.#drained();
  }

  #drained(): void {
    this.#start = 0;
    this.#end = 0;
    if (this.#pending.length <= PENDING_BYTES_KEPT) return;
    this.#pending = new Uint8Array(PENDING_BYTES_KEPT);
    this.#view = new DataView(this.#pending.buffer);
  }
}

async function connect(path: string, drain: () => void, gone: () => void): Promise<Socket> {
  try {
    const end = gone;
    const close = gone;
    const error = gone;
    // The peer has nothing to say.
    const data = (): void => {};
    return await Bun.connect({ unix: path, socket: { data, drain, end, close, error } });
  } catch (cause) {
    const message = `Nobody takes units at ${path}; the process that should is restarted by itself.`;
    throw new Fault("process_down", message, { cause });
  }
}
