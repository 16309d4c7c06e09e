/**
 * Plays one camera in a video element over WHEP, with its sound if it has any, and keeps playing: a
 * stream that stops is joined anew, with backoff, until `stop`. No dependencies.
 *
 * @module
 */

/** No picture for this long is a stream that ended, not a pause: cameras send 5 fps and more. */
const STALL_MS = 1_500;
const WATCH_INTERVAL_MS = 250;
/** The hub answers an offer within milliseconds; a new one is tried when it does not. */
const ANSWER_TIMEOUT_MS = 5_000;
/** ICE and DTLS take a few round trips. */
const CONNECT_TIMEOUT_MS = 8_000;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 4_000;

/** What the player is doing; `message` says why it is not playing. */
export type PlayerState =
  | { readonly at: "stopped" }
  | { readonly at: "connecting" }
  | { readonly at: "playing" }
  | { readonly at: "waiting"; readonly message: string };

export interface PlayerOptions {
  /** `lowest` shows each picture as it comes; `smooth` trades delay for evenness. */
  readonly latency?: "default" | "lowest" | "smooth";
  /** Which of the camera's streams the hub sends, `main` or `sub`, once it is known. */
  readonly onStream?: (stream: string) => void;
  readonly onState?: (state: PlayerState) => void;
  /** Each picture that is presented, by its RTP timestamp (90 kHz), where the browser tells it. */
  readonly onPicture?: (rtpTimestamp: number, presented: DOMHighResTimeStamp) => void;
}

/** One WebRTC connection and the address under which the hub ends it. */
interface Session {
  readonly peer: RTCPeerConnection;
  readonly location: string | null;
  /** What the hub sends. */
  readonly stream: MediaStream;
}

class Refused extends Error {
  readonly retryAfterMs: number | null;
  constructor(message: string, retryAfterMs: number | null) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

export class WhepPlayer {
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #options: PlayerOptions;
  #running: AbortController | null = null;

  /** @param url of the camera's WHEP endpoint, such as `/whep/lobby` */
  constructor(video: HTMLVideoElement, url: string, options: PlayerOptions = {}) {
    this.#video = video;
    this.#url = url;
    this.#options = options;
  }

  /** True keeps the sound off. Browsers let a page turn it on after a click only. */
  get muted(): boolean {
    return this.#video.muted;
  }
  set muted(muted: boolean) {
    this.#video.muted = muted;
  }

  /** Starts playing; does nothing when it does already. */
  start(): void {
    if (this.#running) return;
    this.#running = new AbortController();
    this.#watchPictures(this.#running.signal);
    void this.#run(this.#running.signal);
  }

  /** Ends the session, here and at the hub. */
  stop(): void {
    this.#running?.abort();
    this.#running = null;
    this.#video.srcObject = null;
    this.#tell({ at: "stopped" });
  }

  /** Joins, watches, and joins again. The old picture stays until a new one is there. */
  async #run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#tell({ at: "connecting" });
      let waitMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** failures);
      try {
        const session = await this.#join(signal);
        this.#video.srcObject = session.stream;
        // Autoplay of a muted video is allowed everywhere; a page that plays sound asks its user.
        this.#video.play().catch(() => {});
        this.#tell({ at: "playing" });
        failures = 0;
        waitMs = 0;
        await untilStalled(session.peer, signal);
        end(session);
      } catch (error) {
        failures++;
        if (error instanceof Refused) waitMs = error.retryAfterMs ?? waitMs;
        const message = error instanceof Error ? error.message : String(error);
        this.#tell({ at: "waiting", message });
      }
      if (!signal.aborted) await sleep(waitMs, signal);
    }
  }

  /** One offer, answered and connected. */
  async #join(signal: AbortSignal): Promise<Session> {
    const peer = new RTCPeerConnection();
    let session: Session = { peer, location: null, stream: new MediaStream() };
    try {
      for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
      await peer.setLocalDescription(inStereo(await peer.createOffer()));
      const { answer, location } = await this.#offer(peer.localDescription?.sdp ?? "", signal);
      session = { ...session, location };
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
      session = { ...session, stream: new MediaStream(sentTracks(peer)) };
      await connected(peer, signal);
      return session;
    } catch (error) {
      end(session);
      throw error;
    }
  }

  async #offer(sdp: string, signal: AbortSignal): Promise<{ answer: string; location: string }> {
    const url = new URL(this.#url, document.baseURI);
    if (this.#options.latency) url.searchParams.set("latency", this.#options.latency);
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: sdp,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
    });
    if (response.status !== 201) throw await refusal(response);
    const location = new URL(response.headers.get("location") ?? "", url).href;
    this.#options.onStream?.(response.headers.get("onepull-stream") ?? "main");
    return { answer: await response.text(), location };
  }

  #watchPictures(signal: AbortSignal): void {
    const { onPicture } = this.#options;
    if (!onPicture || !("requestVideoFrameCallback" in this.#video)) return;
    const each: VideoFrameRequestCallback = (now, { rtpTimestamp }) => {
      if (signal.aborted) return;
      if (rtpTimestamp !== undefined) onPicture(rtpTimestamp, now);
      this.#video.requestVideoFrameCallback(each);
    };
    this.#video.requestVideoFrameCallback(each);
  }

  #tell(state: PlayerState): void {
    this.#options.onState?.(state);
  }
}

/** A problem document says in words why there is no session. */
async function refusal(response: Response): Promise<Refused> {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  let message = `The hub answered ${response.status}.`;
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    const problem: unknown = await response.json();
    if (typeof problem === "object" && problem !== null && "detail" in problem) {
      message = String(problem.detail);
    }
  }
  return new Refused(message, Number.isFinite(seconds) ? seconds * 1000 : null);
}

/** Chromium decodes Opus to one channel unless told (RFC 7587 section 7.1). */
function inStereo({ type, sdp = "" }: RTCSessionDescriptionInit): RTCSessionDescriptionInit {
  if (sdp.includes("stereo=1")) return { type, sdp };
  return { type, sdp: sdp.replace("useinbandfec=1", "useinbandfec=1;stereo=1") };
}

/** Cameras without a microphone leave the section of the sound unused. */
function sentTracks(peer: RTCPeerConnection): MediaStreamTrack[] {
  const sent = peer.getTransceivers().filter((one) => one.currentDirection === "recvonly");
  return sent.map(({ receiver }) => receiver.track);
}

function connected(peer: RTCPeerConnection, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const give = (): void => reject(new Error("No connection to the hub over UDP."));
  const timer = setTimeout(give, CONNECT_TIMEOUT_MS);
  peer.onconnectionstatechange = () => {
    if (peer.connectionState === "connected") resolve();
    if (peer.connectionState === "failed") give();
  };
  signal.addEventListener("abort", give, { once: true });
  return promise.finally(() => {
    clearTimeout(timer);
    peer.onconnectionstatechange = null;
    signal.removeEventListener("abort", give);
  });
}

/** Resolves when no picture has come for a while, the hub ended the session, or the player stops. */
async function untilStalled(peer: RTCPeerConnection, signal: AbortSignal): Promise<void> {
  let bytes = 0;
  let heard = performance.now();
  while (!signal.aborted && !isEnded(peer) && performance.now() - heard < STALL_MS) {
    await sleep(WATCH_INTERVAL_MS, signal);
    const received = await bytesReceived(peer);
    if (received !== bytes) heard = performance.now();
    bytes = received;
  }
}

/** A session that the hub ends closes its DTLS transport; the connection itself does not show it. */
function isEnded(peer: RTCPeerConnection): boolean {
  return peer.getReceivers().some(({ transport }) => transport?.state === "closed");
}

/** Of video, or of sound where that is all: sound that goes on is no sign of life of a picture. */
async function bytesReceived(peer: RTCPeerConnection): Promise<number> {
  const bytes = { video: 0, audio: 0 };
  for (const report of (await peer.getStats()).values()) {
    if (report.type !== "inbound-rtp") continue;
    if (report.kind === "video") bytes.video += report.bytesReceived;
    else bytes.audio += report.bytesReceived;
  }
  return bytes.video > 0 ? bytes.video : bytes.audio;
}

/** The hub hears of the end at once, also when the page is being left. */
function end({ peer, location }: Session): void {
  peer.close();
  if (location) fetch(location, { method: "DELETE", keepalive: true }).catch(() => {});
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const stop = (): void => resolve();
  signal.addEventListener("abort", stop, { once: true });
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  });
}
