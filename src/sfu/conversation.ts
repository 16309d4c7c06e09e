/** The RTCP between the hub and one viewer: reports, losses, round trips, of all its tracks. */
import type { Millis, UnixMs } from "../core/units.ts";
import {
  type FeedbackListener,
  type ReceptionReport,
  readFeedback,
  writeBye,
  writeReferenceEcho,
} from "./feedback.ts";
import type { Path } from "./sockets.ts";
import type { SrtcpReceiver, SrtcpSender } from "./srtcp.ts";
import type { SfuTotals, ViewerFacts } from "./stats.ts";
import type { ViewerTrack } from "./viewer-track.ts";

/** Browsers synchronise clocks by these; they cost 60 bytes. */
const REPORT_INTERVAL_MS = 1_000;

export interface ConversationOptions {
  /** At least one. */
  readonly tracks: readonly ViewerTrack[];
  readonly cname: string;
  readonly totals: SfuTotals;
  readonly outgoing: SrtcpSender;
  readonly incoming: SrtcpReceiver;
  now(): Millis;
  wall(): UnixMs;
  /** How the viewer is reached now. */
  path(): Path;
  /** The viewer said goodbye. */
  left(): void;
}

type Facts = { -readonly [K in keyof ViewerFacts]: ViewerFacts[K] };

/** Nothing was heard from the viewer yet. */
export const UNHEARD: ViewerFacts = {
  nacks: 0,
  pictureLosses: 0,
  roundTripMs: null,
  estimatedBitsPerSecond: null,
};

export class Conversation implements FeedbackListener {
  readonly #options: ConversationOptions;
  readonly #facts: Facts = { ...UNHEARD };
  #nextReport: Millis = Number.NEGATIVE_INFINITY;
  #over = false;

  constructor(options: ConversationOptions) {
    this.#options = options;
  }

  get facts(): ViewerFacts {
    return this.#facts;
  }

  /** Takes an SRTCP datagram, borrowed. */
  receive(datagram: Uint8Array): void {
    const { incoming, path } = this.#options;
    const packet = incoming.unprotect(datagram);
    if (packet === null) return;
    readFeedback(packet, this);
    if (this.#over) return;
    const { socket, to } = path();
    socket.egress.flush();
    // A retransmission that the buffer refused is asked for again.
    to.refused = 0;
  }

  /** Sends reports when they are due. */
  tick(now: Millis): void {
    if (now >= this.#nextReport) this.report(now);
  }

  /** Sends a report of every track that has begun. */
  report(now: Millis): void {
    const { tracks, cname, wall } = this.#options;
    // Tracks are put in step by one clock. A rendition may not know the camera's own; then none does.
    const arrivals = new Set(tracks.map(({ room }) => room.track.clock.source)).size > 1;
    for (const track of tracks) {
      const report = track.report(now, wall(), cname, arrivals);
      if (report === null) continue;
      this.#nextReport = now + REPORT_INTERVAL_MS;
      this.#send(report);
    }
  }

  /** Says goodbye; nothing the viewer says counts from now on. */
  bye(): void {
    this.#over = true;
    this.#send(writeBye(this.#options.tracks.map(({ ssrc }) => ssrc)));
  }

  received(report: ReceptionReport): void {
    const roundTripMs = this.#track(report.ssrc)?.received(report, this.#options.now()) ?? null;
    if (roundTripMs !== null) this.#facts.roundTripMs = roundTripMs;
  }

  missing(ssrc: number, sequence: number): void {
    const track = this.#track(ssrc);
    if (this.#over || track === undefined) return;
    const { totals, now } = this.#options;
    const { sender } = track;
    const before = sender.counters.retransmitted;
    sender.retransmit(sequence, now());
    totals.retransmitted += sender.counters.retransmitted - before;
    totals.nacks++;
    this.#facts.nacks++;
  }

  pictureLost(): void {
    this.#facts.pictureLosses++;
    this.#options.totals.pictureLosses++;
  }

  estimated(bitsPerSecond: number): void {
    this.#facts.estimatedBitsPerSecond = bitsPerSecond;
  }

  referenceTime(reporter: number, middle: number): void {
    const ssrc = this.#options.tracks[0]?.ssrc ?? 0;
    if (!this.#over) this.#send(writeReferenceEcho(ssrc, reporter, middle));
  }

  left(): void {
    if (!this.#over) this.#options.left();
  }

  #track(ssrc: number): ViewerTrack | undefined {
    return this.#options.tracks.find((track) => track.ssrc === ssrc);
  }

  #send(packet: Uint8Array): void {
    const { outgoing, path } = this.#options;
    const { socket, to } = path();
    socket.send(outgoing.protect(packet), to);
  }
}
