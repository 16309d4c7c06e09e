/** The way out of a transcoding process: one connection to media for each rendition. */
import type { RenditionCodec } from "../process/protocol.ts";
import type { Unit } from "../stream/sinks.ts";
import { UnitFeed } from "../stream/unit-feed.ts";
import { renditionHello } from "./rendition-wire.ts";

export class Outlets implements Disposable {
  readonly #socket: string;
  readonly #gone: () => void;
  readonly #feeds = new Map<RenditionCodec, UnitFeed>();

  /**
   * @param socket where media listens
   * @param gone called when media does not take a rendition any more
   */
  constructor(socket: string, gone: () => void) {
    this.#socket = socket;
    this.#gone = gone;
  }

  /**
   * Opens the ways that are wanted, and closes the others.
   *
   * @throws Fault `process_down` when media does not listen
   */
  async want(codecs: readonly RenditionCodec[]): Promise<void> {
    for (const [codec, feed] of this.#feeds) {
      if (codecs.includes(codec)) continue;
      feed.close();
      this.#feeds.delete(codec);
    }
    for (const codec of codecs) {
      if (this.#feeds.has(codec)) continue;
      const options = { ...renditionHello(codec), socket: this.#socket, gone: this.#gone };
      this.#feeds.set(codec, await UnitFeed.open(options));
    }
  }

  /** Sends one unit, borrowed. */
  unit(codec: RenditionCodec, unit: Unit): void {
    const kind = codec === "opus" ? "audio" : "video";
    this.#feeds.get(codec)?.unit(unit, kind);
  }

  [Symbol.dispose](): void {
    for (const feed of this.#feeds.values()) feed.close();
    this.#feeds.clear();
  }
}
