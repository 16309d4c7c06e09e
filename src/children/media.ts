/**
 * The media process: pulls every camera once into its ring, and hands packets to viewers and access
 * units to decode processes. Nothing else runs in its event loop.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { Secret } from "../core/secret.ts";
import { Pull } from "../ingest/ingest.ts";
import { monotonicMs } from "../native/clock.ts";
import { type ChildBasics, type Part, runChild, type Tell } from "../process/child.ts";
import type {
  CameraSpec,
  CameraStats,
  MediaEvents,
  MediaMethods,
  ProcessStats,
  TrackStats,
} from "../process/protocol.ts";
import { profileLevelIdOf } from "../rtp/sps.ts";
import { Sfu } from "../sfu/sfu.ts";
import { Stream } from "../stream/stream.ts";
import type { Track } from "../stream/track.ts";
import { UnitFeed } from "../stream/unit-feed.ts";
import type { Log } from "../telemetry/log.ts";

export interface MediaOptions extends ChildBasics {
  readonly webrtc: {
    /** Addresses of this machine that viewers are told to send to. */
    readonly addresses: readonly string[];
    readonly port: number;
  };
}

/** One camera: its pull, its stream, and the decode process that is fed, if any. */
interface Camera {
  readonly id: string;
  readonly stream: Stream;
  readonly pull: Pull;
  feed: UnitFeed | null;
}

class Media implements Part<MediaMethods> {
  readonly handlers = {
    openCamera: (spec: CameraSpec) =>
      this.#inTurn(spec.id, async () => {
        await this.#close(spec.id);
        this.#open(spec);
        return null;
      }),
    closeCamera: ({ camera }: { camera: string }) =>
      this.#inTurn(camera, async () => {
        await this.#close(camera);
        return null;
      }),
    offer: ({ camera, sdp, latency }: MediaMethods["offer"]["takes"]) =>
      this.#sfu.offer({ camera, video: this.#video(camera), sdp, latency }),
    endViewer: ({ camera, session }: MediaMethods["endViewer"]["takes"]) => ({
      found: this.#cameras.has(camera) && this.#sfu.end(session),
    }),
    feed: async ({ camera, socket }: MediaMethods["feed"]["takes"]) => {
      await this.#feed(this.#get(camera), socket);
      return null;
    },
  };

  readonly #sfu: Sfu;
  readonly #tell: Tell<MediaEvents>;
  readonly #log: Log;
  readonly #cameras = new Map<string, Camera>();
  /** Openings and closings under way, by camera: a camera is taken leave of before it is pulled anew. */
  readonly #turns = new Map<string, Promise<null>>();
  /** Of pulls that are closed. */
  #pastBugs = 0;
  /** Cameras whose feed broke since the last statistics. */
  readonly #feedsLost = new Set<string>();

  constructor(sfu: Sfu, tell: Tell<MediaEvents>, log: Log) {
    this.#sfu = sfu;
    this.#tell = tell;
    this.#log = log;
  }

  stats(process: ProcessStats): void {
    const { viewers, bugs, ...egress } = this.#sfu.stats();
    const feedsLost = [...this.#feedsLost];
    this.#feedsLost.clear();
    const cameras = [...this.#cameras.values()];
    this.#tell("stats", {
      process,
      cameras: cameras.map(statsOf),
      viewers,
      egress,
      bugs: cameras.reduce((sum, { pull }) => sum + pull.counters.bugs, bugs + this.#pastBugs),
      feedsLost,
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#cameras.keys()].map((camera) => this.#close(camera)));
    await this.#sfu.close();
  }

  /** Runs a step after the camera's earlier ones, so that it never has two pulls. */
  async #inTurn(id: string, step: () => Promise<null>): Promise<null> {
    const earlier = this.#turns.get(id) ?? Promise.resolve(null);
    // What went wrong there was told to whoever asked for it.
    const turn = earlier.then(step, step);
    this.#turns.set(id, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(id) === turn) this.#turns.delete(id);
    }
  }

  #get(id: string): Camera {
    const camera = this.#cameras.get(id);
    if (camera) return camera;
    throw new Fault("camera_not_live", `\`${id}\` is not pulled at present.`);
  }

  #video(id: string): Track {
    const { video } = this.#get(id).stream;
    if (video) return video;
    throw new Fault("camera_not_live", `\`${id}\` has not sent any video yet.`);
  }

  #open({ id, source, transport }: CameraSpec): void {
    const stream = new Stream();
    const pull = new Pull({
      camera: id,
      source: new Secret(source),
      transport,
      stream,
      onState: (state) => this.#tell("state", { camera: id, state }),
      random: Math.random,
      log: this.#log,
    });
    this.#cameras.set(id, { id, stream, pull, feed: null });
    pull.start();
  }

  async #close(id: string): Promise<void> {
    const camera = this.#cameras.get(id);
    if (!camera) return;
    this.#cameras.delete(id);
    this.#pastBugs += camera.pull.counters.bugs;
    this.#sfu.endCamera(id);
    // Workers may go on waiting for a camera that is opened again.
    if (camera.feed) this.#feedsLost.add(id);
    setFeed(camera, null);
    await camera.pull.close();
  }

  async #feed(camera: Camera, socket: string | null): Promise<void> {
    setFeed(camera, null);
    if (socket === null) return;
    const gone = (): void => void this.#feedsLost.add(camera.id);
    const { video } = camera.stream;
    // Nothing to feed yet: it is asked for again.
    if (!video) {
      gone();
      return;
    }
    const tracks = [{ ...video.format, parameterSets: video.parameterSets }];
    const feed = await UnitFeed.open({ socket, camera: camera.id, tracks, gone });
    // The camera may have been closed, or fed by a later call, while this one connected.
    if (this.#cameras.get(camera.id) !== camera) {
      feed.close();
      return;
    }
    setFeed(camera, feed);
    // Another track by now: this one ended, unheard.
    if (camera.stream.video !== video) feed.ended();
    else feed.follow({ video, audio: null }, monotonicMs());
  }
}

function setFeed(camera: Camera, feed: UnitFeed | null): void {
  camera.feed?.close();
  camera.feed = feed;
}

function statsOf({ id, stream, pull }: Camera): CameraStats {
  const { connects, reconnects } = pull.counters;
  const { video, audio } = stream;
  return {
    camera: id,
    connects,
    reconnects,
    video: video && trackStats(video),
    audio: audio && trackStats(audio),
  };
}

function trackStats(track: Track): TrackStats {
  const { format, counters, clock, ring, picture, newestTimestamp } = track;
  const { codec, clockHz, channels } = format;
  const { packets, bytes, units, keyframes, damagedUnits, late, malformed } = counters;
  return {
    codec,
    clockHz,
    channels,
    packets,
    bytes,
    units,
    keyframes,
    damagedUnits,
    lost: track.lost,
    late,
    malformed,
    ringBytes: ring.bytes.length,
    width: picture?.width ?? 0,
    height: picture?.height ?? 0,
    profileLevelId: codec === "h264" ? profileLevelIdOf(track.parameterSets[0]) : "",
    clock: clock.known
      ? { timestamp: newestTimestamp, captured: clock.at(newestTimestamp), source: clock.source }
      : null,
  };
}

/** Opens the media port; pulls nothing until it is told to. */
export async function openMedia(
  { webrtc }: MediaOptions,
  tell: Tell<MediaEvents>,
  log: Log,
): Promise<Part<MediaMethods>> {
  return new Media(await Sfu.open({ ...webrtc, log }), tell, log);
}

if (import.meta.main) await runChild<MediaMethods, MediaEvents, MediaOptions>(openMedia);
