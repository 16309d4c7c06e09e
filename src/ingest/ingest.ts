/**
 * Pulls one camera, once, for as long as it is wanted: connects, hands its packets to the stream,
 * and connects again whenever it has to.
 *
 * `live` means that a viewer gets a picture: packets arrive, and a keyframe was among them.
 *
 * @module
 */
import { Backoff } from "../core/backoff.ts";
import { Fault, type FaultCode, faultOf } from "../core/fault.ts";
import type { Secret } from "../core/secret.ts";
import type { Millis, UnixMs } from "../core/units.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import { pullerFor } from "../source/av-source.ts";
import type { CameraState, Cause } from "../stream/camera-state.ts";
import type { Stream } from "../stream/stream.ts";
import type { Log } from "../telemetry/log.ts";
import { AttemptGate } from "./gate.ts";
import type { OpenSession, PullCounters, PullSession, SessionEnd } from "./puller.ts";
import { RtspPuller, type RtspSettings } from "./rtsp-puller.ts";
import { PULL_TIMING, type PullTiming } from "./timing.ts";

/** What fetches the source: the RTSP client of the hub, or libav. */
export type PullerName = "native" | "ffmpeg";

/** What only a person can mend; asking again soon would not help, and may lock the account. */
const REFUSALS: readonly FaultCode[] = [
  "camera_unauthorized",
  "camera_untrusted",
  "camera_not_found",
  "track_unsupported",
  "request_invalid",
];

/** What the native client cannot do and libav may: another codec, a protocol bent too far. */
const BEYOND_NATIVE: readonly FaultCode[] = ["track_unsupported", "camera_protocol"];

/** What a pull is made of. */
export interface PullOptions extends Partial<RtspSettings> {
  /** Names the camera in the log. */
  readonly camera: string;
  /** The camera's address with its credentials. */
  readonly source: Secret;
  /** Gets the packets. The pull is its only writer. */
  readonly stream: Stream;
  /** Called with every new state, which `state` has by then. */
  readonly onState: (state: CameraState) => void;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /**
   * What fetches the source. `auto`, which is the default: the native client for RTSP, and `ffmpeg`
   * for all else and for what the native client cannot do.
   */
  readonly puller?: PullerName | "auto";
  /** Opens sessions of the `ffmpeg` puller; without it there is none. */
  readonly ffmpeg?: OpenSession;
  /** Shared by the pulls of a process, which is the default. */
  readonly gate?: AttemptGate;
  readonly log?: Log;
  /** Other times to wait; PULL_TIMING where it says nothing. */
  readonly timing?: Partial<PullTiming>;
}

/** Of every pull of this process that is not given another. */
const PROCESS_GATE = new AttemptGate();

/** One camera's pull. Owns its connections; the stream is the caller's. */
export class Pull implements AsyncDisposable {
  readonly counters: PullCounters = {
    attempts: 0,
    connects: 0,
    reconnects: 0,
    ignored: 0,
    strangers: 0,
    reordered: 0,
    late: 0,
    fallbacks: 0,
    bugs: 0,
  };
  readonly #options: PullOptions;
  readonly #timing: PullTiming;
  readonly #native: RtspPuller;
  readonly #lost: Backoff;
  readonly #away: Backoff;
  readonly #refused: Backoff;
  readonly #stop = new AbortController();
  #puller: PullerName;
  /** Why libav was tried in place of the native client. */
  #beyond: Fault | null = null;
  #state: CameraState = { at: "idle", since: unixMs() };
  #session: PullSession | null = null;
  #running: Promise<void> | null = null;
  /** Failures since the camera was last live. */
  #failures = 0;
  /** When the first of them was. */
  #failingFrom: Millis = 0;
  /** When the session went live; infinite while it is not. */
  #liveSince: Millis = Number.POSITIVE_INFINITY;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#timing = { ...PULL_TIMING, ...options.timing };
    this.#lost = new Backoff(this.#timing.lost, options.random);
    this.#away = new Backoff(this.#timing.away, options.random);
    this.#refused = new Backoff(this.#timing.refused, options.random);
    this.#native = new RtspPuller(options);
    this.#puller = this.#firstPuller();
  }

  get state(): CameraState {
    return this.#state;
  }

  /** What fetches the source now, or did last. */
  get puller(): PullerName {
    return this.#puller;
  }

  /** What carries the media now (`tcp`, `udp`); `null` while nothing does. */
  get transport(): string | null {
    return this.#session?.transport ?? null;
  }

  /** Begins to pull. Once is enough, and a closed pull stays closed. */
  start(): void {
    if (this.#stop.signal.aborted) return;
    this.#running ??= this.#run();
  }

  /** Takes leave of the camera, within half a second, and stops for good. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#session?.close();
    await this.#running;
    if (this.#state.at !== "idle") this.#enter({ at: "idle", since: unixMs() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    this.#enter({ at: "connecting", since: unixMs() });
    while (!signal.aborted) {
      const end = await this.#attempt();
      if (signal.aborted) return;
      if (end.kind === "ended") {
        this.#enter({ at: "ended", since: unixMs() });
        return;
      }
      const fault = this.#judge(faultOfEnd(end));
      if (fault !== null) await this.#pause(this.#failed(fault));
    }
  }

  async #attempt(): Promise<SessionEnd> {
    const gate = this.#options.gate ?? PROCESS_GATE;
    try {
      using turn = await gate.enter(this.#stop.signal);
      this.#stop.signal.throwIfAborted();
      return await this.#pull(() => turn[Symbol.dispose]());
    } catch (error) {
      return { kind: "failed", fault: faultOf(error) };
    }
  }

  /** @param onPlaying called when the camera agreed to send */
  async #pull(onPlaying: () => void): Promise<SessionEnd> {
    const { camera, source, stream, random } = this.#options;
    const session = this.#open({
      camera,
      source,
      stream,
      timing: this.#timing,
      counters: this.counters,
      random,
      onPlaying: () => {
        onPlaying();
        this.counters.connects++;
        if (this.counters.connects > 1) this.counters.reconnects++;
      },
      onLive: () => this.#live(),
      onStalled: (fault, until) => this.#stalled(fault, until),
    });
    this.#liveSince = Number.POSITIVE_INFINITY;
    this.#session = session;
    const end = await session.run();
    this.#session = null;
    if (session.packets > 0) stream.restart();
    if (monotonicMs() - this.#liveSince >= this.#timing.steadyMs) this.#lost.reset();
    return end;
  }

  get #open(): OpenSession {
    const { ffmpeg } = this.#options;
    if (this.#puller === "native") return (context) => this.#native.open(context);
    if (ffmpeg !== undefined) return ffmpeg;
    throw new Fault("native_unavailable", "the ffmpeg puller is not available in this process");
  }

  #firstPuller(): PullerName {
    const { puller = "auto", ffmpeg, source } = this.#options;
    if (puller !== "auto") return puller;
    return ffmpeg === undefined ? "native" : pullerFor(source.reveal());
  }

  /**
   * What to report of a session that failed; `null` when the other puller is tried at once: libav
   * for what the native client cannot do. When libav never went live either, what the native client
   * said is the better word, and it is asked again next time: the camera may have been mended.
   */
  #judge(fault: Fault): Fault | null {
    const { puller = "auto", ffmpeg } = this.#options;
    const wentLive = this.#liveSince !== Number.POSITIVE_INFINITY;
    if (puller !== "auto" || ffmpeg === undefined || wentLive) return fault;
    if (this.#puller === "ffmpeg") {
      this.#puller = this.#firstPuller();
      return this.#beyond ?? fault;
    }
    this.#beyond = BEYOND_NATIVE.includes(fault.code) ? fault : null;
    if (this.#beyond === null) return fault;
    this.#puller = "ffmpeg";
    return null;
  }

  #live(): void {
    if (this.#state.at === "live") return;
    if (this.#liveSince === Number.POSITIVE_INFINITY) this.#liveSince = monotonicMs();
    this.#failures = 0;
    this.#beyond = null;
    this.#refused.reset();
    this.#away.reset();
    const { log, camera } = this.#options;
    log?.info("camera is live", { camera, puller: this.#puller });
    this.#enter({ at: "live", since: unixMs() });
  }

  #stalled(fault: Fault, until: Millis): void {
    const cause: Cause = { code: fault.code, message: fault.message };
    this.#logFailure(cause, fault);
    const since = unixMs();
    const nextAttempt = since + Math.max(0, until - monotonicMs());
    this.#enter({ at: "stalled", since, cause, attempt: this.#failures, nextAttempt });
  }

  /** Enters the state that the fault means. Returns how long to wait, in milliseconds. */
  #failed(fault: Fault): number {
    const refused = REFUSALS.includes(fault.code);
    const waitMs = (refused ? this.#refused : this.#unreached()).next();
    const cause: Cause = { code: fault.code, message: fault.message };
    this.#logFailure(cause, fault);
    this.#failures++;
    const now = unixMs();
    this.#enter({
      at: refused ? "refused" : "reconnecting",
      since: this.#failingSince(now, refused ? "refused" : "reconnecting"),
      cause,
      attempt: this.#failures,
      nextAttempt: now + waitMs,
    });
    return waitMs;
  }

  /** How eagerly a camera that is not there is tried again: less so after a while. */
  #unreached(): Backoff {
    const now = monotonicMs();
    if (this.#failures === 0) this.#failingFrom = now;
    return now - this.#failingFrom < this.#timing.awayAfterMs ? this.#lost : this.#away;
  }

  #failingSince(now: UnixMs, at: CameraState["at"]): UnixMs {
    return this.#state.at === at ? this.#state.since : now;
  }

  /** A camera that is away for days is one line in the log, not one for each attempt. */
  #logFailure(cause: Cause, fault: Fault): void {
    const last = "cause" in this.#state ? this.#state.cause : null;
    if (last?.code === cause.code && last.message === cause.message) return;
    const { log, camera } = this.#options;
    if (fault.code === "internal") {
      log?.error("bug in the pull of a camera", { camera, ...cause, stack: originOf(fault) });
    } else log?.warn("camera is not live", { camera, ...cause });
  }

  #pause(waitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { signal } = this.#stop;
    const wake = () => resolve();
    const timer = setTimeout(wake, waitMs);
    signal.addEventListener("abort", wake);
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
    });
  }

  #enter(state: CameraState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

function faultOfEnd(end: Exclude<SessionEnd, { kind: "ended" }>): Fault {
  if (end.kind === "failed") return end.fault;
  return new Fault("camera_closed", "the connection was closed");
}

/** Where a bug was thrown, without a line of it being lost in the log's one line. */
function originOf(fault: Fault): string {
  const cause = fault.cause instanceof Error ? fault.cause : fault;
  return cause.stack ?? cause.message;
}
