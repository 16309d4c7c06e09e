/** Which of the offered H.264 payload types suits a stream (RFC 6184 section 8). */
import { attributeValues, formatParameters, keyedValue, type MediaSection } from "./sdp.ts";

/** The payload types a viewer gets. */
export interface H264Payload {
  readonly payloadType: number;
  /** As offered, to be repeated in the answer. */
  readonly fmtp: string;
  /** `null` when retransmissions have no payload type of their own (RFC 4588). */
  readonly rtxPayloadType: number | null;
  /** Feedback offered for this payload type, such as `nack pli`. */
  readonly feedback: readonly string[];
}

type Profile = "baseline" | "constrained baseline" | "main" | "high" | "other";

/** RFC 6184 section 8.1: what a missing profile-level-id means. */
const PROFILE_LEVEL_ID_DEFAULT = "420010";

/**
 * What to take for a stream, best first: its own profile, then those whose decoders are supersets,
 * then constrained baseline, under which browsers decode Main and High as well.
 */
const PREFERENCES: Readonly<Record<Profile, readonly Profile[]>> = {
  "constrained baseline": ["constrained baseline", "baseline", "main", "high", "other"],
  baseline: ["baseline", "constrained baseline", "main", "high", "other"],
  main: ["main", "high", "constrained baseline", "baseline", "other"],
  high: ["high", "main", "constrained baseline", "baseline", "other"],
  other: ["other", "high", "main", "constrained baseline", "baseline"],
};

/** Best payload type of a video section for the stream; `null` when none is H.264 in mode 1. */
export function choosePayload(section: MediaSection, profileLevelId: string): H264Payload | null {
  // A stream whose parameter sets were not seen yet is most likely what every browser decodes.
  const preference =
    PREFERENCES[profileLevelId === "" ? "constrained baseline" : profileOf(profileLevelId)];
  let best: string | null = null;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const format of section.formats) {
    const rank = rankOf(section, format, preference);
    if (rank < bestRank) {
      best = format;
      bestRank = rank;
    }
  }
  return best === null ? null : payloadOf(section, best);
}

/** Position in the preference; infinite for what cannot be used at all. */
function rankOf(section: MediaSection, format: string, preference: readonly Profile[]): number {
  const { attributes } = section;
  if (!/^\d{1,3}$/.test(format)) return Number.POSITIVE_INFINITY;
  if (keyedValue(attributes, "rtpmap", format)?.toLowerCase() !== "h264/90000") {
    return Number.POSITIVE_INFINITY;
  }
  const parameters = formatParameters(keyedValue(attributes, "fmtp", format) ?? "");
  if (parameters.get("packetization-mode") !== "1") return Number.POSITIVE_INFINITY;
  return preference.indexOf(
    profileOf(parameters.get("profile-level-id") ?? PROFILE_LEVEL_ID_DEFAULT),
  );
}

/** The profile of a `profile-level-id` (RFC 6184 table 5). */
function profileOf(profileLevelId: string): Profile {
  const value = /^[0-9a-f]{6}$/i.test(profileLevelId) ? Number.parseInt(profileLevelId, 16) : 0;
  const constraintSet1 = (value & 0x4000) !== 0;
  switch (value >> 16) {
    case 0x42:
      return constraintSet1 ? "constrained baseline" : "baseline";
    case 0x4d:
      return (value & 0x8000) !== 0 ? "constrained baseline" : "main";
    case 0x58:
      return (value & 0xc000) === 0xc000 ? "constrained baseline" : "other";
    case 0x64:
      return "high";
    default:
      return "other";
  }
}

function payloadOf(section: MediaSection, format: string): H264Payload {
  const { attributes } = section;
  return {
    payloadType: Number(format),
    fmtp: keyedValue(attributes, "fmtp", format) ?? "",
    rtxPayloadType: rtxOf(section, format),
    feedback: attributeValues(attributes, "rtcp-fb").flatMap((value) => {
      const space = value.indexOf(" ");
      const about = value.slice(0, space);
      return about === format || about === "*" ? [value.slice(space + 1)] : [];
    }),
  };
}

function rtxOf(section: MediaSection, format: string): number | null {
  const { attributes, formats } = section;
  const rtx = formats.find(
    (other) =>
      keyedValue(attributes, "rtpmap", other)?.toLowerCase() === "rtx/90000" &&
      formatParameters(keyedValue(attributes, "fmtp", other) ?? "").get("apt") === format,
  );
  return rtx === undefined ? null : Number(rtx);
}
