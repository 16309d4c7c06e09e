/** What the API says of a camera. */
import { z } from "@hono/zod-openapi";
import type { Camera } from "../cameras/cameras.ts";
import type { Vitals } from "../cameras/vitals.ts";
import type { UnixMs } from "../core/units.ts";
import { parseAddress } from "../rtsp/address.ts";

const time = z.iso.datetime({ precision: 3 });
const count = z.int().min(0);

export const CameraReport = z
  .object({
    id: z.string(),
    origin: z.enum(["config", "api"]).openapi({
      description: "From the configuration file, or added by the API.",
    }),
    enabled: z.boolean().openapi({ description: "False after `stop`, until `start`." }),
    source: z.string().openapi({ description: "The RTSP address, without its credentials." }),
    transport: z.enum(["tcp", "udp"]),
    state: z.enum(["idle", "connecting", "live", "stalled", "reconnecting", "refused", "ended"]),
    since: time,
    cause: z
      .object({ code: z.string(), message: z.string() })
      .nullable()
      .openapi({ description: "Why the camera is not live, and what to do." }),
    attempt: count.openapi({ description: "Failed attempts since it was last live." }),
    next_attempt_at: time.nullable(),
    video: z
      .object({
        codec: z.string().openapi({ description: "`h264`, `h265` or `mjpeg`." }),
        profile_level_id: z.string(),
        width: count,
        height: count,
        fps: z.number(),
        bitrate_bps: z.number(),
      })
      .nullable()
      .openapi({ description: "`null` until the first picture." }),
    clock: z
      .object({
        rtp_timestamp: count,
        captured_at: time,
        captured_at_unix_ms: z.number(),
        source: z.enum(["rtcp", "arrival"]),
      })
      .nullable()
      .openapi({
        description:
          "The camera's clock: this RTP timestamp (90 kHz) was captured then, by its RTCP sender reports or by arrival.",
      }),
    viewers: count,
    subscribers: count.openapi({ description: "Of the frame bus." }),
    counters: z.object({
      packets: count,
      bytes: count,
      frames: count,
      keyframes: count,
      damaged_frames: count,
      lost_packets: count,
      connects: count,
    }),
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

export function reportOf(camera: Camera, vitals: Vitals): CameraReport {
  const { state } = camera;
  const failing = "cause" in state ? state : null;
  const topics = vitals.topicsOf(camera.id);
  return {
    id: camera.id,
    origin: camera.origin,
    enabled: camera.enabled,
    source: parseAddress(camera.config.source.reveal()).requestUri,
    transport: camera.config.transport,
    state: state.at,
    since: rfc3339(state.since),
    cause: failing?.cause ?? null,
    attempt: failing?.attempt ?? 0,
    next_attempt_at: failing ? rfc3339(failing.nextAttempt) : null,
    viewers: vitals.viewersOf(camera.id).length,
    subscribers: topics.reduce((sum, { subscribers }) => sum + subscribers, 0),
    ...streamReport(camera.id, vitals),
    decode: decodeReport(camera.id, vitals),
  };
}

function streamReport(
  id: string,
  vitals: Vitals,
): Pick<CameraReport, "video" | "clock" | "counters"> {
  const { stats: camera, rates } = vitals.camera(id) ?? { stats: null, rates: null };
  const stats = camera?.video ?? null;
  const video =
    stats && rates && stats.width > 0
      ? {
          codec: stats.codec,
          profile_level_id: stats.profileLevelId,
          width: stats.width,
          height: stats.height,
          fps: round(rates.framesPerSecond, 1),
          bitrate_bps: Math.round(rates.bitsPerSecond),
        }
      : null;
  const clock = stats?.clock
    ? {
        rtp_timestamp: stats.clock.timestamp,
        captured_at: rfc3339(stats.clock.captured),
        captured_at_unix_ms: round(stats.clock.captured, 3),
        source: stats.clock.source,
      }
    : null;
  const counters = {
    packets: stats?.packets ?? 0,
    bytes: stats?.bytes ?? 0,
    frames: stats?.units ?? 0,
    keyframes: stats?.keyframes ?? 0,
    damaged_frames: stats?.damagedUnits ?? 0,
    lost_packets: stats?.lost ?? 0,
    connects: camera?.connects ?? 0,
  };
  return { video, clock, counters };
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
