/** What a session receives: which packet is which track's, and whether video comes at all. */
import type { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import type { AgreedTrack } from "../rtsp/client-track.ts";
import type { Stream } from "../stream/stream.ts";
import { TrackIntake } from "./intake.ts";
import type { PullCounters, SessionContext } from "./puller.ts";
import type { PullTiming } from "./timing.ts";
import { WallClock } from "./wall.ts";
import { MediaWatch } from "./watch.ts";

/** What the media of a session need of it. */
export interface MediaOptions
  extends Pick<SessionContext, "stream" | "timing" | "counters" | "onLive" | "onStalled"> {
  /** Names the camera in faults. */
  readonly label: string;
  /** Names the hub in its reports. */
  readonly ssrc: number;
}

/** Has no timer: `deadline` says when to `check`. */
export class SessionMedia {
  readonly #options: MediaOptions;
  readonly #stream: Stream;
  readonly #timing: PullTiming;
  readonly #counters: PullCounters;
  readonly #watch: MediaWatch;
  #intakes: readonly TrackIntake[] = [];
  /** By channel of the connection: one track's, or those of all whose answers named it. */
  readonly #rtp = new Map<number, readonly TrackIntake[]>();
  readonly #rtcp = new Map<number, TrackIntake>();
  #reportAt: Millis = Number.POSITIVE_INFINITY;
  /** Something arrived since the last flush. */
  #arrived = false;
  #videoArrived = false;
  readonly #wall = new WallClock();

  constructor(options: MediaOptions) {
    this.#options = options;
    this.#stream = options.stream;
    this.#timing = options.timing;
    this.#counters = options.counters;
    this.#watch = new MediaWatch(options.timing, options.label);
  }

  /** Packets that were handed to the stream. */
  get packets(): number {
    return this.#intakes.reduce((sum, { packets }) => sum + packets, 0);
  }

  /** The camera is going to send these. */
  begin(agreed: readonly AgreedTrack[]): void {
    const tracks = this.#stream.describe(agreed.map(({ carries }) => carries));
    const { counters, ssrc } = this.#options;
    this.#intakes = agreed.flatMap((each, i) => {
      const track = tracks[i] ?? null;
      return track === null ? [] : [new TrackIntake({ agreed: each, track, counters, ssrc })];
    });
    for (const intake of this.#intakes) this.#route(intake);
  }

  /** The camera said that it sends; its first packet is waited for this long. */
  played(now: Millis, firstPacketMs: number): void {
    this.#watch.played(now, firstPacketMs);
    this.#reportAt = now + this.#timing.reportMs;
  }

  /** Takes a packet of the connection, in [start, end) of `b`, borrowed. */
  packet(channel: number, b: Uint8Array, start: number, end: number, now: Millis): void {
    const [first, second] = this.#rtp.get(channel) ?? [];
    if (first !== undefined) {
      const other = second?.isFor((b[start + 1] ?? 0) & 0x7f) ? second : first;
      this.#take(other, b, start, end, now);
      return;
    }
    const reported = this.#rtcp.get(channel);
    if (reported) reported.control(b, start, end);
    else this.#counters.ignored++;
  }

  /** Takes an RTP packet that came over UDP for the track of this index, borrowed. */
  datagram(index: number, b: Uint8Array, now: Millis): void {
    const intake = this.#at(index);
    if (intake) this.#take(intake, b, 0, b.length, now);
  }

  /** Takes an RTCP packet that came over UDP for the track of this index, borrowed. */
  controlDatagram(index: number, b: Uint8Array): void {
    this.#at(index)?.control(b, 0, b.length);
  }

  /** Everything of one turn of the event loop goes to the sinks at once. */
  flush(now: Millis): void {
    if (!this.#arrived) return;
    this.#arrived = false;
    this.#stream.flush(now, this.#wall.at(now));
    if (!this.#videoArrived) return;
    this.#videoArrived = false;
    const decodable = this.#watch.live || this.#stream.keyframe >= 0;
    if (this.#watch.arrived(now, decodable)) this.#options.onLive();
  }

  /** When to `check`, whatever arrives. */
  get deadline(): Millis {
    let deadline = Math.min(this.#watch.deadline, this.#reportAt);
    for (const intake of this.#intakes) deadline = Math.min(deadline, intake.deadline);
    return deadline;
  }

  /**
   * Looks at what time alone has changed. Returns what ends the session, or `null`.
   *
   * @param report takes the reports that are due
   */
  check(now: Millis, report: (agreed: AgreedTrack, packet: Uint8Array) => void): Fault | null {
    for (const intake of this.#intakes) this.#expire(intake, now);
    this.flush(now);
    if (now >= this.#reportAt) {
      this.#reportAt = now + this.#timing.reportMs;
      for (const intake of this.#intakes) report(intake.agreed, intake.report());
    }
    const finding = this.#watch.check(now);
    if (finding?.until === undefined) return finding?.fault ?? null;
    this.#options.onStalled(finding.fault, finding.until);
    return null;
  }

  /** The session is over. */
  close(): void {
    for (const intake of this.#intakes) intake.close();
  }

  #at(index: number): TrackIntake | undefined {
    for (const intake of this.#intakes) if (intake.agreed.index === index) return intake;
    return undefined;
  }

  #route(intake: TrackIntake): void {
    const { transport, media } = intake.agreed;
    if (transport.lower !== "tcp") return;
    const [rtp, rtcp] = transport.channels;
    const before = this.#rtp.get(rtp) ?? [];
    // Some cameras answer every SETUP with the same channels: the payload type tells them apart.
    for (const other of before) other.disown(media.formats.map(({ payloadType }) => payloadType));
    this.#rtp.set(rtp, [...before, intake]);
    if (!this.#rtcp.has(rtcp)) this.#rtcp.set(rtcp, intake);
  }

  #take(intake: TrackIntake, b: Uint8Array, start: number, end: number, now: Millis): void {
    this.#arrived = true;
    intake.rtp(b, start, end, now);
    if (intake.agreed.carries.kind === "video") this.#videoArrived = true;
    else this.#watch.heard(now);
  }

  #expire(intake: TrackIntake, now: Millis): void {
    if (now < intake.deadline) return;
    intake.expire(now);
    this.#arrived = true;
  }
}
