/** What the media process tells of one stream. */
import type { Upstream } from "../ingest/upstream.ts";
import type { StreamStats, TrackStats } from "../process/protocol.ts";
import { profileLevelIdOf } from "../rtp/sps.ts";
import type { Track } from "../stream/track.ts";

export function streamStats({ counters, puller, stream, transport }: Upstream): StreamStats {
  const { connects, reconnects } = counters;
  const { video, audio } = stream;
  return {
    puller,
    transport,
    connects,
    reconnects,
    video: video && trackStats(video),
    audio: audio && trackStats(audio),
  };
}

function trackStats(track: Track): TrackStats {
  const { format, counters, clock, ring, picture, newestTimestamp } = track;
  const { codec, clockHz, channels } = format;
  const { packets, bytes, units, keyframes, damagedUnits, late, malformed } = counters;
  return {
    codec,
    clockHz,
    channels,
    packets,
    bytes,
    units,
    keyframes,
    damagedUnits,
    lost: track.lost,
    late,
    malformed,
    ringBytes: ring.bytes.length,
    width: picture?.width ?? 0,
    height: picture?.height ?? 0,
    profileLevelId: codec === "h264" ? profileLevelIdOf(track.parameterSets[0]) : "",
    clock: clock.known
      ? {
          timestamp: newestTimestamp,
          captured: clock.at(newestTimestamp),
          source: clock.source,
          cameraOffsetMs: clock.cameraOffsetMs,
          cameraSteps: clock.cameraSteps,
          ignoredReports: clock.ignoredReports,
        }
      : null,
  };
}
