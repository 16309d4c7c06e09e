/**
 * The video that synthetic cameras show, encoded once and kept in a cache folder. It is played in a
 * loop, so it is made of whole groups of pictures.
 *
 * A cached file is: SHA-256 of the rest (32 bytes), length of the header (32 bits, big-endian), the
 * header as JSON, the parameter sets, the access units.
 *
 * @module
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { faultOf } from "../core/fault.ts";
import {
  type EncodedUnit,
  type EncodedVideo,
  type EncodeOptions,
  encodeVideo,
  type H264Profile,
} from "../native/encode.ts";
import { nalUnits } from "../rtp/annex-b.ts";
import { NAL_PPS, NAL_SPS } from "../rtp/h264.ts";
import { readU32, writeU32 } from "../rtp/header.ts";
import { Pattern } from "./pattern.ts";

/** Raised with every change of the picture, the encoder's settings or the file's format. */
const CLIP_VERSION = 1;
/** Long enough that a loop does not strike the eye, short enough to be encoded in seconds. */
const CLIP_SECONDS_MIN = 10;
const HASH_BYTES = 32;
const PREFIX_BYTES = HASH_BYTES + 4;

export interface ClipOptions {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** Bits per second. */
  readonly bitrate: number;
  readonly gopFrames: number;
  readonly profile: H264Profile;
  /** Whether SPS and PPS stand in front of each keyframe, or only in the session description. */
  readonly parameterSets: EncodeOptions["parameterSets"];
}

export interface Clip {
  readonly options: ClipOptions;
  /** Access units in Annex B form; the first is a keyframe. Frame number and index are the same. */
  readonly units: readonly EncodedUnit[];
  /** NAL units, without start codes. */
  readonly sps: Uint8Array;
  readonly pps: Uint8Array;
}

export interface ClipHooks {
  /** Called while the clip is encoded, at every picture; never for a cached one. */
  readonly progress?: (framesDone: number, frames: number) => void;
  /** What went wrong with the cache and does not matter for the clip, in words for a person. */
  readonly warn?: (message: string) => void;
}

/** Where clips are kept unless somebody says otherwise. */
export function defaultClipFolder(): string {
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return join(cache, "onepull");
}

/** Pictures of the clip: whole groups, for ten seconds or the least above it. */
export function clipFrames(options: ClipOptions): number {
  const wanted = CLIP_SECONDS_MIN * options.fps;
  return Math.max(1, Math.ceil(wanted / options.gopFrames)) * options.gopFrames;
}

/**
 * Reads the clip from `folder`, or makes it and puts it there. Makers in several processes do not
 * disturb each other: each writes its own file and renames it.
 *
 * @throws Fault native_unavailable when it must be encoded and cannot
 */
export async function openClip(
  options: ClipOptions,
  folder: string,
  hooks: ClipHooks,
  signal: AbortSignal,
): Promise<Clip> {
  const path = join(folder, clipName(options));
  const cached = await readClip(path, options, hooks);
  if (cached !== null) return cached;
  const video = await encodeClip(options, hooks, signal);
  await keep(path, folder, clipFile(options, video), hooks);
  return clipOf(options, video);
}

function clipName(o: ClipOptions): string {
  const sets = o.parameterSets.replaceAll(" ", "-");
  const rates = `${o.fps}fps-${o.bitrate}bps-gop${o.gopFrames}`;
  return `clip-v${CLIP_VERSION}-${o.width}x${o.height}-${rates}-${o.profile}-${sets}.bin`;
}

async function encodeClip(
  options: ClipOptions,
  hooks: ClipHooks,
  signal: AbortSignal,
): Promise<EncodedVideo> {
  const frames = clipFrames(options);
  const pattern = new Pattern(options, options.fps, frames);
  const paint = (frame: number, i420: Uint8Array) => pattern.draw(frame, i420);
  const progress = (done: number) => hooks.progress?.(done, frames);
  return await encodeVideo({ ...options, codec: "h264", frames }, { paint, progress }, signal);
}

function clipOf(options: ClipOptions, video: EncodedVideo): Clip {
  const sets = nalUnits(video.parameterSets);
  const find = (type: number) => sets.find((nal) => (nal[0]! & 0x1f) === type) ?? new Uint8Array(0);
  return { options, units: video.units, sps: find(NAL_SPS), pps: find(NAL_PPS) };
}

/** What the header of a cached file says. */
interface Header {
  readonly parameterSetBytes: number;
  /** Length of each unit; negative for a keyframe. */
  readonly unitBytes: readonly number[];
}

function clipFile(options: ClipOptions, { units, parameterSets }: EncodedVideo): Uint8Array {
  const header: Header & ClipOptions = {
    ...options,
    parameterSetBytes: parameterSets.length,
    unitBytes: units.map((unit) => (unit.keyframe ? -unit.bytes.length : unit.bytes.length)),
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const prefix = new Uint8Array(PREFIX_BYTES);
  writeU32(prefix, HASH_BYTES, json.length);
  const file = Buffer.concat([prefix, json, parameterSets, ...units.map((unit) => unit.bytes)]);
  file.set(hashOf(file));
  return file;
}

function hashOf(file: Uint8Array): Uint8Array {
  return createHash("sha256").update(file.subarray(HASH_BYTES)).digest();
}

/** `null` when there is no such file, or a damaged one. */
async function readClip(
  path: string,
  options: ClipOptions,
  hooks: ClipHooks,
): Promise<Clip | null> {
  let file: Uint8Array;
  try {
    file = await readFile(path);
  } catch (thrown) {
    const missing = thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT";
    if (!missing) hooks.warn?.(`Cannot read ${path}: ${faultOf(thrown).message}`);
    return null;
  }
  if (file.length < PREFIX_BYTES || Buffer.compare(hashOf(file), file.subarray(0, HASH_BYTES))) {
    hooks.warn?.(`${path} is damaged; the clip is made anew.`);
    return null;
  }
  return clipOf(options, videoOf(file));
}

/** The file's hash is right, so it is one of ours. */
function videoOf(file: Uint8Array): EncodedVideo {
  const headerEnd = PREFIX_BYTES + readU32(file, HASH_BYTES);
  const json = new TextDecoder().decode(file.subarray(PREFIX_BYTES, headerEnd));
  // The hash vouches for the shape; the version in the file's name for its being the one of today.
  const header = JSON.parse(json) as Header;
  let at = headerEnd + header.parameterSetBytes;
  const parameterSets = file.subarray(headerEnd, at);
  const units = header.unitBytes.map((signed, frame) => {
    const start = at;
    at += Math.abs(signed);
    return { bytes: file.subarray(start, at), keyframe: signed < 0, frame };
  });
  return { units, parameterSets };
}

/** A cache that cannot be written costs time at the next start, nothing else. */
async function keep(
  path: string,
  folder: string,
  file: Uint8Array,
  hooks: ClipHooks,
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await replaceFile(path, file);
  } catch (thrown) {
    hooks.warn?.(`Cannot keep the clip in ${folder}: ${faultOf(thrown).message}`);
  }
}

/** Nobody ever sees half a file under `path`. */
async function replaceFile(path: string, file: Uint8Array): Promise<void> {
  const unfinished = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(unfinished, file);
    await rename(unfinished, path);
  } catch (thrown) {
    await rm(unfinished, { force: true });
    throw thrown;
  }
}
