/** Pages of a browser that watch cameras (page/watch.ts), and a real Chromium, headless. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium } from "playwright-core";
import { FRAME_READER_SOURCE } from "../../src/synthetic/pattern.ts";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/google-chrome", "/usr/bin/chromium-browser"];
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
  // Several pages play at once; those behind the front one must not be throttled.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
];

export interface Browser extends AsyncDisposable {
  /** A page of the hub's origin that can watch cameras. */
  watcher(hub: string): Promise<Watcher>;
}

export interface Chromium extends Browser {
  readonly context: BrowserContext;
}

/** What a watcher needs of its page, whoever drives the browser. */
interface WatchPage {
  /** Runs the expression in the page; resolves with its value, JSON at most. */
  evaluate<T>(expression: string): Promise<T>;
  close(): Promise<void>;
}

/** What the browser counts of the sound that comes in; see RTCInboundRtpStreamStats. */
export interface SoundCounts {
  readonly packetsReceived: number;
  readonly packetsLost: number;
  readonly totalSamplesReceived: number;
  readonly concealedSamples: number;
  /** The integral of the squared level. */
  readonly totalAudioEnergy: number;
  readonly audioLevel: number;
}

/** One presented picture; `frame` is the burned-in number, where a reader was asked for. */
export interface Seen {
  readonly frame?: number | null;
  readonly rtpTimestamp: number;
  readonly at: number;
  readonly unixMs: number;
}

export async function openBrowser(): Promise<Chromium> {
  const executablePath = CHROMIUM.find((path) => existsSync(path));
  if (!executablePath) throw new Error("no Chromium: apt-get install chromium");
  const profile = mkdtempSync(join(tmpdir(), "onepull-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: FLAGS,
    viewport: { width: 1300, height: 900 },
  });
  const script = await watchScript();
  return {
    context,
    watcher: async (hub) => {
      const page = await context.newPage();
      await page.goto(`${hub}/healthz`);
      await page.addScriptTag({ content: script });
      return new Watcher(page, hub);
    },
    [Symbol.asyncDispose]: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** What a page must run before it can watch. */
export async function watchScript(): Promise<string> {
  const entry = join(import.meta.dir, "page/watch.ts");
  const { outputs } = await Bun.build({ entrypoints: [entry], target: "browser", format: "iife" });
  return (await outputs[0]?.text()) ?? "";
}

/** A page that watches cameras. Names are the caller's; one page may watch several. */
export class Watcher implements AsyncDisposable {
  readonly page: WatchPage;
  readonly #hub: string;
  constructor(page: WatchPage, hub: string) {
    this.page = page;
    this.#hub = hub;
  }

  /** Milliseconds from the click to the first presented picture. */
  join(name: string, camera: string, query = ""): Promise<number> {
    return this.#call<number>("join", name, `${this.#hub}/whep/${camera}${query}`);
  }
  /** Writes down every picture from now on, with its burned-in number. */
  async record(name: string): Promise<void> {
    const call = `onepullWatch.record(${JSON.stringify(name)}, ${FRAME_READER_SOURCE})`;
    await this.page.evaluate(call);
  }
  /** The same without reading numbers, which costs the browser a few milliseconds each. */
  async recordTimes(name: string): Promise<void> {
    await this.page.evaluate(`onepullWatch.record(${JSON.stringify(name)}, null)`);
  }
  taken(name: string): Promise<Seen[]> {
    return this.#call<Seen[]>("taken", name);
  }
  counts(name: string): Promise<Record<string, number>> {
    return this.#call("counts", name);
  }
  unmute(name: string): Promise<void> {
    return this.#call("unmute", name);
  }
  /** `null` while no sound comes in. */
  sound(name: string): Promise<SoundCounts | null> {
    return this.#call("sound", name);
  }
  /** RTCDtlsTransport.state. */
  connection(name: string): Promise<string> {
    return this.#call("connection", name);
  }
  /** The status of the DELETE. */
  leave(name: string): Promise<number> {
    return this.#call<number>("leave", name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.close();
  }

  #call<T>(method: string, ...given: string[]): Promise<T> {
    const list = given.map((value) => JSON.stringify(value)).join(", ");
    return this.page.evaluate<T>(`onepullWatch.${method}(${list})`);
  }
}
