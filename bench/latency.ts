/**
 * From the camera's write of a picture to everyone who waits for it. One synthetic camera of
 * 1080p25 and 4 Mbps, one hub, one consumer at a time, all on this machine.
 *
 * @module
 */
import { readArguments, wholeNumber } from "../src/cli/arguments.ts";
import { type Browser, openBrowser, type Watcher } from "../test/harness/browser.ts";
import { type FrameRecord, openCameras, type TestCameras } from "../test/harness/cameras.ts";
import { type HubProcess, startHub, untilState } from "../test/harness/hub.ts";
import { subscribe } from "../test/harness/worker.ts";
import { type Percentiles, percentiles, round } from "./figures.ts";
import { LightViewer } from "./light/viewer.ts";
import { whep } from "./light-viewer.ts";

const CAMERA = "demo-1";
/** Caches, just-in-time compilers and jitter buffers settle within this. */
const SETTLE_MS = 3_000;
/** The camera's log holds the last two minutes. */
const SECONDS_MAX = 100;

interface Place {
  readonly cameras: TestCameras;
  readonly hub: HubProcess;
  readonly seconds: number;
}

export async function latency(argv: string[]): Promise<unknown> {
  const options = readArguments(argv, {
    seconds: { type: "string", default: "20" },
    joins: { type: "string", default: "20" },
  });
  const seconds = wholeNumber("seconds", options.seconds, 1, SECONDS_MAX);
  const joins = wholeNumber("joins", options.joins, 1, 1_000);
  await using stack = new AsyncDisposableStack();
  const cameras = stack.use(await openCameras(1));
  const hub = stack.use(await startHub(cameras.sources));
  await untilState(hub, CAMERA, "live", 10_000);
  const place = { cameras, hub, seconds };
  const srtp = await toLastPacket(place);
  const python = {
    "640x360": await toPython(place, 640),
    "1920x1080": await toPython(place, 1920),
  };
  const browser = stack.use(await openBrowser());
  return {
    unit: "ms from the camera's write of the picture",
    last_srtp_packet: srtp,
    python_array: python,
    chromium_callback: {
      default: await toBrowser(place, browser, ""),
      lowest: await toBrowser(place, browser, "?latency=lowest"),
    },
    chromium_first_picture_after_click: await firstPictures(place, browser, joins),
  };
}

/** When a light viewer has the packet with the marker bit, read from its socket. */
async function toLastPacket({ cameras, hub, seconds }: Place): Promise<Percentiles> {
  const arrivals = new Map<number, number>();
  const viewer = await LightViewer.connect(whep(`${hub.http}/whep/${CAMERA}`), {
    onMarker: (timestamp, arrived) => arrivals.set(timestamp, arrived),
  });
  await Bun.sleep(SETTLE_MS);
  arrivals.clear();
  await Bun.sleep(seconds * 1_000);
  viewer.close();
  const log = await cameras.framesByTimestamp(CAMERA);
  return since(arrivals, log, ({ monotonic_ms }) => monotonic_ms);
}

/** When a Python worker holds the array; `width` in pixels. */
async function toPython(place: Place, width: number): Promise<unknown> {
  const { cameras, hub, seconds } = place;
  await using worker = subscribe(hub.framebus, [CAMERA], { width });
  await worker.next(15_000);
  await Bun.sleep(SETTLE_MS);
  worker.clear();
  await Bun.sleep(seconds * 1_000);
  const frames = worker.take();
  const log = await cameras.framesByTimestamp(CAMERA);
  const arrivals = new Map(
    frames.map(({ rtpTimestamp, haveUnixMs }) => [rtpTimestamp, haveUnixMs]),
  );
  return {
    from_camera: since(arrivals, log, ({ unix_ms }) => unix_ms),
    from_decoded: percentiles(frames.map(({ sinceDecodedMs }) => sinceDecodedMs)),
  };
}

/** When the browser calls back with the picture (requestVideoFrameCallback). */
async function toBrowser(place: Place, browser: Browser, query: string): Promise<unknown> {
  const { cameras, hub, seconds } = place;
  const watcher = await browser.watcher(hub.http);
  await watcher.join("bench", CAMERA, query);
  await watcher.recordTimes("bench");
  await Bun.sleep(SETTLE_MS);
  await watcher.taken("bench");
  await Bun.sleep(seconds * 1_000);
  const seen = await watcher.taken("bench");
  const offset = await clockOffset(watcher);
  const log = await cameras.framesByTimestamp(CAMERA);
  const counts = await watcher.counts("bench");
  await watcher.leave("bench");
  await watcher.page.close();
  const arrivals = new Map(seen.map(({ rtpTimestamp, unixMs }) => [rtpTimestamp, unixMs + offset]));
  return { ...since(arrivals, log, ({ unix_ms }) => unix_ms), freezes: counts["freezeCount"] ?? 0 };
}

/** Milliseconds to add to the browser's Unix time for this machine's; the quickest of ten asks. */
async function clockOffset(watcher: Watcher): Promise<number> {
  return watcher.page.evaluate<number>(`(async () => {
    let best = { took: Infinity, offset: 0 };
    for (let i = 0; i < 10; i++) {
      const sent = performance.now();
      const { unix_ms } = await (await fetch("/api/v1/time")).json();
      const took = performance.now() - sent;
      const there = performance.timeOrigin + sent + took / 2;
      if (took < best.took) best = { took, offset: unix_ms - there };
    }
    return best.offset;
  })()`);
}

async function firstPictures(place: Place, browser: Browser, joins: number): Promise<Percentiles> {
  const watcher = await browser.watcher(place.hub.http);
  // A page that plays already: what a person has who clicks the next camera.
  await watcher.join("warm", CAMERA);
  const times: number[] = [];
  for (let i = 0; i < joins; i++) {
    // Anywhere in the group of pictures, evenly.
    await Bun.sleep(200 + ((i * 1_270) % 2_000));
    times.push(await watcher.join(`join-${i}`, CAMERA));
    await watcher.leave(`join-${i}`);
  }
  await watcher.page.close();
  return percentiles(times);
}

/** How long after the camera's write each arrival was; both on the clock that `clock` reads. */
function since(
  arrivals: ReadonlyMap<number, number>,
  log: ReadonlyMap<number, FrameRecord>,
  clock: (record: FrameRecord) => number,
): Percentiles {
  const values: number[] = [];
  for (const [timestamp, arrived] of arrivals) {
    const record = log.get(timestamp);
    if (record) values.push(round(arrived - clock(record), 3));
  }
  return percentiles(values);
}
