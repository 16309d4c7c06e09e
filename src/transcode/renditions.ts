/**
 * One stream in the codecs that its viewers take, as media has it. The first viewer of any starts a
 * process, all share it, and some time after the last one it ends.
 *
 * @module
 */
import { assert } from "../core/fault.ts";
import type { Millis, UnixMs } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import type {
  DecoderStats,
  RenditionCodec,
  RenditionStats,
  TranscodeStats,
} from "../process/protocol.ts";
import type { WholeUnit } from "../rtp/repacketizer.ts";
import type { TrackFormat } from "../rtp/track-format.ts";
import type { Unit } from "../stream/sinks.ts";
import type { UnitReceiver } from "../stream/unit-intake.ts";
import type { Hello } from "../stream/unit-wire.ts";
import type { Log } from "../telemetry/log.ts";
import { isRenditionCodec, renditionFormat } from "./rendition-wire.ts";
import type { Use } from "./room.ts";
import { type RenditionSource, type TranscodeSettings, TranscodeWorker } from "./worker.ts";

/** A page that is loaded anew finds its rendition running. */
const LINGER_MS: Millis = 10_000;

/** Where a rendition goes: a track like any other, to viewers. */
export interface RenditionTrack {
  /** Takes a whole unit in [start, end) of `b`, borrowed. */
  receiveUnit(b: Uint8Array, start: number, end: number, unit: WholeUnit, now: Millis): void;
  /** The turn is over. `wall` is when the unit's picture was captured. */
  flush(now: Millis, wall: UnixMs): void;
  /** Nothing comes after this. */
  end(): void;
}

/** Holds a rendition while a viewer watches it. */
export interface Lease<T> extends Disposable {
  readonly track: T;
  /** Idempotent; so is disposing of it. */
  release(): void;
}

export interface RenditionsOptions<T extends RenditionTrack> {
  readonly camera: string;
  /** The stream; its tracks are looked at when a process starts and at `sourceChanged`. */
  readonly source: RenditionSource;
  readonly openTrack: (format: TrackFormat) => T;
  readonly settings: TranscodeSettings;
  readonly log: Log;
  /** LINGER_MS unless given. */
  readonly lingerMs?: Millis;
}

/** What a stream's transcoding costs and does. */
export interface RenditionsStats {
  readonly camera: string;
  /** `null` between two processes. */
  readonly pid: number | null;
  readonly restarts: number;
  /** Of one core, over the last second; 0 until known. */
  readonly cpuShare: number;
  readonly rssBytes: number;
  readonly decoder: DecoderStats | null;
  readonly renditions: readonly (RenditionStats & {
    readonly viewers: number;
    /** Units a second, over the last second; 0 until known. */
    readonly unitsPerSecond: number;
  })[];
}

interface Rendition<T> {
  readonly track: T;
  leases: number;
  linger: ReturnType<typeof setTimeout> | null;
  /** The next unit comes from a process that knows nothing of the one before. */
  gap: boolean;
}

/** Two reports of one process, for rates. */
interface Reports {
  readonly last: TranscodeStats;
  readonly at: Millis;
  readonly before: { readonly stats: TranscodeStats; readonly at: Millis } | null;
}

export class Renditions<T extends RenditionTrack> implements AsyncDisposable {
  readonly #options: RenditionsOptions<T>;
  readonly #renditions = new Map<RenditionCodec, Rendition<T>>();
  #worker: TranscodeWorker | null = null;
  /** Workers that are being stopped. */
  readonly #ending = new Set<Promise<void>>();
  #reports: Reports | null = null;
  #closed = false;

  constructor(options: RenditionsOptions<T>) {
    this.#options = options;
  }

  /** What leases are held on. */
  get use(): Use {
    const held = [...this.#renditions].filter(([, { leases }]) => leases > 0);
    if (held.length === 0) return "nothing";
    return held.every(([codec]) => codec === "opus") ? "sound" : "pictures";
  }

  /** The rendition's track while somebody holds a lease on it, or just did. */
  track(codec: RenditionCodec): T | null {
    return this.#renditions.get(codec)?.track ?? null;
  }

  /** Starts the rendition, or shares it. Its track lives on when the process does not. */
  acquire(codec: RenditionCodec): Lease<T> {
    assert(!this.#closed, "nothing is acquired of what is closed");
    const rendition = this.#renditions.get(codec) ?? this.#open(codec);
    if (rendition.linger) clearTimeout(rendition.linger);
    rendition.linger = null;
    rendition.leases++;
    let held = true;
    const release = (): void => {
      if (held) this.#release(codec, rendition);
      held = false;
    };
    return { track: rendition.track, release, [Symbol.dispose]: release };
  }

  /** A viewer of this rendition needs a keyframe. */
  keyframe(codec: RenditionCodec): void {
    this.#worker?.keyframe(codec);
  }

  /** The stream's tracks are others now. */
  sourceChanged(): void {
    this.#worker?.sourceChanged();
  }

  /** `null` while nothing is transcoded. */
  stats(): RenditionsStats | null {
    const worker = this.#worker;
    if (worker === null) return null;
    const reports = this.#reports;
    const seconds = reports?.before ? (reports.at - reports.before.at) / 1_000 : 0;
    const cpuMs = (reports?.last.process.cpuMs ?? 0) - (reports?.before?.stats.process.cpuMs ?? 0);
    return {
      camera: this.#options.camera,
      pid: worker.pid,
      restarts: worker.restarts,
      cpuShare: seconds > 0 ? cpuMs / 1_000 / seconds : 0,
      rssBytes: reports?.last.process.rssBytes ?? 0,
      decoder: reports?.last.decoder ?? null,
      renditions: (reports?.last.renditions ?? []).map((stats) => {
        const before = reports?.before?.stats.renditions.find((one) => one.codec === stats.codec);
        const units = stats.units - (before?.units ?? 0);
        const viewers = this.#renditions.get(stats.codec)?.leases ?? 0;
        return { ...stats, viewers, unitsPerSecond: before && seconds > 0 ? units / seconds : 0 };
      }),
    };
  }

  /** Ends the process and every track. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const codec of [...this.#renditions.keys()]) this.#end(codec);
    await Promise.all(this.#ending);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(codec: RenditionCodec): Rendition<T> {
    const track = this.#options.openTrack(renditionFormat(codec));
    const rendition: Rendition<T> = { track, leases: 0, linger: null, gap: false };
    this.#renditions.set(codec, rendition);
    if (this.#worker) this.#worker.update();
    else this.#worker = this.#start();
    return rendition;
  }

  #start(): TranscodeWorker {
    this.#reports = null;
    const { camera, source, settings, log } = this.#options;
    const receiver: UnitReceiver = {
      hello: (hello) => this.#begin(hello),
      unit: (name, unit) => this.#take(name, unit),
      replayEnded: () => {},
    };
    const wanted = (): RenditionCodec[] => [...this.#renditions.keys()];
    const stats = (report: TranscodeStats): void => this.#report(report);
    return new TranscodeWorker({ camera, settings, source, wanted, receiver, stats, log });
  }

  #release(codec: RenditionCodec, rendition: Rendition<T>): void {
    rendition.leases--;
    if (rendition.leases > 0 || this.#renditions.get(codec) !== rendition) return;
    const { lingerMs = LINGER_MS } = this.#options;
    rendition.linger = setTimeout(() => this.#end(codec), lingerMs);
  }

  #end(codec: RenditionCodec): void {
    const rendition = this.#renditions.get(codec);
    if (!rendition) return;
    if (rendition.linger) clearTimeout(rendition.linger);
    this.#renditions.delete(codec);
    rendition.track.end();
    if (this.#renditions.size > 0) this.#worker?.update();
    else this.#stop();
  }

  #stop(): void {
    const worker = this.#worker;
    this.#worker = null;
    if (!worker) return;
    const ended = worker.stop();
    this.#ending.add(ended);
    void ended.then(() => this.#ending.delete(ended));
  }

  /** A process connected for this rendition: the first ever, or one after a crash. */
  #begin({ camera: name }: Hello): void {
    const rendition = isRenditionCodec(name) ? this.#renditions.get(name) : undefined;
    if (rendition) rendition.gap = true;
  }

  #take(name: string, unit: Unit): void {
    const rendition = isRenditionCodec(name) ? this.#renditions.get(name) : undefined;
    if (!rendition || !isRenditionCodec(name)) return;
    const { timestamp } = unit;
    const gapBefore = unit.gapBefore || rendition.gap;
    // Units were left out on the way: viewers cannot go on without a keyframe.
    if (gapBefore && !unit.keyframe) this.keyframe(name);
    rendition.gap = false;
    const now = monotonicMs();
    rendition.track.receiveUnit(unit.bytes, 0, unit.length, { timestamp, gapBefore }, now);
    rendition.track.flush(now, unit.captured);
  }

  #report(last: TranscodeStats): void {
    const reports = this.#reports;
    const same = reports?.last.process.pid === last.process.pid;
    const before = reports && same ? { stats: reports.last, at: reports.at } : null;
    this.#reports = { last, at: monotonicMs(), before };
  }
}
