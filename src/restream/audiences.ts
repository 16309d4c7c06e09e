/** The audiences of all tracks that somebody reads, and the timer for those who are behind. */
import { monotonicMs } from "../native/clock.ts";
import type { Track } from "../stream/track.ts";
import { Audience, type Listener, PORTION_INTERVAL_MS } from "./audience.ts";

export class Audiences implements Disposable {
  readonly #audiences = new Map<Track, Audience>();
  readonly #flush: () => void;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** @param flush sends the datagrams that were written */
  constructor(flush: () => void) {
    this.#flush = flush;
  }

  /** The listener is sent the track from now on. Returns how to end that; idempotent. */
  join(track: Track, listener: Listener): () => void {
    let audience = this.#audiences.get(track);
    if (audience === undefined) {
      audience = new Audience(track, { flush: this.#flush, behind: () => this.#wake() });
      this.#audiences.set(track, audience);
    }
    audience.join(listener);
    const joined = audience;
    return () => this.#leave(track, joined, listener);
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const audience of this.#audiences.values()) audience.close();
    this.#audiences.clear();
  }

  #leave(track: Track, audience: Audience, listener: Listener): void {
    audience.leave(listener);
    if (audience.size > 0 || this.#audiences.get(track) !== audience) return;
    audience.close();
    this.#audiences.delete(track);
  }

  #wake(): void {
    this.#timer ??= setTimeout(() => this.#advance(), PORTION_INTERVAL_MS);
  }

  #advance(): void {
    this.#timer = null;
    const now = monotonicMs();
    let behind = false;
    for (const audience of this.#audiences.values()) if (audience.advance(now)) behind = true;
    if (behind) this.#wake();
  }
}
