/** A connection that pushes a stream: who publishes, and the ways that the packets come by. */
import { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import type { SessionDescription } from "../rtsp/sdp.ts";
import type { Pair } from "../rtsp/transport.ts";
import type { Asked } from "./options.ts";
import { type AnnouncedTrack, choose, type PublishEnd, Publisher } from "./publisher.ts";
import { type Refused, reasonOf } from "./ready.ts";
import type { Site } from "./site.ts";
import type { Peer, UdpPair } from "./udp.ts";

/** Takes the packet in [start, end) of `b`, borrowed. */
type Take = (b: Uint8Array, start: number, end: number, now: Millis) => void;

/** What a recording needs of its connection. */
export interface RecordingHost {
  /** Runs what packets bring, at once or soon after; a bug of ours ends the connection. Packets are signs of life. */
  arrived(step: () => void): void;
  /** The place is not its own any longer: another publisher's, or nobody's. */
  replaced(): void;
}

/** From ANNOUNCE to the end; `end` releases everything. */
export class Recording {
  readonly publisher: Publisher;
  readonly #site: Site;
  readonly #host: RecordingHost;
  readonly #channels = new Map<number, Take>();
  readonly #ends = new DisposableStack();

  private constructor(site: Site, publisher: Publisher, host: RecordingHost) {
    this.#site = site;
    this.publisher = publisher;
    this.#host = host;
  }

  /** Takes the place of who sends to this path, or says why not. */
  static begin(
    site: Site,
    asked: Asked,
    description: SessionDescription,
    host: RecordingHost,
  ): Recording | Refused {
    const target = site.options.publish(asked);
    if (target === null) return { status: 404, reason: "Nothing Is To Be Published Here" };
    const tracks = choose(description);
    if (tracks === null) return { status: 415, reason: "No Codec That Can Be Forwarded" };
    const publisher = new Publisher(tracks, {
      path: asked.path,
      target,
      silentMs: site.timing.silentMs,
      onReplaced: () => host.replaced(),
      run: (step) => host.arrived(step),
    });
    if (!site.publishers.claim(publisher, monotonicMs())) {
      return { status: 403, reason: "Somebody Else Publishes Here" };
    }
    return new Recording(site, publisher, host);
  }

  /** Packets of this track come on these channels of the connection. */
  takeInterleaved(track: AnnouncedTrack, [rtp, rtcp]: Pair): void {
    track.isSetUp = true;
    this.#channels.set(rtp, (b, start, end, now) => this.publisher.rtp(track, b, start, end, now));
    this.#channels.set(rtcp, (b, start, end) => track.track?.receiveControl(b, start, end));
  }

  /** Packets of this track come from these ports of the client. */
  takeDatagrams(track: AnnouncedTrack, pair: UdpPair, from: Pick<Peer, "address" | "ports">): void {
    track.isSetUp = true;
    const { publisher } = this;
    publisher.order(track);
    const leave = pair.admit({
      ...from,
      rtp: (packet) => this.#host.arrived(() => publisher.datagram(track, packet)),
      rtcp: (packet) =>
        this.#host.arrived(() => track.track?.receiveControl(packet, 0, packet.length)),
    });
    this.#ends.defer(leave);
  }

  /** A packet came on the connection. */
  packet(channel: number, b: Uint8Array, start: number, end: number, now: Millis): void {
    this.#channels.get(channel)?.(b, start, end, now);
  }

  /** What comes is meant from now on; returns why that cannot be. */
  record(): Refused | null {
    try {
      this.publisher.record();
      return null;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { status: 415, reason: reasonOf(error) };
    }
  }

  end(how: PublishEnd): void {
    this.#site.publishers.release(this.publisher);
    this.#ends.dispose();
    this.publisher.end(how);
  }
}
