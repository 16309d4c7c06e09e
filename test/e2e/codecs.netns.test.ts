// Browsers play what cameras send: codec by codec, sound beside the picture, over a lossy way too.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type AudioCodec, type TrackFormat, videoFormat } from "../../src/rtp/track-format.ts";
import { Track } from "../../src/stream/track.ts";
import { inQuiet } from "../harness/attempts.ts";
import {
  type Browser,
  openBrowser,
  type Seen,
  type SoundCounts,
  type Watcher,
} from "../harness/browser.ts";
import { audioClip, ClipPlayer, videoClip } from "../harness/clips.ts";
import { namespaceAddress, openFirefox } from "../harness/firefox.ts";
import { until } from "../harness/hub.ts";
import { serveWhep, type WhepServer } from "../harness/whep.ts";

const CLIP_PICTURES = 100;
const TICKS_PER_PICTURE = 3_600;

const stack = new AsyncDisposableStack();
let hub: WhepServer;
const browsers: Record<string, Browser> = {};
const tracks = {
  vp8: new Track(videoFormat("vp8")),
  h264: new Track(videoFormat("h264")),
  opus: new Track(audioFormat("opus", 48_000)),
  pcma: new Track(audioFormat("pcma", 8_000)),
};

function audioFormat(codec: AudioCodec, clockHz: number): TrackFormat {
  return { kind: "audio", codec, clockHz, channels: 1, parameterSets: [], auHeader: null };
}

/** One packet in so many is lost while `losing`, retransmissions included. */
const LOSS_ONE_IN = 40;
let losing = false;
let sent = 0;
const lose = (): boolean => losing && ++sent % LOSS_ONE_IN === 0;

beforeAll(async () => {
  for (const codec of ["vp8", "h264"] as const) {
    stack.use(new ClipPlayer(tracks[codec], await videoClip(codec)));
  }
  for (const codec of ["opus", "pcma"] as const) {
    stack.use(new ClipPlayer(tracks[codec], await audioClip(codec)));
  }
  const { vp8, h264, opus, pcma } = tracks;
  const addresses = ["127.0.0.1", namespaceAddress()];
  const cameras = {
    "vp8-opus": { video: vp8, audio: opus },
    "vp8-pcma": { video: vp8, audio: pcma },
    "h264-opus": { video: h264, audio: opus },
    "h264-pcma": { video: h264, audio: pcma },
  };
  hub = stack.use(await serveWhep(cameras, { addresses, lose }));
  browsers["Chromium"] = stack.use(await openBrowser());
  browsers["Firefox"] = stack.use(await openFirefox());
}, 120_000);
afterAll(() => stack.disposeAsync(), 30_000);

function watch(browser: string): Promise<Watcher> {
  const found = browsers[browser];
  if (found === undefined) throw new Error(`no ${browser}`);
  return found.watcher(hub.http);
}

/** Sound of this long, from now on. */
async function listen(watcher: Watcher, seconds: number): Promise<SoundCounts> {
  await watcher.unmute("one");
  const heard = async () => (await watcher.sound("one"))?.totalAudioEnergy ?? 0;
  await until("there is sound", async () => (await heard()) > 0, 10_000);
  const before = await watcher.sound("one");
  await Bun.sleep(seconds * 1_000);
  const after = await watcher.sound("one");
  if (before === null || after === null) throw new Error("the sound went away");
  const since = (key: keyof SoundCounts): number => after[key] - before[key];
  return {
    packetsReceived: since("packetsReceived"),
    packetsLost: since("packetsLost"),
    totalSamplesReceived: since("totalSamplesReceived"),
    concealedSamples: since("concealedSamples"),
    totalAudioEnergy: since("totalAudioEnergy"),
    audioLevel: after.audioLevel,
  };
}

/** Pictures whose number does not fit the time since the one before, where both can be read. */
function wrongOf(pictures: readonly Seen[]): Seen[] {
  return pictures.filter(({ frame, rtpTimestamp }, i) => {
    const before = pictures[i - 1];
    if (frame == null || before?.frame == null) return false;
    const step = Math.round(((rtpTimestamp - before.rtpTimestamp) | 0) / TICKS_PER_PICTURE);
    return (frame - before.frame + CLIP_PICTURES) % CLIP_PICTURES !== step % CLIP_PICTURES;
  });
}

describe.each([
  ["Chromium", "vp8-opus"],
  ["Chromium", "h264-opus"],
  ["Chromium", "h264-pcma"],
  ["Firefox", "vp8-opus"],
  ["Firefox", "vp8-pcma"],
])("%s plays %s", (browser, camera) => {
  test("pictures in order, and the tone", async () => {
    await inQuiet(async () => {
      await using watcher = await watch(browser);
      await watcher.join("one", camera);
      await watcher.record("one");
      await Bun.sleep(1_500);
      await watcher.taken("one");
      const before = await watcher.counts("one");
      const heard = await listen(watcher, 3);
      const pictures = await watcher.taken("one");
      const counts = await watcher.counts("one");
      expect(pictures.filter(({ frame }) => frame != null).length).toBeGreaterThan(40);
      expect(wrongOf(pictures)).toEqual([]);
      expect(counts["framesDecoded"]! - before["framesDecoded"]!).toBeGreaterThan(65);
      expect(counts["packetsLost"]).toBe(0);
      // A tone of half the full scale, heard all the time.
      expect(heard.packetsReceived).toBeGreaterThan(130);
      expect(heard.audioLevel).toBeWithin(0.3, 0.7);
      expect(heard.concealedSamples / heard.totalSamplesReceived).toBeLessThan(0.1);
      expect(heard.totalAudioEnergy).toBeGreaterThan(0.3);
      expect(await watcher.leave("one")).toBe(200);
      expect(hub.ended.at(-1)).toBe(camera);
    });
  }, 100_000);
});

describe.each([["Chromium"], ["Firefox"]])("%s", (browser) => {
  test("asks again for what was lost, and plays on", async () => {
    await inQuiet(async () => {
      await using watcher = await watch(browser);
      await watcher.join("one", "vp8-opus");
      await watcher.record("one");
      await Bun.sleep(1_000);
      await watcher.taken("one");
      const [before, counted] = [hub.sfu.stats(), await watcher.counts("one")];
      losing = true;
      await Bun.sleep(4_000);
      losing = false;
      const [after, counts] = [hub.sfu.stats(), await watcher.counts("one")];
      const pictures = await watcher.taken("one");
      await watcher.leave("one");
      expect(after.nacks - before.nacks).toBeGreaterThan(3);
      expect(after.retransmitted - before.retransmitted).toBeGreaterThan(3);
      expect(counts["framesDecoded"]! - counted["framesDecoded"]!).toBeGreaterThan(80);
      expect(wrongOf(pictures)).toEqual([]);
    });
  }, 100_000);

  test("hears at once that the hub ended the session", async () => {
    await using watcher = await watch(browser);
    await watcher.join("one", "vp8-opus");
    expect(await watcher.connection("one")).toBe("connected");
    const ended = hub.ended.length;
    hub.sfu.endCamera("vp8-opus");
    expect(hub.ended.length).toBe(ended + 1);
    await until("closed", async () => (await watcher.connection("one")) === "closed", 2_000);
    expect(await watcher.leave("one")).toBe(404);
  }, 60_000);
});

test("Firefox is told in words that it cannot take H.264", async () => {
  await using watcher = await watch("Firefox");
  const joining = watcher.join("one", "h264-opus").then(() => "played", String);
  expect(await joining).toContain("406");
  expect(await joining).toContain("the hub could send video/H264, audio/opus");
}, 60_000);
