/** The RTCP between the hub and one viewer: reports, losses, round trips. */
import type { Millis } from "../core/units.ts";
import { VIDEO_CLOCK_HZ } from "../core/units.ts";
import { readU32 } from "../rtp/header.ts";
import { writeSenderReport } from "../rtp/rtcp.ts";
import {
  type FeedbackListener,
  type ReceptionReport,
  readFeedback,
  writeBye,
  writeReferenceEcho,
} from "./feedback.ts";
import type { Room } from "./room.ts";
import type { Sender } from "./sender.ts";
import type { SrtcpReceiver, SrtcpSender } from "./srtcp.ts";
import type { SfuTotals, ViewerFacts } from "./stats.ts";

/** Browsers synchronise clocks by these; they cost 60 bytes. */
const REPORT_INTERVAL_MS = 1_000;
const DELAY_UNITS_PER_SECOND = 65_536;
/** Sender reports that a late reception report may still refer to. */
const REPORTS_REMEMBERED = 8;

export interface ConversationOptions {
  readonly sender: Sender;
  readonly room: Room;
  readonly ssrc: number;
  readonly cname: string;
  readonly totals: SfuTotals;
  readonly outgoing: SrtcpSender;
  readonly incoming: SrtcpReceiver;
  now(): Millis;
  /** The viewer said goodbye. */
  left(): void;
}

type Facts = { -readonly [K in keyof ViewerFacts]: ViewerFacts[K] };

/** Nothing was heard from the viewer yet. */
export const UNHEARD: ViewerFacts = {
  nacks: 0,
  pictureLosses: 0,
  roundTripMs: null,
  lostFraction: null,
  lost: 0,
  jitterMs: 0,
  estimatedBitsPerSecond: null,
};

export class Conversation implements FeedbackListener {
  readonly #options: ConversationOptions;
  readonly #facts: Facts = { ...UNHEARD };
  /** When the reports with these middle NTP bits were sent, oldest first. */
  readonly #sent: { readonly middle: number; readonly at: Millis }[] = [];
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
    const { incoming, ssrc, sender } = this.#options;
    const packet = incoming.unprotect(datagram);
    if (packet === null) return;
    readFeedback(packet, ssrc, this);
    if (this.#over) return;
    sender.path.socket.egress.flush();
    // A retransmission that the buffer refused is asked for again.
    sender.path.to.refused = 0;
  }

  /** Sends a report when one is due. */
  tick(now: Millis): void {
    if (now >= this.#nextReport) this.report(now);
  }

  /** Tells which capture time belongs to which timestamp (RFC 3550 section 6.4.1). */
  report(now: Millis): void {
    const { sender, room, ssrc, cname } = this.#options;
    const { clock, newestTimestamp } = room.track;
    if (!clock.known || sender.counters.packets === 0) return;
    this.#nextReport = now + REPORT_INTERVAL_MS;
    const since = Math.round(((now - room.arrived) * VIDEO_CLOCK_HZ) / 1_000);
    const timestamp = (newestTimestamp + since) >>> 0;
    const { packets, payloadBytes: bytes } = sender.counters;
    const report = { ssrc, wallClock: clock.at(timestamp), timestamp, packets, bytes };
    const written = writeSenderReport(report, cname);
    this.#sent.push({ middle: readU32(written, 10), at: now });
    if (this.#sent.length > REPORTS_REMEMBERED) this.#sent.shift();
    this.#send(written);
  }

  /** Says goodbye; nothing the viewer says counts from now on. */
  bye(): void {
    this.#over = true;
    this.#send(writeBye(this.#options.ssrc));
  }

  received({ lostFraction, lost, jitterTicks, lastReport, delay }: ReceptionReport): void {
    const facts = this.#facts;
    facts.lostFraction = lostFraction;
    facts.lost = lost;
    facts.jitterMs = (jitterTicks * 1_000) / VIDEO_CLOCK_HZ;
    const sent = this.#sent.find(({ middle }) => middle === lastReport);
    if (sent === undefined) return;
    const elapsed = this.#options.now() - sent.at;
    facts.roundTripMs = Math.max(0, elapsed - (delay * 1_000) / DELAY_UNITS_PER_SECOND);
  }

  missing(sequence: number): void {
    if (this.#over) return;
    const { sender, totals, now } = this.#options;
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
    if (!this.#over) this.#send(writeReferenceEcho(this.#options.ssrc, reporter, middle));
  }

  left(): void {
    if (!this.#over) this.#options.left();
  }

  #send(packet: Uint8Array): void {
    const { sender, outgoing } = this.#options;
    const { socket, to } = sender.path;
    socket.send(outgoing.protect(packet), to);
  }
}
