/** What has to be known of a video track before a browser is given it as it is. */
import { monotonicMs } from "../native/clock.ts";
import { BFrames } from "../rtp/b-frames.ts";
import { readH265Sps } from "../rtp/h265-sps.ts";
import { isVideoCodec } from "../rtp/track-format.ts";
import type { Track } from "../stream/track.ts";

/** What was found, and of which parameter sets. */
interface Finding {
  readonly changes: number;
  readonly found: boolean;
  /** Enough pictures were seen to be sure that there are none. */
  readonly settled: boolean;
}

/** Cameras that use B-frames at all do so within half a second. */
const UNITS_ENOUGH = 12;

const findings = new WeakMap<Track, Finding>();

/**
 * Whether the track's pictures come in another order than they are shown in, by the group of
 * pictures that the ring holds. Looked at when a viewer comes, and not packet by packet.
 */
export function hasBFrames(track: Track): boolean {
  const known = findings.get(track);
  if (known?.changes === track.changes && (known.found || known.settled)) return known.found;
  const { codec } = track.format;
  if (!isVideoCodec(codec)) return false;
  const detector = new BFrames(codec);
  for (const set of track.parameterSets) detector.parameterSet(set);
  let units = 0;
  const leave = track.attachUnits(
    {
      unit: ({ bytes, length }) => {
        units++;
        detector.unit(bytes.subarray(0, length));
      },
      ended: () => {},
    },
    monotonicMs(),
  );
  leave();
  const { found } = detector;
  findings.set(track, { changes: track.changes, found, settled: units >= UNITS_ENOUGH });
  return found;
}

/** profile_idc of H.264 (RFC 6184 section 8.1) or H.265; `null` while not known. */
export function profileOf({ format, parameterSets }: Track): number | null {
  if (format.codec === "h264") return parameterSets[0]?.[1] ?? null;
  if (format.codec !== "h265") return null;
  for (const set of parameterSets) {
    const sps = readH265Sps(set);
    if (sps !== null) return sps.profile;
  }
  return null;
}
