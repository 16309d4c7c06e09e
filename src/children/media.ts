/**
 * The media process: pulls every camera once into its ring, and hands packets to viewers and access
 * units to decode processes. Nothing else runs in its event loop.
 *
 * @module
 */
import { assert, Fault } from "../core/fault.ts";
import { Secret } from "../core/secret.ts";
import { avPuller } from "../ingest/av-session.ts";
import type { Upstream, UpstreamOptions } from "../ingest/upstream.ts";
import { Upstreams } from "../ingest/upstreams.ts";
import { type ChildBasics, type Part, runChild, type Tell } from "../process/child.ts";
import type {
  CameraSpec,
  MediaEvents,
  MediaMethods,
  ProcessStats,
  RtspSpec,
  StreamName,
  UpstreamSpec,
} from "../process/protocol.ts";
import { Restream } from "../restream/restream.ts";
import type { WhepOffer } from "../rtc/whep-offer.ts";
import { Sfu } from "../sfu/sfu.ts";
import type { CameraState } from "../stream/camera-state.ts";
import type { Track } from "../stream/track.ts";
import type { Log } from "../telemetry/log.ts";
import { Camera } from "./camera.ts";
import { type TranscodeConfig, Viewing } from "./viewing.ts";

export interface MediaOptions extends ChildBasics {
  readonly transcode: TranscodeConfig;
  readonly webrtc: {
    /** Addresses of this machine that viewers are told to send to. */
    readonly addresses: readonly string[];
    readonly port: number;
  };
}

/** How long an offer waits for a stream that is about to be live: a group of pictures. */
const LIVE_WAIT_MS = 2_000;
/**
 * The same when the pull starts with the offer: cameras that start an encoder for it take seconds.
 * With what `Viewing` waits, less than a call may take (process/channel.ts).
 */
const START_WAIT_MS = 4_000;

class Media implements Part<MediaMethods> {
  readonly handlers = {
    openCamera: (spec: CameraSpec) =>
      this.#inTurn(spec.id, async () => {
        await this.#close(spec.id);
        await this.#open(spec);
        return null;
      }),
    closeCamera: ({ camera }: { camera: string }) =>
      this.#inTurn(camera, async () => {
        await this.#close(camera);
        return null;
      }),
    offer: (wish: MediaMethods["offer"]["takes"]) => this.#offer(wish),
    endViewer: ({ camera, session }: MediaMethods["endViewer"]["takes"]) => ({
      found: this.#cameras.has(camera) && this.#sfu.end(session),
    }),
    openRtsp: (spec: RtspSpec) => this.#openRtsp(spec),
    feed: async ({ camera, socket }: MediaMethods["feed"]["takes"]) => {
      await this.#get(camera).feed(socket);
      return null;
    },
  };

  readonly #sfu: Sfu;
  readonly #tell: Tell<MediaEvents>;
  readonly #log: Log;
  readonly #upstreams = new Upstreams();
  readonly #viewing: Viewing;
  #restream: Restream | null = null;
  readonly #cameras = new Map<string, Camera>();
  /** Openings and closings under way, by camera: a camera is taken leave of before it is pulled anew. */
  readonly #turns = new Map<string, Promise<null>>();
  /** Cameras whose feed broke since the last statistics. */
  readonly #feedsLost = new Set<string>();

  constructor(sfu: Sfu, viewing: Viewing, tell: Tell<MediaEvents>, log: Log) {
    this.#sfu = sfu;
    this.#viewing = viewing;
    this.#tell = tell;
    this.#log = log;
  }

  stats(process: ProcessStats): void {
    const { viewers, bugs: sfuBugs, ...egress } = this.#sfu.stats();
    const rtsp = this.#restream?.stats() ?? null;
    const feedsLost = [...this.#feedsLost];
    this.#feedsLost.clear();
    this.#tell("stats", {
      process,
      cameras: [...this.#cameras.values()].map((camera) => camera.stats()),
      viewers,
      egress,
      rtsp,
      transcoding: this.#viewing.stats(),
      bugs: sfuBugs + this.#upstreams.bugs + (rtsp?.bugs ?? 0),
      feedsLost,
    });
  }

  async close(): Promise<void> {
    await this.#restream?.close();
    await Promise.all([...this.#cameras.keys()].map((camera) => this.#close(camera)));
    await this.#upstreams[Symbol.asyncDispose]();
    await this.#viewing[Symbol.asyncDispose]();
    await this.#sfu.close();
  }

  /** @throws Fault `port_taken` */
  async #openRtsp({ users, ...where }: RtspSpec): Promise<null> {
    assert(this.#restream === null, "the RTSP server is opened once");
    this.#restream = await Restream.open({
      ...where,
      authorize:
        users?.map(({ user, password }) => ({ user, password: new Secret(password) })) ?? null,
      acquire: async ({ path }) => {
        const found = this.#find(path);
        if (found === null) return null;
        const { camera, upstream } = found;
        if (upstream.state.at === "refused") throw notLive(camera.spec.id, upstream);
        return { stream: upstream.stream, release: camera.hold(upstream) };
      },
      publish: ({ path }) => this.#find(path)?.upstream.publish() ?? null,
      log: this.#log,
    });
    return null;
  }

  /** The stream of a path: `lobby`, or `lobby/sub`. */
  #find(path: string): { camera: Camera; upstream: Upstream } | null {
    const [, id = "", sub] = /^([^/]+)(\/sub)?$/.exec(path) ?? [];
    const camera = this.#cameras.get(id);
    const upstream = sub === undefined ? camera?.main : camera?.sub;
    return camera && upstream ? { camera, upstream } : null;
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

  async #open(spec: CameraSpec): Promise<void> {
    const { id } = spec;
    const join = (stream: UpstreamSpec) => this.#upstreams.join(this.#pullOptions(id, stream));
    const main = await join(spec.main);
    const sub = spec.sub && (await join(spec.sub));
    const events = {
      state: (stream: StreamName, state: CameraState) =>
        this.#tell("state", { camera: id, stream, state }),
      feedLost: () => void this.#feedsLost.add(id),
      tracks: (upstream: Upstream) => this.#viewing.sourceChanged(upstream),
    };
    this.#cameras.set(id, new Camera(spec, { main, sub }, events));
  }

  #pullOptions(camera: string, { source, ...settings }: UpstreamSpec): UpstreamOptions {
    const log = this.#log;
    const ffmpeg = avPuller(settings);
    return { camera, source: new Secret(source), ...settings, ffmpeg, random: Math.random, log };
  }

  async #close(id: string): Promise<void> {
    const camera = this.#cameras.get(id);
    if (!camera) return;
    this.#cameras.delete(id);
    this.#sfu.endCamera(id);
    this.#restream?.endCamera(id);
    // Workers may go on waiting for a camera that is opened again.
    if (camera.isFed) this.#feedsLost.add(id);
    camera[Symbol.dispose]();
    const upstreams = [camera.main, camera.sub].filter((upstream) => upstream !== null);
    // Both at once: each camera takes its time to take leave.
    await Promise.all(upstreams.map((upstream) => this.#leave(upstream)));
  }

  async #leave(upstream: Upstream): Promise<void> {
    await this.#upstreams.leave(upstream);
    if (upstream.closed) await this.#viewing.forget(upstream);
  }

  async #offer(wish: MediaMethods["offer"]["takes"]): Promise<MediaMethods["offer"]["gives"]> {
    const camera = this.#get(wish.camera);
    const { main, sub } = camera;
    if (wish.stream === "main" || sub === null) return this.#answer(wish, camera, "main");
    try {
      return await this.#answer(wish, camera, "sub");
    } catch (error) {
      // A picture that is larger than asked for is better than none.
      const mainLives = main.state.at === "live" && sub.state.at !== "live";
      if (mainLives) return this.#answer(wish, camera, "main");
      throw error;
    }
  }

  /** Answers with this stream, once it lives; holds it while the session lasts. */
  async #answer(
    { camera: id, sdp, latency }: MediaMethods["offer"]["takes"],
    camera: Camera,
    stream: StreamName,
  ): Promise<MediaMethods["offer"]["gives"]> {
    const upstream = camera[stream];
    if (upstream === null) throw new Fault("internal", `${id} has no ${stream} stream`);
    const held = new DisposableStack();
    held.defer(camera.hold(upstream));
    try {
      const starts = upstream.state.at === "idle" || upstream.state.at === "connecting";
      const live = await upstream.untilLive(starts ? START_WAIT_MS : LIVE_WAIT_MS);
      if (!live) throw notLive(id, upstream);
      const offer = this.#sfu.read(sdp);
      const { video, audio, release } = await this.#viewing.tracks(id, upstream, offer);
      held.defer(release);
      // Removed or opened anew while this waited: nobody would end the session.
      if (this.#cameras.get(id) !== camera) throw changed(id);
      const ended = (): void => held.dispose();
      const answer = this.#sfu.answer(offer, { camera: id, video, audio, latency, ended });
      return { ...answer, stream };
    } catch (error) {
      held.dispose();
      throw error;
    }
  }
}

function changed(camera: string): Fault {
  return new Fault("camera_not_live", `\`${camera}\` was changed at this moment; ask again.`);
}

function notLive(camera: string, { state, isPublished }: Upstream): Fault {
  if (isPublished) {
    const message = `Nobody sends \`${camera}\`: publish to the hub's RTSP server, path /${camera}.`;
    return new Fault("camera_not_live", message);
  }
  const cause = "cause" in state ? ` ${state.cause.message}` : "";
  return new Fault("camera_not_live", `\`${camera}\` is ${state.at}.${cause}`);
}

/** Opens the media port; pulls nothing until it is told to. */
export async function openMedia(
  { log: childLog, transcode, webrtc }: MediaOptions,
  tell: Tell<MediaEvents>,
  log: Log,
): Promise<Part<MediaMethods>> {
  const sfu = await Sfu.open({ ...webrtc, log });
  const canPlay = (offer: WhepOffer, track: Track): boolean => sfu.canPlay(offer, track);
  const viewing = new Viewing({
    transcode,
    canPlay,
    // Their players come again, and get another codec.
    disordered: (track) => sfu.endTrack(track),
    log,
    childLog,
  });
  return new Media(sfu, viewing, tell, log);
}

if (import.meta.main) await runChild<MediaMethods, MediaEvents, MediaOptions>(openMedia);
