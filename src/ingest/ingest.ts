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
import type { UnixMs } from "../core/units.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import { parseAddress, type RtspAddress } from "../rtsp/address.ts";
import type { CameraState, Cause } from "../stream/camera-state.ts";
import type { Stream } from "../stream/stream.ts";
import type { Log } from "../telemetry/log.ts";
import { Dialer } from "./dialer.ts";
import { type PullCounters, Session, type SessionEnd } from "./session.ts";
import { PULL_TIMING, type PullTiming } from "./timing.ts";

/** RFC 2326 names no bound; a camera that points back at itself must not be followed for ever. */
const REDIRECTS_MAX = 3;

/** What only a person can mend; asking again soon would not help, and may lock the account. */
const REFUSALS: readonly FaultCode[] = [
  "camera_unauthorized",
  "camera_not_found",
  "track_unsupported",
  "request_invalid",
];

/** What a pull is made of. */
export interface PullOptions {
  /** Names the camera in the log. */
  readonly camera: string;
  /** The camera's address with its credentials. */
  readonly source: Secret;
  readonly transport: "tcp" | "udp";
  /** Gets the packets. The pull is its only writer. */
  readonly stream: Stream;
  /** Called with every new state, which `state` has by then. */
  readonly onState: (state: CameraState) => void;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log?: Log;
  /** Other times to wait; PULL_TIMING where it says nothing. */
  readonly timing?: Partial<PullTiming>;
}

/** One camera's pull. Owns its connections; the stream is the caller's. */
export class Pull implements AsyncDisposable {
  readonly counters: PullCounters = {
    attempts: 0,
    connects: 0,
    reconnects: 0,
    ignored: 0,
    strangers: 0,
    bugs: 0,
  };
  readonly #options: PullOptions;
  readonly #timing: PullTiming;
  readonly #dialer = new Dialer();
  readonly #lost: Backoff;
  readonly #refused: Backoff;
  readonly #stop = new AbortController();
  #state: CameraState = { at: "idle", since: unixMs() };
  #session: Session | null = null;
  #running: Promise<void> | null = null;
  /** Failures since the camera was last live. */
  #failures = 0;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#timing = { ...PULL_TIMING, ...options.timing };
    this.#lost = new Backoff(this.#timing.lost, options.random);
    this.#refused = new Backoff(this.#timing.refused, options.random);
  }

  get state(): CameraState {
    return this.#state;
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
    this.#enter({ at: "connecting", since: unixMs() });
    for (;;) {
      const end = await this.#attempt();
      if (this.#stop.signal.aborted) return;
      await this.#pause(this.#failed(faultOfEnd(end)));
      if (this.#stop.signal.aborted) return;
    }
  }

  /** One attempt at the configured address, and at those it redirects to. */
  async #attempt(): Promise<SessionEnd> {
    try {
      let address = parseAddress(this.#options.source.reveal());
      for (let redirects = 0; ; redirects++) {
        const end = await this.#pull(address);
        const again = end.kind === "redirected" && !this.#stop.signal.aborted;
        if (!again || redirects === REDIRECTS_MAX) return end;
        address = redirectedTo(end.location, address);
      }
    } catch (error) {
      return { kind: "failed", fault: faultOf(error) };
    }
  }

  async #pull(address: RtspAddress): Promise<SessionEnd> {
    const { stream, transport, random } = this.#options;
    const { counters } = this;
    let liveSince = Number.POSITIVE_INFINITY;
    const onLive = () => {
      liveSince = monotonicMs();
      this.#live();
    };
    const timing = this.#timing;
    const session = new Session({ address, transport, stream, timing, counters, random, onLive });
    this.#session = session;
    const end = await session.run(this.#dialer);
    this.#session = null;
    if (session.packets > 0) stream.restart();
    if (monotonicMs() - liveSince >= timing.steadyMs) this.#lost.reset();
    return end;
  }

  #live(): void {
    this.#failures = 0;
    this.#refused.reset();
    this.#options.log?.info("camera is live", { camera: this.#options.camera });
    this.#enter({ at: "live", since: unixMs() });
  }

  /** Enters the state that the fault means. Returns how long to wait, in milliseconds. */
  #failed(fault: Fault): number {
    const refused = REFUSALS.includes(fault.code);
    const waitMs = (refused ? this.#refused : this.#lost).next();
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

function faultOfEnd(end: SessionEnd): Fault {
  switch (end.kind) {
    case "failed":
      return end.fault;
    case "redirected":
      return new Fault("camera_protocol", `redirected more than ${REDIRECTS_MAX} times in a row`);
    case "closed":
      return new Fault("camera_closed", "the connection was closed");
    default:
      return end satisfies never;
  }
}

/** Where a camera sends its clients. The credentials are for the configured host only. */
function redirectedTo(location: string, from: RtspAddress): RtspAddress {
  try {
    const to = parseAddress(location);
    if (to.user !== null || to.host !== from.host) return to;
    return { ...to, user: from.user, password: from.password };
  } catch (cause) {
    throw new Fault("camera_protocol", `${from.label} redirects to what is no RTSP address`, {
      cause,
    });
  }
}

/** Where a bug was thrown, without a line of it being lost in the log's one line. */
function originOf(fault: Fault): string {
  const cause = fault.cause instanceof Error ? fault.cause : fault;
  return cause.stack ?? cause.message;
}
