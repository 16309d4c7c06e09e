/** Which of the offered H.265 payload types suits a stream (RFC 7798 section 7). */

/** RFC 7798 section 7.1: Main, unless something else is said. */
const PROFILE_DEFAULT = "1";

/**
 * Profiles whose decoders play a stream, best first (ITU-T H.265 annex A.3): a decoder of Main 10
 * plays Main, not the other way round.
 */
const PREFERENCES: Readonly<Record<string, readonly string[]>> = {
  "1": ["1", "2"],
  "2": ["2"],
  /** Main Still Picture: every Main decoder plays it. */
  "3": ["3", "1", "2"],
};

/**
 * How well a payload type suits a stream of this `profile-id` (empty while unknown): 0 is best,
 * infinite is impossible. Levels are not compared: Safari offers 3.1 and plays 4K.
 */
export function rankOfH265(offered: ReadonlyMap<string, string>, profile: string): number {
  const preference = PREFERENCES[profile === "" ? PROFILE_DEFAULT : profile] ?? [profile];
  const rank = preference.indexOf(offered.get("profile-id") ?? PROFILE_DEFAULT);
  return rank < 0 ? Number.POSITIVE_INFINITY : rank;
}
