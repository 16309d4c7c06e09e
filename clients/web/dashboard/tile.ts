/** One camera in the grid: its live picture and its figures. */
import { WhepPlayer } from "../player/whep-player.ts";
import type { Camera, Stream } from "./hub.ts";
import { LatencyMeter } from "./latency.ts";

const STATE_WORDS: Readonly<Record<Stream["state"], string>> = {
  idle: "on demand",
  connecting: "connecting",
  live: "live",
  stalled: "stalled",
  reconnecting: "reconnecting",
  refused: "refused",
  ended: "ended",
};

export class Tile {
  readonly element: HTMLElement;
  readonly latency = new LatencyMeter();
  readonly #player: WhepPlayer;
  readonly #badge: HTMLElement;
  readonly #notice: HTMLElement;
  readonly #sound: HTMLButtonElement;
  readonly #figures: Readonly<Record<Figure, HTMLElement>>;
  #waiting = "";
  /** What the hub sends: the smaller stream where there is one. */
  #stream: "main" | "sub" = "main";

  constructor(id: string) {
    const template = document.querySelector<HTMLTemplateElement>("#tile");
    const element = template?.content.firstElementChild?.cloneNode(true);
    if (!(element instanceof HTMLElement)) throw new Error("index.html has no #tile template");
    this.element = element;
    element.dataset["camera"] = id;
    const video = part(element, "video", HTMLVideoElement);
    part(element, ".name", HTMLElement).textContent = id;
    this.#badge = part(element, ".badge", HTMLElement);
    this.#notice = part(element, ".notice", HTMLElement);
    this.#figures = {
      codec: figure(element, "codec"),
      resolution: figure(element, "resolution"),
      fps: figure(element, "fps"),
      bitrate: figure(element, "bitrate"),
      viewers: figure(element, "viewers"),
      latency: figure(element, "latency"),
    };
    this.#player = new WhepPlayer(video, `/whep/${encodeURIComponent(id)}?stream=sub`, {
      latency: "lowest",
      onPicture: (timestamp, presented) => this.latency.picture(timestamp, presented),
      onStream: (stream) => {
        this.#stream = stream === "sub" ? "sub" : "main";
      },
      onState: (state) => {
        this.#waiting = state.at === "waiting" ? state.message : "";
        if (state.at === "connecting") this.latency.clear();
      },
    });
    const full = part(element, ".full", HTMLButtonElement);
    full.addEventListener("click", () => void toggleFullscreen(element));
    this.#sound = part(element, ".sound", HTMLButtonElement);
    this.#sound.addEventListener("click", () => this.#toggleSound());
  }

  start(): void {
    this.#player.start();
  }
  stop(): void {
    this.#player.stop();
  }

  /** Shows what the hub says of the camera. */
  update(camera: Camera): void {
    const stream = (this.#stream === "sub" ? camera.sub : null) ?? camera;
    const { state, video, cause } = stream;
    this.latency.learn(stream.clock);
    this.element.dataset["state"] = state;
    this.#badge.textContent = camera.enabled ? STATE_WORDS[state] : "stopped";
    this.#notice.textContent = cause?.message ?? (state === "live" ? this.#waiting : "");
    const live = state === "live" ? video : null;
    const latency = this.latency.median;
    this.#sound.hidden = stream.audio === null;
    this.#show("codec", codecsOf(stream));
    this.#show("resolution", video ? `${video.width} × ${video.height}` : null);
    this.#show("fps", live ? `${live.fps.toFixed(1)} fps` : null);
    this.#show("bitrate", live ? `${(live.bitrate_bps / 1e6).toFixed(1)} Mbps` : null);
    this.#show("viewers", `${camera.viewers} ${camera.viewers === 1 ? "viewer" : "viewers"}`);
    this.#show("latency", live && latency !== null ? `${latency.toFixed(0)} ms` : null);
  }

  #toggleSound(): void {
    this.#player.muted = !this.#player.muted;
    this.#sound.setAttribute("aria-pressed", String(!this.#player.muted));
  }

  #show(name: Figure, text: string | null): void {
    this.#figures[name].textContent = text ?? "–";
  }
}

type Figure = "codec" | "resolution" | "fps" | "bitrate" | "viewers" | "latency";

/** As people write them; `null` until the camera described what it sends. */
const CODEC_NAMES: Readonly<Record<string, string>> = {
  h264: "H.264",
  h265: "H.265",
  g722: "G.722",
  opus: "Opus",
};

function codecsOf({ video, audio }: Stream): string | null {
  const codecs = [video, audio].flatMap((track) => (track ? [track.codec] : []));
  const names = codecs.map((codec) => CODEC_NAMES[codec] ?? codec.toUpperCase());
  return names.length > 0 ? names.join(" · ") : null;
}

function figure(element: HTMLElement, name: Figure): HTMLElement {
  return part(element, `[data-figure=${name}]`, HTMLElement);
}

function part<T extends HTMLElement>(within: HTMLElement, selector: string, type: new () => T): T {
  const found = within.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`the tile has no ${selector}`);
  return found;
}

async function toggleFullscreen(element: HTMLElement): Promise<void> {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await element.requestFullscreen();
}
