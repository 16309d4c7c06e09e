/** Sources of every kind, served on 127.0.0.1 by Debian's ffmpeg. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";

/** Pictures of the clip; 2 s with a keyframe each second. */
export const CLIP_PICTURES = 50;

/** A clip with two B-frames in a row and AAC, of 320x180 at 25 fps. Returns its path. */
export function makeClip(folder: string): string {
  const path = join(folder, "clip.mp4");
  run([
    ...["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=440"],
    ...["-t", "2", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25"],
    ...["-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "1", path],
  ]);
  return path;
}

/** The clip in another container or codec; `output` are ffmpeg's arguments. Returns the path. */
export function convert(clip: string, name: string, output: readonly string[]): string {
  const path = join(clip, "..", name);
  run(["-i", clip, ...output, path]);
  return path;
}

/** A playlist with segments, and what serves it. */
export function makePlaylist(clip: string): string {
  const folder = join(clip, "../hls");
  mkdirSync(folder);
  run(["-i", clip, "-c", "copy", "-f", "hls", "-hls_time", "1", join(folder, "index.m3u8")]);
  return folder;
}

/** Sends the clip, over and over and in real time, to `output`. */
export function send(clip: string, output: readonly string[]): Bun.Subprocess<"ignore", "pipe"> {
  const input = ["-re", "-stream_loop", "-1", "-i", clip];
  return Bun.spawn(["ffmpeg", "-nostdin", "-loglevel", "error", ...input, ...output], {
    stdio: ["ignore", "pipe", "ignore"],
  });
}

function run(argv: readonly string[]): void {
  const command = ["ffmpeg", "-nostdin", "-y", "-loglevel", "error", ...argv];
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`ffmpeg failed: ${stderr}`);
}
