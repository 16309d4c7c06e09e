/** The viewers of one track. */
import type { Millis } from "../core/units.ts";
import type { PacketSink } from "../stream/sinks.ts";
import type { Track } from "../stream/track.ts";
import type { ViewerTrack } from "./viewer-track.ts";

/** Between two portions for viewers that catch up. */
export const BURST_INTERVAL_MS = 5;
/** 52 Mbps: two seconds of 4 Mbps within 160 ms, and no more than Wi-Fi's queues hold at once. */
const BURST_BYTES = 32 << 10;

/** What a room needs of the part it belongs to. */
export interface RoomHost {
  /** Sends what the viewers committed. */
  flush(): void;
  /** Someone is behind: `advance` is to be called soon. */
  behind(): void;
  /** The track ended: no viewer of this room gets anything any more. */
  ended(room: Room): void;
}

export class Room implements PacketSink {
  readonly track: Track;
  /** When packets last arrived. */
  arrived: Millis;
  readonly #host: RoomHost;
  readonly #viewers = new Set<ViewerTrack>();
  readonly #detach: () => void;
  /** Packets up to here were announced; later ones are still being written. */
  #head: number;

  constructor(track: Track, host: RoomHost, now: Millis) {
    this.track = track;
    this.arrived = now;
    this.#host = host;
    this.#head = track.ring.head;
    this.#detach = track.attachPackets(this);
  }

  /** The track brought packets. What goes wrong for one viewer ends that one only. */
  packets(_from: number, to: number, now: Millis): void {
    this.#head = to;
    this.arrived = now;
    for (const viewer of this.#viewers) viewer.media(to, now);
    if (this.#settle()) this.#host.behind();
  }

  ended(): void {
    this.#host.ended(this);
  }

  /** The viewer is ready: it gets the current group of pictures, if this is video, then what comes. */
  join(viewer: ViewerTrack, now: Millis): void {
    this.#viewers.add(viewer);
    viewer.media(this.#head, now);
    if (this.#settle()) this.#host.behind();
  }

  leave(viewer: ViewerTrack): void {
    this.#viewers.delete(viewer);
  }

  /** One portion for everyone who is behind. True while someone still is. */
  advance(): boolean {
    for (const viewer of this.#viewers) viewer.advance(this.#head, BURST_BYTES);
    return this.#settle();
  }

  /** Takes no more packets. */
  close(): void {
    this.#detach();
  }

  /** True when someone is behind. */
  #settle(): boolean {
    this.#host.flush();
    let behind = false;
    for (const viewer of this.#viewers) if (viewer.settle()) behind = true;
    return behind;
  }
}
