/** Pulls a source for a few seconds and says what it sends. */
import { Fault, type FaultCode } from "../core/fault.ts";
import type { Secret } from "../core/secret.ts";
import { type Millis, type RtpTicks, ticksBetween } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import type { Codec } from "../rtp/track-format.ts";
import { parseAddress } from "../rtsp/address.ts";
import { pullerFor } from "../source/av-source.ts";
import { Stream } from "../stream/stream.ts";
import type { Track } from "../stream/track.ts";
import { avPuller } from "./av-session.ts";
import type { PullerName } from "./ingest.ts";
import type { OpenSession, SessionEnd } from "./puller.ts";
import { RtspPuller } from "./rtsp-puller.ts";
import { type RtspSurvey, surveyRtsp } from "./rtsp-survey.ts";
import { PULL_TIMING } from "./timing.ts";
import type { TlsSettings } from "./tls.ts";

/** What to probe, and how. */
export interface ProbeOptions {
  readonly source: Secret;
  readonly transport: "auto" | "tcp" | "udp";
  readonly tls: TlsSettings;
  /** How long to look at the stream once it is live. */
  readonly lookMs: Millis;
}

/** One track, as it was seen. */
export interface ProbedTrack {
  readonly kind: "video" | "audio";
  readonly codec: Codec;
  readonly clockHz: number;
  readonly channels: number;
  readonly bitsPerSecond: number;
  /** By the camera's RTCP sender reports. */
  readonly senderReports: boolean;
  readonly lostPackets: number;
  /** Video only, all of these. */
  readonly picture: { readonly width: number; readonly height: number } | null;
  readonly picturesPerSecond: number | null;
  /** Between two keyframes; `null` when less than two came. */
  readonly keyframeSeconds: number | null;
  /** Pictures come in another order than they are shown, which WebRTC cannot do. */
  readonly reordered: boolean;
}

/** What was found. */
export interface ProbeReport {
  readonly puller: PullerName;
  /** Why the native puller does not do; `null` when it does, or was not tried. */
  readonly notNative: string | null;
  readonly transport: string | null;
  readonly startMs: Millis;
  /** RTSP only. */
  readonly survey: RtspSurvey | null;
  readonly tracks: readonly ProbedTrack[];
}

/** @throws Fault that says why nothing can be pulled */
export async function probe(options: ProbeOptions): Promise<ProbeReport> {
  const { source, transport, tls } = options;
  const libav = avPuller({ transport, tls });
  if (pullerFor(source.reveal()) === "ffmpeg") {
    return { ...(await look(options, libav)), puller: "ffmpeg", notNative: null, survey: null };
  }
  const survey = await surveyed(source.reveal(), tls);
  const native = new RtspPuller({ transport, tls });
  try {
    const seen = await look(options, (context) => native.open(context));
    return { ...seen, puller: "native", notNative: null, survey };
  } catch (thrown) {
    if (!(thrown instanceof Fault) || !isBeyondNative(thrown)) throw thrown;
    // When libav cannot either, what the native client said is the better word.
    const seen = await look(options, libav).catch(() => Promise.reject(thrown));
    return { ...seen, puller: "ffmpeg", notNative: thrown.message, survey };
  }
}

/** `null` of a camera that does not converse so, and may send all the same. */
async function surveyed(source: string, tls: TlsSettings): Promise<RtspSurvey | null> {
  if (parseAddress(source).tunnel) return null;
  try {
    return await surveyRtsp(source, tls);
  } catch (thrown) {
    const bent = thrown instanceof Fault && BENT.includes(thrown.code);
    if (!bent) throw thrown;
    return null;
  }
}

/** What a camera may do to a survey that it does not do to a pull: hang up, or not answer. */
const BENT: readonly FaultCode[] = ["camera_closed", "camera_timeout", "camera_protocol"];

/** What libav may still be able to do. */
function isBeyondNative({ code }: Fault): boolean {
  return code === "track_unsupported" || code === "camera_protocol";
}

type Seen = Pick<ProbeReport, "tracks" | "transport" | "startMs">;

async function look(options: ProbeOptions, open: OpenSession): Promise<Seen> {
  const stream = new Stream();
  const watches: TrackWatch[] = [];
  stream.onChange = () => {
    for (const track of [stream.video, stream.audio]) {
      if (track && !watches.some((watch) => watch.track === track))
        watches.push(new TrackWatch(track));
    }
  };
  const live = Promise.withResolvers<null>();
  const began = monotonicMs();
  const session = open({
    camera: "probe",
    source: options.source,
    stream,
    timing: PULL_TIMING,
    counters: emptyCounters(),
    random: Math.random,
    onPlaying: () => {},
    onLive: () => live.resolve(null),
    onStalled: () => {},
  });
  const ended = session.run();
  try {
    throwFailure(await Promise.race([live.promise, ended]));
    const startMs = monotonicMs() - began;
    const { transport } = session;
    const since = monotonicMs();
    for (const watch of watches) watch.begin();
    throwFailure(await Promise.race([Bun.sleep(options.lookMs).then(() => null), ended]));
    const tracks = watches.map((watch) => watch.report(monotonicMs() - since));
    return { startMs, transport, tracks };
  } finally {
    await session.close();
    await ended;
  }
}

/** A file that has been played is no failure. */
function throwFailure(end: SessionEnd | null): void {
  if (end?.kind === "failed") throw end.fault;
}

function emptyCounters() {
  const none = { attempts: 0, connects: 0, reconnects: 0, ignored: 0 };
  return { ...none, strangers: 0, reordered: 0, late: 0, fallbacks: 0, bugs: 0 };
}

/** Counts what comes on one track. */
class TrackWatch {
  readonly track: Track;
  #bytes = 0;
  #timestamps: RtpTicks[] = [];
  #keyframes: RtpTicks[] = [];
  #reordered = false;

  constructor(track: Track) {
    this.track = track;
    const unit = ({ timestamp, keyframe }: { timestamp: RtpTicks; keyframe: boolean }): void => {
      const last = this.#timestamps.at(-1);
      if (last !== undefined && ticksBetween(timestamp, last) < 0) this.#reordered = true;
      this.#timestamps.push(timestamp);
      if (keyframe) this.#keyframes.push(timestamp);
    };
    track.attachUnits({ unit, ended: () => {} }, monotonicMs());
  }

  /** What came so far was stored on the way, and says nothing about the pace. */
  begin(): void {
    this.#bytes = this.track.counters.bytes;
    this.#timestamps = [];
  }

  report(tookMs: Millis): ProbedTrack {
    const { format, counters, clock, lost, picture } = this.track;
    const { kind, codec, clockHz, channels } = format;
    const isVideo = kind === "video";
    return {
      kind,
      codec,
      clockHz,
      channels,
      bitsPerSecond: Math.round(((counters.bytes - this.#bytes) * 8_000) / tookMs),
      senderReports: clock.source === "rtcp",
      lostPackets: lost,
      picture,
      picturesPerSecond: isVideo ? rate(this.#timestamps, clockHz) : null,
      keyframeSeconds: isVideo ? interval(this.#keyframes, clockHz) : null,
      reordered: this.#reordered,
    };
  }
}

/** Units a second by their timestamps, to a tenth; `null` for less than two. */
function rate(timestamps: readonly RtpTicks[], clockHz: number): number | null {
  const seconds = interval(timestamps, clockHz);
  return seconds === null ? null : Math.round(10 / seconds) / 10;
}

/** Mean seconds between two of them. */
function interval(timestamps: readonly RtpTicks[], clockHz: number): number | null {
  const first = timestamps[0];
  if (first === undefined || timestamps.length < 2) return null;
  const since = timestamps.map((timestamp) => ticksBetween(timestamp, first));
  const ticks = Math.max(...since) - Math.min(...since);
  return ticks === 0 ? null : ticks / clockHz / (timestamps.length - 1);
}
