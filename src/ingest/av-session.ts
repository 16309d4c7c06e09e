/**
 * One session of the `ffmpeg` puller: a child process reads the source by libav (av-process.ts), and
 * what it reads goes into the stream here. A crash of libav costs this camera one connection.
 *
 * It adds to what the native puller takes: one copy through a pipe, and over RTSP the interval of one
 * picture, because libav's parser knows the end of a picture by the beginning of the next one.
 *
 * @module
 */
import { join } from "node:path";
import type { Subprocess } from "bun";
import { Fault, faultOf } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import { avSource, isLocalFile } from "../source/av-source.ts";
import type { Unit } from "../stream/sinks.ts";
import type { Track } from "../stream/track.ts";
import { type TrackKind, UnitReader } from "../stream/unit-wire.ts";
import type { AvOrder, AvReport } from "./av-process.ts";
import type { OpenSession, PullSession, SessionContext, SessionEnd } from "./puller.ts";
import { authoritiesFile, type TlsSettings } from "./tls.ts";
import { WallClock } from "./wall.ts";
import { MediaWatch } from "./watch.ts";

/** Imported by nobody: it is another process. */
const ENTRY = join(import.meta.dir, "../children/puller.ts");
/** Until Bun and libav are loaded; a busy machine takes its time. */
const START_MS: Millis = 5_000;
/** libav takes leave of the source within this, or is ended. */
const LEAVE_MS: Millis = 400;

/** What can be chosen about the `ffmpeg` puller. */
export interface AvSettings {
  /** For RTSP; `auto` is TCP, or UDP where the camera refuses TCP. */
  readonly transport: "auto" | "tcp" | "udp";
  /** For sources that speak TLS. */
  readonly tls: TlsSettings;
}

/** Opens sessions of the `ffmpeg` puller. */
export function avPuller(settings: AvSettings): OpenSession {
  return (context) => new AvSession(context, settings);
}

type Puller = Subprocess<"ignore", "pipe", "inherit">;

class AvSession implements PullSession {
  packets = 0;
  readonly #context: SessionContext;
  readonly #settings: AvSettings;
  readonly #end = Promise.withResolvers<SessionEnd>();
  readonly #reader: UnitReader;
  #watch: MediaWatch;
  #tracks: Record<TrackKind, Track | null> = { video: null, audio: null };
  #process: Puller | null = null;
  #ended = false;
  #closing = false;
  #last: AvReport | null = null;
  #timer: Timer | null = null;
  #timerAt: Millis = Number.POSITIVE_INFINITY;
  /** When the source must have been described. */
  #openBy: Millis = 0;
  #described = false;
  #now: Millis = 0;
  #videoArrived = false;
  readonly #wall = new WallClock();
  #label = "the source";

  constructor(context: SessionContext, settings: AvSettings) {
    this.#context = context;
    this.#settings = settings;
    this.#watch = new MediaWatch(context.timing, this.#label);
    this.#reader = new UnitReader({
      hello: ({ tracks }) => this.#begin(tracks),
      unit: (unit, kind) => this.#take(unit, kind),
      replayEnded: () => {},
    });
  }

  /** Not known: libav chooses among the transports that it is allowed. */
  get transport(): string | null {
    const { transport } = this.#settings;
    return this.#described && transport !== "auto" ? transport : null;
  }

  async run(): Promise<SessionEnd> {
    this.#context.counters.attempts++;
    try {
      if (!this.#closing) this.#start();
    } catch (thrown) {
      this.#finish({ kind: "failed", fault: faultOf(thrown) });
    }
    if (this.#closing) this.#finish({ kind: "closed" });
    const end = await this.#end.promise;
    await this.#endProcess();
    return end;
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#finish({ kind: "closed" });
    await this.#endProcess();
  }

  #start(): void {
    const { camera, source, timing } = this.#context;
    const order: AvOrder = {
      camera,
      source: source.reveal(),
      transport: this.#settings.transport,
      tls: { ...this.#settings.tls, authorities: authoritiesFile() },
      timeoutMs: timing.connectMs,
    };
    // Read here too, so that a wrong address is told without a process.
    this.#label = avSource(order.source, order).label;
    this.#watch = new MediaWatch(timing, this.#label);
    this.#openBy = monotonicMs() + START_MS + timing.connectMs + timing.replyMs;
    const child = Bun.spawn([process.execPath, ENTRY], {
      stdio: ["ignore", "pipe", "inherit"],
      serialization: "json",
      ipc: (report: AvReport) => {
        this.#last = report;
      },
    });
    this.#process = child;
    // Over the channel and never by the command line, which everyone can read.
    child.send(order);
    void this.#read(child);
    this.#wake();
  }

  async #read(child: Puller): Promise<void> {
    try {
      for await (const bytes of child.stdout) this.#guard(() => this.#receive(bytes));
    } catch (thrown) {
      this.#finish({ kind: "failed", fault: faultOf(thrown) });
    }
    await child.exited;
    this.#exited(child);
  }

  #receive(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#now = monotonicMs();
    this.#reader.push(bytes);
    this.#flush();
  }

  #begin(formats: Parameters<SessionContext["stream"]["describe"]>[0]): void {
    const tracks = this.#context.stream.describe(formats);
    for (const [i, { kind }] of formats.entries()) this.#tracks[kind] = tracks[i] ?? null;
    this.#described = true;
    this.#watch.played(this.#now);
    this.#context.onPlaying();
    this.#wake();
  }

  #take({ bytes, length, timestamp, gapBefore }: Unit, kind: TrackKind): void {
    this.packets++;
    this.#tracks[kind]?.receiveUnit(bytes, 0, length, { timestamp, gapBefore }, this.#now);
    if (kind === "video") this.#videoArrived = true;
    else this.#watch.heard(this.#now);
  }

  /** Everything of one read goes to the sinks at once. */
  #flush(): void {
    const { stream, onLive } = this.#context;
    const now = this.#now;
    stream.flush(now, this.#wall.at(now));
    if (!this.#videoArrived) return;
    this.#videoArrived = false;
    if (this.#watch.arrived(now, this.#watch.live || stream.keyframe >= 0)) onLive();
    // What comes first is waited for longer than what comes next.
    if (this.#watch.deadline < this.#timerAt) this.#wake();
  }

  /** A timer that fires too early costs one look. */
  #wake(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const at = this.#described ? this.#watch.deadline : this.#openBy;
    this.#timerAt = at;
    if (this.#ended || at === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.max(0, Math.ceil(at - monotonicMs()));
    this.#timer = setTimeout(() => this.#guard(() => this.#check()), waitMs);
  }

  #check(): void {
    const now = monotonicMs();
    if (!this.#described && now >= this.#openBy) {
      const message = `${this.#label} does not say what it sends: is it on, and is its address right?`;
      this.#finish({ kind: "failed", fault: new Fault("camera_timeout", message) });
    }
    const finding = this.#watch.check(now);
    if (finding?.until !== undefined) this.#context.onStalled(finding.fault, finding.until);
    else if (finding) this.#finish({ kind: "failed", fault: finding.fault });
    this.#wake();
  }

  #exited({ exitCode, signalCode }: Puller): void {
    const last = this.#last;
    if (last?.kind === "ended") {
      // A live source that ends was cut off; a file has been played.
      const file = isLocalFile(this.#context.source.reveal());
      this.#finish(file ? { kind: "ended" } : this.#cutOff());
    } else if (last?.kind === "failed") {
      this.#finish({ kind: "failed", fault: new Fault(last.code, last.message) });
    } else {
      const how = signalCode === null ? `exit code ${exitCode}` : signalCode;
      const message = `libav broke down at ${this.#label} (${how}); it is started again.`;
      this.#finish({ kind: "failed", fault: new Fault("process_down", message) });
    }
  }

  #cutOff(): SessionEnd {
    const when = this.#described ? "" : " before the stream began";
    const fault = new Fault("camera_closed", `${this.#label} closed the connection${when}`);
    return { kind: "failed", fault };
  }

  /** In time, or by force. Resolves when the process is gone. */
  async #endProcess(): Promise<void> {
    const child = this.#process;
    if (child === null || child.exitCode !== null) return;
    child.kill("SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), LEAVE_MS);
    await child.exited;
    clearTimeout(force);
  }

  /** What throws here is a bug of ours; it ends this session and nothing else. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.#context.counters.bugs++;
      this.#finish({ kind: "failed", fault: faultOf(thrown) });
    }
  }

  #finish(end: SessionEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#end.resolve(this.#closing ? { kind: "closed" } : end);
  }
}
