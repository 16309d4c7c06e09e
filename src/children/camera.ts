/**
 * One camera of the media process: its streams, what keeps them pulled, and the decode process that
 * is fed, if any.
 *
 * @module
 */
import type { Upstream } from "../ingest/upstream.ts";
import { monotonicMs } from "../native/clock.ts";
import type { CameraSpec, CameraStats, StreamName } from "../process/protocol.ts";
import type { CameraState } from "../stream/camera-state.ts";
import { UnitFeed } from "../stream/unit-feed.ts";
import { streamStats } from "./stream-stats.ts";

/** The camera's streams, joined by whoever opens it. */
export interface CameraStreams {
  readonly main: Upstream;
  readonly sub: Upstream | null;
}

/** What a camera tells whoever opened it. */
export interface CameraEvents {
  state(stream: StreamName, state: CameraState): void;
  /** A track of the stream was added, replaced or taken away. */
  tracks(upstream: Upstream): void;
  /** The decode process is gone: another one is to be arranged. */
  feedLost(): void;
}

export class Camera implements Disposable {
  readonly spec: CameraSpec;
  readonly main: Upstream;
  readonly sub: Upstream | null;
  readonly #events: CameraEvents;
  readonly #stack = new DisposableStack();
  /** Where access units are wanted, `null` for nowhere. */
  #socket: string | null = null;
  #feed: UnitFeed | null = null;
  /** Lets go of the stream that is fed from. */
  #release: (() => void) | null = null;

  constructor(spec: CameraSpec, { main, sub }: CameraStreams, events: CameraEvents) {
    this.spec = spec;
    this.main = main;
    this.sub = sub;
    this.#events = events;
    for (const name of ["main", "sub"] as const) {
      const upstream = this[name];
      if (upstream === null) continue;
      const state = (now: CameraState): void => events.state(name, now);
      const tracks = (): void => {
        this.#follow();
        events.tracks(upstream);
      };
      this.#stack.defer(upstream.listen({ state, tracks }));
      // One that is shared may have been running for long.
      state(upstream.state);
      if (spec.kept.includes(name)) this.#stack.defer(upstream.hold(spec.lingerMs));
    }
  }

  /** Pulls the stream until what it returns is called, and a while longer. */
  hold(upstream: Upstream): () => void {
    return upstream.hold(this.spec.lingerMs);
  }

  /**
   * Sends the access units of the smaller stream to a decode process that listens there; `null`
   * ends that.
   *
   * @throws Fault `process_down`
   */
  async feed(socket: string | null): Promise<void> {
    this.#endFeed();
    this.#socket = socket;
    this.#release?.();
    this.#release = socket === null ? null : this.hold(this.#fed);
    if (socket !== null) await this.#openFeed(socket);
  }

  /** Whether a decode process waits for units. */
  get isFed(): boolean {
    return this.#socket !== null;
  }

  stats(): CameraStats {
    const { spec, main, sub } = this;
    return { camera: spec.id, main: streamStats(main), sub: sub && streamStats(sub) };
  }

  /** Lets go of its streams. Idempotent. */
  [Symbol.dispose](): void {
    this.#endFeed();
    this.#socket = null;
    this.#release?.();
    this.#release = null;
    this.#stack.dispose();
  }

  /** Decoding is dear, and workers scale down anyway. */
  get #fed(): Upstream {
    return this.sub ?? this.main;
  }

  #endFeed(): void {
    this.#feed?.close();
    this.#feed = null;
  }

  /** The camera described what it sends: units can be sent, if they were waited for. */
  #follow(): void {
    const socket = this.#socket;
    if (socket === null || this.#feed !== null) return;
    this.#openFeed(socket).catch(() => this.#lost());
  }

  async #openFeed(socket: string): Promise<void> {
    const { video } = this.#fed.stream;
    // Nothing to describe to the decoder yet: `#follow` comes later.
    if (video === null) return;
    const tracks = [{ ...video.format, parameterSets: video.parameterSets }];
    const camera = this.spec.id;
    let feed: UnitFeed | null = null;
    const gone = (): void => {
      if (this.#feed === feed) this.#lost();
    };
    feed = await UnitFeed.open({ socket, camera, tracks, gone });
    // Closed, or replaced, or the video was, while this one connected.
    const stale = this.#socket !== socket || this.#feed !== null;
    if (stale || this.#fed.stream.video !== video) {
      feed.close();
      return;
    }
    this.#feed = feed;
    feed.follow({ video, audio: null }, monotonicMs());
  }

  #lost(): void {
    this.#feed = null;
    if (this.#socket !== null) this.#events.feedLost();
  }
}
