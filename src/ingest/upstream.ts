/**
 * One upstream, whoever uses it: its pull runs while somebody holds it, and for a while after, in
 * case the next one comes soon. Several cameras may share one.
 *
 * @module
 */

import { unixMs } from "../native/clock.ts";
import { isPublished } from "../source/source.ts";
import type { CameraState } from "../stream/camera-state.ts";
import { Stream } from "../stream/stream.ts";
import { Pull, type PullerName, type PullOptions } from "./ingest.ts";

/** What the owner of an upstream is told. */
export interface UpstreamListener {
  state(state: CameraState): void;
  /** A track was added, replaced or taken away. */
  tracks(): void;
}

/** What somebody who sends a stream to the hub writes to. */
export interface UpstreamTarget {
  readonly stream: Stream;
  onState(state: CameraState): void;
}

/** How to pull; the upstream brings the stream and hears of the state. */
export type UpstreamOptions = Omit<PullOptions, "stream" | "onState">;

export class Upstream implements AsyncDisposable {
  readonly stream = new Stream();
  readonly #options: UpstreamOptions;
  readonly #listeners = new Set<UpstreamListener>();
  #pull: Pull | null = null;
  #state: CameraState = { at: "idle", since: unixMs() };
  #holds = 0;
  #linger: Timer | null = null;
  /** The camera is taken leave of before it is pulled anew. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;
  // Of pulls that are over.
  #connects = 0;
  #reconnects = 0;
  #bugs = 0;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.stream.onChange = () => {
      for (const listener of [...this.#listeners]) listener.tracks();
    };
  }

  /** Somebody sends it to the hub, instead of the hub pulling it. */
  get isPublished(): boolean {
    return isPublished(this.#options.source.reveal());
  }

  /** For good. */
  get closed(): boolean {
    return this.#closed;
  }

  get state(): CameraState {
    return this.#state;
  }

  /** What fetches it; `null` while nothing does. */
  get puller(): PullerName | null {
    return this.#pull?.puller ?? null;
  }

  /** What carries the media (`tcp`, `udp`); `null` while nothing does, or when it is not known. */
  get transport(): string | null {
    return this.#pull?.transport ?? null;
  }

  /** Counters since the upstream was made; they only grow. */
  get counters(): {
    readonly connects: number;
    readonly reconnects: number;
    readonly bugs: number;
  } {
    const now = this.#pull?.counters;
    return {
      connects: this.#connects + (now?.connects ?? 0),
      reconnects: this.#reconnects + (now?.reconnects ?? 0),
      bugs: this.#bugs + (now?.bugs ?? 0),
    };
  }

  /** Tells of what happens from now on. Returns how to end that. */
  listen(listener: UpstreamListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Pulls until what it returns is called, and then `lingerMs` longer unless somebody else holds
   * it. To let go twice is to let go once.
   */
  hold(lingerMs: number): () => void {
    this.#holds++;
    this.#stopLinger();
    this.#settle();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holds--;
      if (this.#holds > 0 || this.#closed) return;
      this.#stopLinger();
      this.#linger = setTimeout(() => {
        this.#linger = null;
        this.#settle();
      }, lingerMs);
    };
  }

  /** Whether it is live, at the latest after this time. For whoever holds it. */
  async untilLive(timeoutMs: number): Promise<boolean> {
    if (this.#state.at === "live") return true;
    if (isOver(this.#state)) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), timeoutMs);
    const leave = this.listen({
      state: (state) => {
        if (state.at === "live") resolve(true);
        else if (isOver(state)) resolve(false);
      },
      tracks: () => {},
    });
    return promise.finally(() => {
      clearTimeout(timer);
      leave();
    });
  }

  /** Where somebody's pushed stream goes; `null` for what is pulled. */
  publish(): UpstreamTarget | null {
    if (!this.isPublished || this.#closed) return null;
    const onState = (state: CameraState): void => {
      if (state.at === "live") this.#connects++;
      this.#enter(state);
    };
    return { stream: this.stream, onState };
  }

  /** Ends the pull for good. Consumers of its tracks are told that they ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#holds = 0;
    this.#stopLinger();
    this.#settle();
    await this.#turn;
    this.stream.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #wanted(): boolean {
    return !this.#closed && (this.#holds > 0 || this.#linger !== null);
  }

  #stopLinger(): void {
    if (this.#linger !== null) clearTimeout(this.#linger);
    this.#linger = null;
  }

  /** Brings about what is wanted, after whatever is under way. */
  #settle(): void {
    this.#turn = this.#turn.then(async () => {
      if (this.#wanted && this.#pull === null) this.#begin();
      else if (!this.#wanted && this.#pull !== null) await this.#finish(this.#pull);
    });
  }

  #enter(state: CameraState): void {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener.state(state);
  }

  #begin(): void {
    // It comes by itself.
    if (this.isPublished) return;
    this.#pull = new Pull({
      ...this.#options,
      stream: this.stream,
      onState: (state) => this.#enter(state),
    });
    this.#pull.start();
  }

  async #finish(pull: Pull): Promise<void> {
    await pull.close();
    this.#pull = null;
    this.#connects += pull.counters.connects;
    this.#reconnects += pull.counters.reconnects;
    this.#bugs += pull.counters.bugs;
    // Nobody holds it: what the rings hold is stale by the time somebody does.
    this.stream.describe([]);
  }
}

/** What only a person can mend is not worth waiting for. */
function isOver({ at }: CameraState): boolean {
  return at === "refused" || at === "ended";
}
