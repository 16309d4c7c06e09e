/** The readers of one track. */
import type { Millis } from "../core/units.ts";
import type { PacketSink } from "../stream/sinks.ts";
import type { Track } from "../stream/track.ts";
import type { Sender } from "./sender.ts";

/** Between two portions for readers that catch up. */
export const PORTION_INTERVAL_MS = 5;
/** 52 Mbps: the receive buffers that players ask for hold about this much. */
const PORTION_BYTES = 32 << 10;

/** What an audience needs of the server it belongs to. */
export interface AudienceHost {
  /** Sends the datagrams that were written. */
  flush(): void;
  /** Somebody is behind: `advance` is to be called soon. */
  behind(): void;
}

/** Somebody who is sent a track. */
export interface Listener {
  readonly sender: Sender;
  /** The track ended. */
  ended(): void;
  /** A bug of ours; it must not reach the camera, nor the other readers. */
  failed(error: unknown): void;
}

export class Audience implements PacketSink {
  readonly #host: AudienceHost;
  readonly #detach: () => void;
  readonly #listeners = new Set<Listener>();
  /** Packets up to here were announced; later ones are still being written. */
  #head: number;

  constructor(track: Track, host: AudienceHost) {
    this.#host = host;
    this.#head = track.ring.head;
    this.#detach = track.attachPackets(this);
  }

  get size(): number {
    return this.#listeners.size;
  }

  packets(_from: number, to: number, now: Millis): void {
    this.#head = to;
    for (const listener of this.#listeners) {
      try {
        listener.sender.media(to, now);
      } catch (error) {
        listener.failed(error);
      }
    }
    if (this.#settle()) this.#host.behind();
  }

  ended(): void {
    for (const listener of [...this.#listeners]) listener.ended();
  }

  /** What the listener is behind by is sent in portions, what comes at once. */
  join(listener: Listener): void {
    this.#listeners.add(listener);
    if (listener.sender.behind) this.#host.behind();
  }

  leave(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  /** One portion for everyone who is behind. True while someone still is. */
  advance(now: Millis): boolean {
    for (const listener of this.#listeners) {
      try {
        listener.sender.advance(this.#head, PORTION_BYTES, now);
      } catch (error) {
        listener.failed(error);
      }
    }
    return this.#settle();
  }

  /** Takes no more packets. */
  close(): void {
    this.#detach();
  }

  #settle(): boolean {
    this.#host.flush();
    let behind = false;
    for (const { sender } of this.#listeners) {
      sender.settle();
      if (sender.behind) behind = true;
    }
    return behind;
  }
}
