import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nalUnits } from "../rtp/annex-b.ts";
import { readSps } from "../rtp/sps.ts";
import { type Clip, type ClipOptions, clipFrames, openClip } from "./clip.ts";

const OPTIONS: ClipOptions = {
  width: 160,
  height: 90,
  fps: 5,
  bitrate: 100_000,
  gopFrames: 10,
  profile: "baseline",
  parameterSets: "in band",
};
const signal = new AbortController().signal;
let root: string;
let folder: string;

/** Opens the clip and says whether it had to be encoded, and what was complained of. */
async function open(options = OPTIONS, where = folder) {
  let encoded = 0;
  const warnings: string[] = [];
  const hooks = { progress: () => encoded++, warn: (message: string) => warnings.push(message) };
  const clip = await openClip(options, where, hooks, signal);
  return { clip, encoded, warnings };
}

function bytesOf(clip: Clip): string {
  return Buffer.concat(clip.units.map((unit) => unit.bytes)).toString("hex");
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "onepull-clip-"));
});
beforeEach(async () => {
  folder = await mkdtemp(join(root, "case-"));
});
afterAll(async () => {
  await rm(root, { recursive: true });
});

async function onlyFile(): Promise<string> {
  const names = await readdir(folder);
  expect(names).toHaveLength(1);
  return join(folder, names[0] ?? "");
}

describe("openClip", () => {
  test("encodes once and reads the same clip from the cache afterwards", async () => {
    const first = await open();
    const second = await open();
    expect(first.encoded).toBe(50);
    expect(second.encoded).toBe(0);
    expect(bytesOf(second.clip)).toBe(bytesOf(first.clip));
    expect(second.clip.units.map((unit) => unit.keyframe)).toEqual(
      first.clip.units.map((unit) => unit.keyframe),
    );
    expect(readSps(second.clip.sps)).toMatchObject({ width: 160, height: 90, profile: 66 });
    expect(second.clip.pps[0]! & 0x1f).toBe(8);
    expect([...first.warnings, ...second.warnings]).toEqual([]);
  });

  test("keeps a file for every set of parameters", async () => {
    await open();
    for (const change of [
      { width: 192 },
      { height: 120 },
      { fps: 6 },
      { bitrate: 90_000 },
      { gopFrames: 25 },
      { profile: "main" },
      { parameterSets: "out of band" },
    ] as const) {
      expect((await open({ ...OPTIONS, ...change })).encoded).toBeGreaterThan(0);
    }
    expect(await readdir(folder)).toHaveLength(8);
  });

  test("leaves parameter sets out of the units when told so", async () => {
    const typesOf = ({ bytes }: { bytes: Uint8Array }) =>
      nalUnits(bytes).map((nal) => nal[0]! & 31);
    const { clip } = await open({ ...OPTIONS, parameterSets: "out of band" });
    expect(readSps(clip.sps)).toMatchObject({ width: 160 });
    for (const unit of clip.units) expect(typesOf(unit)).not.toContain(7);
    for (const unit of (await open()).clip.units) {
      expect(typesOf(unit).includes(7)).toBe(unit.keyframe);
    }
  });

  const damages: [string, (file: Uint8Array) => Uint8Array][] = [
    ["cut off", (file) => file.subarray(0, file.length - 1)],
    ["cut off in its header", (file) => file.subarray(0, 60)],
    ["empty", () => new Uint8Array(0)],
    ["too long", (file) => Buffer.concat([file, Uint8Array.of(0)])],
    ["changed in one bit of the header", (file) => flipped(file, 50)],
    ["changed in one bit of the video", (file) => flipped(file, file.length - 100)],
  ];
  test.each(damages)("makes anew what is %s", async (_, damage) => {
    await open();
    const path = await onlyFile();
    await writeFile(path, damage(await readFile(path)));
    const again = await open();
    expect(again.encoded).toBe(50);
    expect(again.warnings).toEqual([`${path} is damaged; the clip is made anew.`]);
    expect(again.clip.units).toHaveLength(50);
    const third = await open();
    expect(third.encoded).toBe(0);
    expect(bytesOf(third.clip)).toBe(bytesOf(again.clip));
  });

  test("lets several makers work at once", async () => {
    const clips = await Promise.all([open(), open(), open()]);
    expect(clips.map(({ clip }) => clip.units.length)).toEqual([50, 50, 50]);
    expect(clips.flatMap(({ warnings }) => warnings)).toEqual([]);
    await onlyFile();
    expect((await open()).encoded).toBe(0);
  });

  test("does without a cache that cannot be written", async () => {
    const file = join(folder, "file");
    await writeFile(file, "");
    await chmod(file, 0o400);
    const { clip, warnings } = await open(OPTIONS, join(file, "below"));
    expect(clip.units).toHaveLength(50);
    expect(warnings.at(-1)).toContain("Cannot keep the clip");
  });

  test("leaves nothing behind when it is told to stop", async () => {
    const aborter = new AbortController();
    const hooks = { progress: () => aborter.abort() };
    await expect(openClip(OPTIONS, folder, hooks, aborter.signal)).rejects.toThrow("abort");
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("clipFrames", () => {
  const cases: [fps: number, gopFrames: number, frames: number][] = [
    [25, 50, 250],
    [25, 60, 300],
    [25, 25 * 30, 25 * 30],
    [25, 1, 250],
    [30, 100, 300],
  ];
  test.each(cases)("%d fps in groups of %d: %d", (fps, gopFrames, frames) => {
    expect(clipFrames({ ...OPTIONS, fps, gopFrames })).toBe(frames);
  });
});

function flipped(file: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(file);
  copy[at]! ^= 4;
  return copy;
}
