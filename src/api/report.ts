/** What the API says of a camera. */
import { z } from "@hono/zod-openapi";
import type { Camera, Cameras } from "../cameras/cameras.ts";
import type { Vitals } from "../cameras/vitals.ts";
import type { Secret } from "../core/secret.ts";
import type { UnixMs } from "../core/units.ts";
import type { StreamName, TrackStats, TranscodingStats } from "../process/protocol.ts";
import { sourceLabel } from "../source/source.ts";
import type { CameraState } from "../stream/camera-state.ts";

const time = z.iso.datetime({ precision: 3 });
const count = z.int().min(0);

const STATES = [
  "idle",
  "connecting",
  "live",
  "stalled",
  "reconnecting",
  "refused",
  "ended",
] as const satisfies readonly CameraState["at"][];

const StreamReport = z.object({
  source: z.string().openapi({ description: "The address, without its credentials." }),
  puller: z
    .enum(["native", "ffmpeg"])
    .nullable()
    .openapi({ description: "What fetches it now; `null` while nothing does." }),
  transport_in_use: z
    .string()
    .nullable()
    .openapi({ description: "`tcp` or `udp`, while it is pulled." }),
  state: z.enum(STATES),
  since: time,
  cause: z
    .object({ code: z.string(), message: z.string() })
    .nullable()
    .openapi({ description: "Why it is not live, and what to do." }),
  attempt: count.openapi({ description: "Failed attempts since it was last live." }),
  next_attempt_at: time.nullable(),
  video: z
    .object({
      codec: z.string().openapi({ description: "`h264`, `h265` or `mjpeg`." }),
      profile_level_id: z.string().openapi({ description: "Of H.264; else empty." }),
      width: count,
      height: count,
      fps: z.number(),
      bitrate_bps: z.number(),
    })
    .nullable()
    .openapi({ description: "`null` until the first picture." }),
  audio: z
    .object({ codec: z.string(), clock_hz: count, channels: count })
    .nullable()
    .openapi({ description: "`null` when there is none." }),
  clock: z
    .object({
      rtp_timestamp: count,
      captured_at: time,
      captured_at_unix_ms: z.number(),
      source: z.enum(["rtcp", "arrival"]),
      camera_offset_ms: z
        .number()
        .nullable()
        .openapi({
          description:
            "How far the camera's clock is ahead of the hub's at arrival; minus the delay of the link " +
            "when both are right. Beyond 10 s it is not believed. `null` without reports.",
        }),
    })
    .nullable()
    .openapi({
      description:
        "The camera's clock: this RTP timestamp (90 kHz) was captured then, by its RTCP sender reports or by arrival.",
    }),
  counters: z.object({
    packets: count,
    bytes: count,
    frames: count,
    keyframes: count,
    damaged_frames: count,
    lost_packets: count,
    connects: count,
  }),
});
type StreamReport = z.infer<typeof StreamReport>;

export const CameraReport = z
  .object({
    id: z.string(),
    origin: z.enum(["config", "api"]).openapi({
      description: "From the configuration file, or added by the API.",
    }),
    enabled: z.boolean().openapi({ description: "False after `stop`, until `start`." }),
    transport: z.enum(["auto", "tcp", "udp"]),
    on_demand: z.boolean(),
    linger_s: z.number(),
    preload: z.boolean(),
    shared_with: z.array(z.string()).openapi({
      description: "Cameras of the same source, which share its one connection.",
    }),
    ...StreamReport.shape,
    sub: StreamReport.nullable().openapi({ description: "The smaller stream, if there is one." }),
    viewers: count.openapi({ description: "Over WebRTC." }),
    readers: count.openapi({ description: "Of the hub's RTSP server." }),
    subscribers: count.openapi({ description: "Of the frame bus." }),
    transcoding: z
      .array(
        z.object({
          codec: z.string(),
          encoder: z.string(),
          viewers: count,
          fps: z.number(),
          encode_ms: z.number(),
        }),
      )
      .openapi({ description: "What is made for browsers that do not take the camera's codecs." }),
    decode: z
      .object({
        device: z.string(),
        degraded: z.boolean(),
        decoded: count,
        delivered: count,
        dropped: z.record(z.string(), count),
        decode_ms: z.number(),
        latency_ms: z.number(),
      })
      .nullable()
      .openapi({ description: "`null` while nobody wants decoded pictures." }),
  })
  .openapi("Camera");
export type CameraReport = z.infer<typeof CameraReport>;

/** RFC 3339 with milliseconds. */
function rfc3339(unixMs: UnixMs): string {
  return new Date(unixMs).toISOString();
}

export function reportOf(camera: Camera, cameras: Cameras, vitals: Vitals): CameraReport {
  const { id, origin, enabled, config, state, sub } = camera;
  const topics = vitals.topicsOf(id);
  return {
    id,
    origin,
    enabled,
    transport: config.transport,
    on_demand: config.on_demand,
    linger_s: config.linger_s,
    preload: config.preload,
    shared_with: cameras.sharing(camera),
    ...streamReport(id, "main", config.source, state, vitals),
    sub: config.sub && sub && streamReport(id, "sub", config.sub, sub, vitals),
    viewers: vitals.viewersOf(id).length,
    readers: vitals.readersOf(id).readers,
    subscribers: topics.reduce((sum, { subscribers }) => sum + subscribers, 0),
    transcoding: vitals.transcodingOf(id).flatMap(({ renditions }) => renditions.map(rendition)),
    decode: decodeReport(id, vitals),
  };
}

function rendition({
  codec,
  encoder,
  viewers,
  unitsPerSecond,
  encodeMs,
}: TranscodingStats["renditions"][number]): CameraReport["transcoding"][number] {
  const fps = round(unitsPerSecond, 1);
  return { codec, encoder, viewers, fps, encode_ms: round(encodeMs.mean, 3) };
}

function streamReport(
  id: string,
  name: StreamName,
  source: Secret,
  state: CameraState,
  vitals: Vitals,
): StreamReport {
  const { stats, rates } = vitals.stream(id, name) ?? { stats: null, rates: null };
  const failing = "cause" in state ? state : null;
  const { video = null, audio = null, connects = 0 } = stats ?? {};
  return {
    source: sourceLabel(source.reveal()),
    puller: stats?.puller ?? null,
    transport_in_use: stats?.transport ?? null,
    state: state.at,
    since: rfc3339(state.since),
    cause: failing?.cause ?? null,
    attempt: failing?.attempt ?? 0,
    next_attempt_at: failing ? rfc3339(failing.nextAttempt) : null,
    video:
      video && rates && video.width > 0
        ? {
            codec: video.codec,
            profile_level_id: video.profileLevelId,
            width: video.width,
            height: video.height,
            fps: round(rates.framesPerSecond, 1),
            bitrate_bps: Math.round(rates.bitsPerSecond),
          }
        : null,
    audio: audio && { codec: audio.codec, clock_hz: audio.clockHz, channels: audio.channels },
    clock: clockReport(video),
    counters: { ...countersOf(video), connects },
  };
}

function clockReport(video: TrackStats | null): StreamReport["clock"] {
  const clock = video?.clock;
  if (!clock) return null;
  return {
    rtp_timestamp: clock.timestamp,
    captured_at: rfc3339(clock.captured),
    captured_at_unix_ms: round(clock.captured, 3),
    source: clock.source,
    camera_offset_ms: clock.cameraOffsetMs === null ? null : round(clock.cameraOffsetMs, 1),
  };
}

function countersOf(video: TrackStats | null): Omit<StreamReport["counters"], "connects"> {
  return {
    packets: video?.packets ?? 0,
    bytes: video?.bytes ?? 0,
    frames: video?.units ?? 0,
    keyframes: video?.keyframes ?? 0,
    damaged_frames: video?.damagedUnits ?? 0,
    lost_packets: video?.lost ?? 0,
  };
}

function decodeReport(id: string, vitals: Vitals): CameraReport["decode"] {
  const decoder = vitals.decoderOf(id);
  if (!decoder) return null;
  return {
    device: decoder.device,
    degraded: decoder.degraded,
    decoded: decoder.decoded,
    delivered: decoder.delivered,
    dropped: { ...decoder.dropped },
    decode_ms: round(decoder.decodeMs.mean, 3),
    latency_ms: round(decoder.latencyMs.mean, 3),
  };
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
