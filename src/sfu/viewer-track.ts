/** One track in one viewer's session: its sender, its reports, and what the viewer says of it. */
import type { Millis, UnixMs } from "../core/units.ts";
import { readU32 } from "../rtp/header.ts";
import { writeSenderReport } from "../rtp/rtcp.ts";
import type { ReceptionReport } from "./feedback.ts";
import type { Room } from "./room.ts";
import type { Sender } from "./sender.ts";
import type { ViewerTrackStats } from "./stats.ts";

const DELAY_UNITS_PER_SECOND = 65_536;
/** Sender reports that a late reception report may still refer to. */
const REPORTS_REMEMBERED = 8;

/** What a track needs of its session. */
export interface ViewerTrackHost {
  /** The first packet was committed. */
  began(now: Millis): void;
  /** A broken assumption of ours: the session is to end. */
  crashed(error: unknown): void;
}

/** Facts that the viewer reported; `null` until it did. */
type Facts = { -readonly [K in "lostFraction" | "lost" | "jitterMs"]: ViewerTrackStats[K] };

export class ViewerTrack {
  readonly room: Room;
  readonly ssrc: number;
  readonly sender: Sender;
  readonly #host: ViewerTrackHost;
  readonly #facts: Facts = { lostFraction: null, lost: 0, jitterMs: 0 };
  /** When the reports with these middle NTP bits were sent, oldest first. */
  readonly #sent: { readonly middle: number; readonly at: Millis }[] = [];
  #begun = false;

  constructor(room: Room, ssrc: number, sender: Sender, host: ViewerTrackHost) {
    this.room = room;
    this.ssrc = ssrc;
    this.sender = sender;
    this.#host = host;
  }

  get stats(): ViewerTrackStats {
    const { format } = this.room.track;
    const { packets, payloadBytes, retransmitted } = this.sender.counters;
    return { codec: format.codec, packets, bytes: payloadBytes, retransmitted, ...this.#facts };
  }

  /** Packets up to but without `to` are there. Commits; the room flushes and settles. */
  media(to: number, now: Millis): void {
    try {
      this.sender.media(to);
    } catch (error) {
      this.#host.crashed(error);
      return;
    }
    if (this.#begun || this.sender.counters.packets === 0) return;
    this.#begun = true;
    this.#host.began(now);
  }

  /** Catches up by about `bytes`. Commits; the room flushes and settles. */
  advance(to: number, bytes: number): void {
    try {
      this.sender.advance(to, bytes);
    } catch (error) {
      this.#host.crashed(error);
    }
  }

  /** What was committed was flushed. True while the viewer is behind, and wants to be advanced. */
  settle(): boolean {
    this.sender.settle();
    return this.sender.state === "burst";
  }

  /**
   * The report that tells which capture time belongs to which timestamp (RFC 3550 section 6.4.1);
   * `null` while nothing was sent. `arrivals`: by the hub's clock, even if the camera told its own.
   */
  report(now: Millis, wall: UnixMs, cname: string, arrivals: boolean): Uint8Array | null {
    const { track, arrived } = this.room;
    const { clock, newestTimestamp, format } = track;
    const { packets, payloadBytes: bytes } = this.sender.counters;
    if (!clock.known || packets === 0) return null;
    const since = Math.round(((now - arrived) * format.clockHz) / 1_000);
    const timestamp = (newestTimestamp + since) >>> 0;
    const wallClock = arrivals ? wall : clock.at(timestamp);
    const report = { ssrc: this.ssrc, wallClock, timestamp, packets, bytes };
    const written = writeSenderReport(report, cname);
    this.#sent.push({ middle: readU32(written, 10), at: now });
    if (this.#sent.length > REPORTS_REMEMBERED) this.#sent.shift();
    return written;
  }

  /** Takes the viewer's report. Returns the round trip in milliseconds, `null` when it tells none. */
  received(report: ReceptionReport, now: Millis): number | null {
    const { lostFraction, lost, jitterTicks, lastReport, delay } = report;
    this.#facts.lostFraction = lostFraction;
    this.#facts.lost = lost;
    this.#facts.jitterMs = (jitterTicks * 1_000) / this.room.track.format.clockHz;
    const sent = this.#sent.find(({ middle }) => middle === lastReport);
    if (sent === undefined) return null;
    return Math.max(0, now - sent.at - (delay * 1_000) / DELAY_UNITS_PER_SECOND);
  }
}
