/**
 * How cameras and processes are doing: the newest figures that each process told, and the rates
 * between the last two.
 *
 * @module
 */
import type { Millis } from "../core/units.ts";
import type {
  BusStats,
  CameraStats,
  DecoderStats,
  DecodeStats,
  EgressStats,
  MediaStats,
  ProcessStats,
  RtspStats,
  StreamName,
  StreamStats,
  TranscodingStats,
  ViewerStats,
} from "../process/protocol.ts";

/** Rates are taken over the last few seconds: a frame more or less in one second is no news. */
const SAMPLES_MAX = 4;

/** What is known of one stream of a camera. */
export interface StreamVitals {
  readonly stats: StreamStats;
  readonly rates: VideoRates;
}

/** What readers of the RTSP server got; the counters only grow. */
interface ReadFigures {
  readonly readers: number;
  readonly bytes: number;
  readonly droppedUnits: number;
}

/** Figures of one video over the last seconds. */
interface VideoRates {
  readonly framesPerSecond: number;
  readonly bitsPerSecond: number;
}

interface Sample {
  readonly at: Millis;
  readonly stats: CameraStats;
}

const STILL: VideoRates = { framesPerSecond: 0, bitsPerSecond: 0 };

export class Vitals {
  /** By process name. */
  readonly processes = new Map<string, ProcessStats>();
  /** Viewers of all cameras. */
  viewers: readonly ViewerStats[] = [];
  /** `null` while the media process is away. */
  egress: EgressStats | null = null;
  /** Broken assumptions of our own in the media process. */
  bugs = 0;
  readonly #cameras = new Map<string, readonly Sample[]>();
  readonly #decoders = new Map<string, readonly DecoderStats[]>();
  #topics: BusStats["topics"] = [];
  #rtsp: RtspStats | null = null;
  #transcoding: readonly TranscodingStats[] = [];

  /** @param now monotonic */
  tellMedia(stats: MediaStats, now: Millis): void {
    this.processes.set("media", stats.process);
    this.viewers = stats.viewers;
    this.egress = stats.egress;
    this.bugs = stats.bugs;
    this.#rtsp = stats.rtsp;
    this.#transcoding = stats.transcoding;
    const seen = new Set<string>();
    for (const camera of stats.cameras) {
      seen.add(camera.camera);
      const before = this.#cameras.get(camera.camera) ?? [];
      const samples = [...before, { at: now, stats: camera }].slice(-SAMPLES_MAX);
      this.#cameras.set(camera.camera, samples);
    }
    for (const id of this.#cameras.keys()) if (!seen.has(id)) this.#cameras.delete(id);
  }

  tellBus(stats: BusStats): void {
    this.processes.set("bus", stats.process);
    this.#topics = stats.topics;
  }

  tellDecode(name: string, stats: DecodeStats): void {
    this.processes.set(name, stats.process);
    this.#decoders.set(name, stats.decoders);
  }

  /** A process ended: what it told is no longer so. */
  forget(name: string): void {
    this.processes.delete(name);
    this.#decoders.delete(name);
    if (name === "bus") this.#topics = [];
    if (name !== "media") return;
    this.#cameras.clear();
    this.viewers = [];
    this.egress = null;
    this.#rtsp = null;
    this.#transcoding = [];
  }

  /** `null` while the stream is not known to the media process. */
  stream(id: string, name: StreamName): StreamVitals | null {
    const samples = this.#cameras.get(id) ?? [];
    const newest = samples.at(-1);
    const oldest = samples[0];
    const stats = newest?.stats[name];
    const before = oldest?.stats[name];
    if (!newest || !oldest || !stats || !before) return null;
    return { stats, rates: ratesBetween(before, stats, newest.at - oldest.at) };
  }
  viewersOf(id: string): readonly ViewerStats[] {
    return this.viewers.filter(({ camera }) => camera === id);
  }
  /** Figures of the RTSP server's readers of one camera, both streams together. */
  readersOf(id: string): ReadFigures {
    const paths = [id, `${id}/sub`];
    const read = this.#rtsp?.read.filter(({ path }) => paths.includes(path)) ?? [];
    const sum = (key: keyof ReadFigures): number => read.reduce((all, one) => all + one[key], 0);
    return { readers: sum("readers"), bytes: sum("bytes"), droppedUnits: sum("droppedUnits") };
  }
  /** What transcoding the camera takes; empty while nothing is transcoded. */
  transcodingOf(id: string): readonly TranscodingStats[] {
    return this.#transcoding.filter(({ camera }) => camera === id);
  }
  /** Frame bus topics of one camera. */
  topicsOf(id: string): BusStats["topics"] {
    return this.#topics.filter(({ topic }) => topic.startsWith(`${id}/`));
  }
  /** `null` while nobody wants the camera's pictures. */
  decoderOf(id: string): DecoderStats | null {
    for (const decoders of this.#decoders.values()) {
      const found = decoders.find(({ camera }) => camera === id);
      if (found) return found;
    }
    return null;
  }
}

function ratesBetween(a: StreamStats, b: StreamStats, ms: Millis): VideoRates {
  const seconds = ms / 1000;
  const [from, to] = [a.video, b.video];
  if (seconds <= 0 || !from || !to || to.units < from.units) return STILL;
  return {
    framesPerSecond: (to.units - from.units) / seconds,
    bitsPerSecond: ((to.bytes - from.bytes) * 8) / seconds,
  };
}
