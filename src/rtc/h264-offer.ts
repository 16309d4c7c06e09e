/** Which of the offered H.264 payload types suits a stream (RFC 6184 section 8). */

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

/** How well a payload type suits a stream of this `profile-level-id`, empty while unknown: 0 is best. */
export function rankOfH264(offered: ReadonlyMap<string, string>, profileLevelId: string): number {
  // A stream whose parameter sets were not seen yet is most likely what every browser decodes.
  const profile = profileLevelId === "" ? "constrained baseline" : profileOf(profileLevelId);
  const theirs = profileOf(offered.get("profile-level-id") ?? PROFILE_LEVEL_ID_DEFAULT);
  return PREFERENCES[profile].indexOf(theirs);
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
