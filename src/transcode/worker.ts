/**
 * One transcoding process as media has it: started, fed with the camera's units, told what is
 * wanted, started again when it ends. Everything is said anew to each new process.
 *
 * @module
 */
import { join } from "node:path";
import { faultOf } from "../core/fault.ts";
import type { ViewerCodec } from "../native/av-encoders.ts";
import { monotonicMs } from "../native/clock.ts";
import type {
  RenditionCodec,
  TranscodeEvents,
  TranscodeMethods,
  TranscodeStats,
} from "../process/protocol.ts";
import { Child } from "../process/supervisor.ts";
import type { TrackFormat } from "../rtp/track-format.ts";
import { UnitFeed, type UnitSource } from "../stream/unit-feed.ts";
import { UnitIntake, type UnitReceiver } from "../stream/unit-intake.ts";
import type { Log, LogOptions } from "../telemetry/log.ts";

/** A feed that ended although the process lives is opened anew after this long. */
const FEED_RETRY_MS = 500;

/** A track of the camera, as far as transcoding knows it. */
export interface SourceTrack extends UnitSource {
  readonly format: TrackFormat;
  /** As last seen; see TrackFormat. */
  readonly parameterSets: readonly Uint8Array[];
}

/** What is transcoded: a stream's tracks as they are now. */
export interface RenditionSource {
  readonly video: SourceTrack | null;
  readonly audio: SourceTrack | null;
}

type RenditionSourceKinds = Readonly<Record<keyof RenditionSource, boolean>>;

/** What holds for every transcoding process. */
export interface TranscodeSettings {
  /** Absolute path of the module that the process runs: children/transcode.ts. */
  readonly entry: string;
  /** Where sockets go; at most 80 bytes of path. */
  readonly folder: string;
  /** Decodes and encodes on hardware where that works. */
  readonly hardware: boolean;
  /** Wider pictures are scaled down to this; VP8 in software takes most of a core at 1080p25. */
  readonly widthMax: Readonly<Record<ViewerCodec, number>>;
  readonly childLog: Pick<LogOptions, "level" | "format">;
}

export interface WorkerOptions {
  readonly camera: string;
  readonly settings: TranscodeSettings;
  readonly source: RenditionSource;
  /** What is wanted now; asked whenever it is told to a process. */
  readonly wanted: () => readonly RenditionCodec[];
  /** Takes the renditions. */
  readonly receiver: UnitReceiver;
  readonly stats: (stats: TranscodeStats) => void;
  readonly log: Log;
}

/** Names of sockets are short and no two are the same: a process that ends may still hold its own. */
let count = 0;

export class TranscodeWorker implements AsyncDisposable {
  readonly #options: WorkerOptions;
  readonly #socket: string;
  readonly #intake: UnitIntake;
  readonly #child: Child<TranscodeMethods, TranscodeEvents, unknown>;
  #feed: UnitFeed | null = null;
  /** Which kinds of track the feed carries. */
  #fed: RenditionSourceKinds = { video: false, audio: false };
  /** Counts what makes a feed that is being opened the wrong one. */
  #generation = 0;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #stopped = false;

  constructor(options: WorkerOptions) {
    const { camera, settings, receiver, log } = options;
    const name = `t${process.pid}-${++count}`;
    const renditionSocket = join(settings.folder, `${name}.out`);
    this.#options = options;
    this.#socket = join(settings.folder, `${name}.in`);
    // A process that is being stopped may still bring some; its successor brings the same.
    const quiet = (call: () => void): void => (this.#stopped ? undefined : call());
    const until: UnitReceiver = {
      hello: (hello) => quiet(() => receiver.hello(hello)),
      unit: (name, unit, kind) => quiet(() => receiver.unit(name, unit, kind)),
      replayEnded: (name) => quiet(() => receiver.replayEnded(name)),
    };
    this.#intake = new UnitIntake(renditionSocket, until, log);
    this.#child = new Child({
      name: `transcode-${camera}`,
      entry: settings.entry,
      options: {
        camera,
        unitSocket: this.#socket,
        renditionSocket,
        hardware: settings.hardware,
        widthMax: settings.widthMax,
        log: settings.childLog,
      },
      listeners: { stats: options.stats },
      onUp: () => void this.#tell(true),
      onDown: () => this.#closeFeed(),
      log,
    });
  }

  get restarts(): number {
    return this.#child.restarts;
  }

  /** `null` while no process runs. */
  get pid(): number | null {
    return this.#child.pid;
  }

  /** What is wanted has changed. */
  update(): void {
    if (this.#child.up) void this.#tell(false);
  }

  /** A viewer needs a keyframe. A process that is not up yet begins with one anyway. */
  keyframe(codec: RenditionCodec): void {
    if (this.#child.up) this.#child.call("keyframe", { codec }).catch((e) => this.#warn(e));
  }

  /** The camera's tracks are others now. */
  sourceChanged(): void {
    if (this.#child.up) void this.#openFeed();
  }

  /** Ends the process, in time or by force, and removes the sockets. Idempotent. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#closeFeed();
    await this.#child.stop();
    this.#intake.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /**
   * Tells the process what is wanted, and then sends what that takes: units that come before would
   * be let go, and with them the keyframe to begin with.
   */
  async #tell(anew: boolean): Promise<void> {
    const codecs = this.#options.wanted();
    try {
      await this.#child.call("want", { codecs });
    } catch (thrown) {
      this.#warn(thrown);
    }
    const { video, audio } = kindsOf(codecs);
    if (anew || video !== this.#fed.video || audio !== this.#fed.audio) await this.#openFeed();
  }

  async #openFeed(): Promise<void> {
    this.#closeFeed();
    const generation = this.#generation;
    const { camera, source } = this.#options;
    this.#fed = kindsOf(this.#options.wanted());
    const video = this.#fed.video ? source.video : null;
    const audio = this.#fed.audio ? source.audio : null;
    const tracks = [video, audio].filter((track) => track !== null).map(describe);
    try {
      const gone = (): void => this.#feedLost(generation);
      const feed = await UnitFeed.open({ socket: this.#socket, camera, tracks, gone });
      if (generation !== this.#generation) {
        feed.close();
        return;
      }
      this.#feed = feed;
      // Others by now: these have ended, unheard.
      const changed = (video && source.video !== video) || (audio && source.audio !== audio);
      if (changed) feed.ended();
      else feed.follow({ video, audio }, monotonicMs());
    } catch (thrown) {
      this.#warn(thrown);
      this.#feedLost(generation);
    }
  }

  #feedLost(generation: number): void {
    if (generation !== this.#generation || this.#stopped) return;
    this.#closeFeed();
    this.#retry = setTimeout(() => this.sourceChanged(), FEED_RETRY_MS);
  }

  #closeFeed(): void {
    this.#generation++;
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
    this.#feed?.close();
    this.#feed = null;
  }

  #warn(thrown: unknown): void {
    const { code, message } = faultOf(thrown);
    if (!this.#stopped) this.#options.log.warn(message, { camera: this.#options.camera, code });
  }
}

/** Sound alone takes no pictures, and the other way round. */
function kindsOf(codecs: readonly RenditionCodec[]): RenditionSourceKinds {
  return { video: codecs.some((codec) => codec !== "opus"), audio: codecs.includes("opus") };
}

function describe({ format, parameterSets }: SourceTrack): TrackFormat {
  return { ...format, parameterSets };
}
