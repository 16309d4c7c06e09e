/**
 * Runs inside a browser page: joins cameras by WHEP and writes down what is seen. Tests and benches
 * bundle it and call `window.onepullWatch`.
 *
 * @module
 */

/** One picture that the browser presented. */
interface Seen {
  /** Burned-in frame number, `null` when it cannot be read; absent when nobody reads. */
  readonly frame?: number | null;
  readonly rtpTimestamp: number;
  /** `performance.now()` in the callback, and its Unix time in milliseconds. */
  readonly at: number;
  readonly unixMs: number;
}

interface Watched {
  readonly peer: RTCPeerConnection;
  readonly video: HTMLVideoElement;
  readonly location: string;
  readonly seen: Seen[];
}

type ReadFrameNumber = (
  pixels: Uint8ClampedArray,
  width: number,
  height: number,
  stride: number,
  channels: number,
) => number | null;

/** Numbers must survive this size; reading a larger one would only cost time. */
const WIDTH = 640;
const HEIGHT = 360;
const JOIN_TIMEOUT_MS = 10_000;

const watched = new Map<string, Watched>();

/**
 * Joins a camera, with its sound if it has any. Resolves with the milliseconds from this call to the first presented picture.
 *
 * @param name under which the other functions know it
 */
async function join(name: string, url: string): Promise<number> {
  const clicked = performance.now();
  const peer = new RTCPeerConnection();
  const video = document.createElement("video");
  const receivers = (["video", "audio"] as const).map(
    (kind) => peer.addTransceiver(kind, { direction: "recvonly" }).receiver,
  );
  video.muted = true;
  video.autoplay = true;
  video.width = WIDTH;
  video.srcObject = new MediaStream(receivers.map(({ track }) => track));
  document.body.append(video);
  const first = Promise.withResolvers<number>();
  const timer = setTimeout(() => first.reject(new Error("no picture")), JOIN_TIMEOUT_MS);
  video.requestVideoFrameCallback(() => first.resolve(performance.now() - clicked));
  await peer.setLocalDescription(await peer.createOffer());
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/sdp" },
    body: peer.localDescription?.sdp ?? "",
  });
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
  const location = response.headers.get("location") ?? "";
  watched.set(name, { peer, video, location, seen: [] });
  await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  return first.promise.finally(() => clearTimeout(timer));
}

/** Writes down every presented picture from now on; reads its number when given a reader. */
function record(name: string, reader: ReadFrameNumber | null): void {
  const { video, seen } = get(name);
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("no canvas");
  const each: VideoFrameRequestCallback = (_now, { rtpTimestamp = -1 }) => {
    const at = performance.now();
    const unixMs = performance.timeOrigin + at;
    if (!reader) seen.push({ rtpTimestamp, at, unixMs });
    else {
      // A late callback tells of one picture while the element shows the next: take both from the
      // same, where the browser has a way.
      const picture = new VideoFrame(video);
      const shown = metadataOf(picture)?.rtpTimestamp ?? rtpTimestamp;
      context.drawImage(picture, 0, 0, WIDTH, HEIGHT);
      picture.close();
      const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
      const frame = reader(data, WIDTH, HEIGHT, WIDTH * 4, 4);
      if (shown !== seen.at(-1)?.rtpTimestamp)
        seen.push({ frame, rtpTimestamp: shown, at, unixMs });
    }
    video.requestVideoFrameCallback(each);
  };
  video.requestVideoFrameCallback(each);
}

interface PictureMetadata {
  readonly rtpTimestamp?: number;
}

/** WebCodecs, VideoFrame Metadata Registry; neither TypeScript's types nor Firefox have it yet. */
function metadataOf(picture: VideoFrame & { metadata?: () => PictureMetadata }) {
  return picture.metadata?.();
}

/** What was written down since the last call. */
function taken(name: string): Seen[] {
  return get(name).seen.splice(0);
}

/** What the browser counts of what comes in of this kind. */
async function inbound(name: string, kind: "video" | "audio"): Promise<Record<string, number>> {
  for (const report of (await get(name).peer.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === kind) return report;
  }
  return {};
}

async function counts(name: string): Promise<Record<string, number | undefined>> {
  const { framesDecoded, framesDropped, freezeCount, packetsLost, pliCount, nackCount } =
    await inbound(name, "video");
  return { framesDecoded, framesDropped, freezeCount, packetsLost, pliCount, nackCount };
}

async function sound(name: string): Promise<Record<string, number | undefined> | null> {
  const report = await inbound(name, "audio");
  if (!report["packetsReceived"]) return null;
  const { packetsReceived, packetsLost, totalSamplesReceived } = report;
  const { concealedSamples, totalAudioEnergy, audioLevel } = report;
  return {
    packetsReceived,
    packetsLost,
    totalSamplesReceived,
    concealedSamples,
    totalAudioEnergy,
    audioLevel,
  };
}

/** Browsers measure no sound of an element that is muted. */
function unmute(name: string): void {
  get(name).video.muted = false;
}

/** How the DTLS transport does, as the browser sees it: it closes when the hub ends the session. */
function connection(name: string): string | undefined {
  return get(name).peer.getReceivers()[0]?.transport?.state;
}

async function leave(name: string): Promise<number> {
  const { peer, video, location } = get(name);
  watched.delete(name);
  const response = await fetch(location, { method: "DELETE" });
  peer.close();
  video.remove();
  return response.status;
}

function get(name: string): Watched {
  const found = watched.get(name);
  if (!found) throw new Error(`${name} was not joined`);
  return found;
}

Object.assign(window, {
  onepullWatch: { join, record, taken, counts, unmute, sound, connection, leave },
});
