/** The hub's side of a pull in simulated time: the RTSP engine, and the stream it fills. */
import type { Millis, UnixMs } from "../../src/core/units.ts";
import { parseAddress } from "../../src/rtsp/address.ts";
import { RtspClient } from "../../src/rtsp/client.ts";
import { Stream } from "../../src/stream/stream.ts";
import type { Track } from "../../src/stream/track.ts";

export class VirtualPull {
  readonly stream = new Stream();
  /** Sessions in which the camera agreed to send. */
  sessions = 0;
  /** Requests sent. */
  requests = 0;
  readonly #wall: UnixMs;
  readonly #send: (bytes: Uint8Array, now: Millis) => void;
  #client: RtspClient | null = null;
  #track: Track | null = null;
  #now: Millis = 0;

  /** @param wall what the hub's wall clock reads at monotonic 0 */
  constructor(wall: UnixMs, send: (bytes: Uint8Array, now: Millis) => void) {
    this.#wall = wall;
    this.#send = send;
  }

  connect(now: Millis): void {
    this.#client = new RtspClient({
      now,
      address: parseAddress("rtsp://127.0.0.1/virtual"),
      transport: "tcp",
      hash: () => "",
      cnonce: () => "",
      sink: (channel, bytes, start, end) => {
        if (channel === 0) this.#track?.receive(bytes, start, end, this.#now);
        else this.#track?.receiveControl(bytes, start, end);
      },
    });
    this.#drain(now);
  }

  handle(bytes: Uint8Array, now: Millis): void {
    this.#now = now;
    this.#client?.handle(bytes, now);
    this.stream.flush(now, this.#wall + now);
    this.#drain(now);
  }

  /** The connection is gone. */
  lost(): void {
    this.#client = null;
    this.stream.restart();
  }

  #drain(now: Millis): void {
    for (;;) {
      const out = this.#client?.poll();
      if (!out || out.kind === "wait") return;
      if (out.kind === "send") {
        this.requests++;
        this.#send(out.bytes, now);
      } else if (out.event.kind === "tracks") {
        const formats = out.event.tracks.map(({ carries }) => carries);
        this.#track = this.stream.describe(formats)[0] ?? null;
      } else if (out.event.kind === "playing") this.sessions++;
      else throw new Error(`the pull ended: ${JSON.stringify(out.event)}`);
    }
  }
}
