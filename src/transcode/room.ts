/** How many streams are transcoded at once. Pictures are what that costs, and what viewers come for. */

/** What a stream's process is held for; one that only lingers is for nothing. */
export type Use = "pictures" | "sound" | "nothing";

/** Streams whose sound alone is transcoded: a hundredth of a core and 80 MB each. */
export const SOUND_ALONE_MAX = 8;

/**
 * Whether one more stream may be transcoded for this, beside the others. Sound that pages ask for
 * and nobody hears never takes the place of a picture.
 *
 * @param camerasMax streams whose pictures are transcoded at once; 0 for no transcoding at all
 */
export function hasRoom(
  wanted: Exclude<Use, "nothing">,
  others: readonly Use[],
  camerasMax: number,
): boolean {
  const same = others.filter((use) => use === wanted).length;
  return camerasMax > 0 && same < (wanted === "pictures" ? camerasMax : SOUND_ALONE_MAX);
}
