/**
 * The control interface of synthetic cameras, HTTP on 127.0.0.1: what tests and benches in other
 * processes ask.
 *
 * GET /cameras · GET /frames/{name}?since=<monotonic ms> · POST /cameras/{name}/off · …/on
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { type FrameRecord, recordJson } from "./frame-log.ts";
import type { CameraStats, SyntheticStats } from "./stats.ts";

/** What the interface needs of the cameras. */
export interface Controlled {
  stats(): SyntheticStats;
  frames(name: string, since?: Millis): FrameRecord[] | null;
  switch(name: string, on: boolean): boolean;
}

export interface ControlServer extends AsyncDisposable {
  readonly port: number;
}

/** @throws Fault config_invalid when the port cannot be had */
export function openControl(cameras: Controlled, port: number): ControlServer {
  const server = serve(cameras, port);
  return {
    port: server.port ?? port,
    [Symbol.asyncDispose]: async () => await server.stop(true),
  };
}

function serve(cameras: Controlled, port: number) {
  try {
    return Bun.serve({
      hostname: "127.0.0.1",
      port,
      routes: {
        "/cameras": { GET: () => Response.json(statsJson(cameras.stats())) },
        "/frames/:name": {
          GET: ({ params, url }) => framesResponse(cameras, params.name, new URL(url)),
        },
        "/cameras/:name/off": { POST: ({ params }) => switched(cameras, params.name, false) },
        "/cameras/:name/on": { POST: ({ params }) => switched(cameras, params.name, true) },
      },
      fetch: () => problem(404, "No such address"),
    });
  } catch (cause) {
    const message = `Cannot listen on 127.0.0.1:${port}. Choose another control port.`;
    throw new Fault("config_invalid", message, { cause });
  }
}

function framesResponse(cameras: Controlled, name: string, url: URL): Response {
  const since = url.searchParams.get("since");
  const after = since === null ? Number.NEGATIVE_INFINITY : Number(since);
  if (Number.isNaN(after)) return problem(400, "since is a number of milliseconds");
  const records = cameras.frames(name, after);
  if (records === null) return problem(404, "No such camera");
  return Response.json(records.map(recordJson));
}

function switched(cameras: Controlled, name: string, on: boolean): Response {
  if (!cameras.switch(name, on)) return problem(404, "No such camera");
  return Response.json({ name, on });
}

/** RFC 9457, in its shortest form. */
function problem(status: number, title: string): Response {
  const headers = { "Content-Type": "application/problem+json" };
  return Response.json({ status, title }, { status, headers });
}

function statsJson({ cameras, pace, logDropped }: SyntheticStats) {
  return {
    cameras: cameras.map(cameraJson),
    pace: {
      turns: pace.turns,
      late: pace.late,
      skipped_intervals: pace.skippedIntervals,
      lateness_ms_p50: pace.latenessMsP50,
      lateness_ms_p99: pace.latenessMsP99,
    },
    log_dropped: logDropped,
  };
}

function cameraJson(camera: CameraStats) {
  return {
    name: camera.name,
    url: camera.url,
    on: camera.on,
    connections: camera.connections,
    playing: camera.playing,
    describes: camera.describes,
    plays: camera.plays,
    frames: camera.frames,
    bytes: camera.bytes,
    dropped_frames: camera.droppedFrames,
  };
}
