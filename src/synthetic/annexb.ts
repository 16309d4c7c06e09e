/** Takes an Annex B byte stream (ITU-T H.264 annex B) apart. */

/** The NAL units of `bytes`, as views of it, without start codes and trailing zeros. */
export function nalUnits(bytes: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  let start = -1;
  for (let at = bytes.indexOf(1); at >= 0; at = bytes.indexOf(1, at + 1)) {
    if (at < 2 || bytes[at - 1] !== 0 || bytes[at - 2] !== 0) continue;
    if (start >= 0) nals.push(trimmed(bytes, start, at));
    start = at + 1;
  }
  if (start >= 0) nals.push(trimmed(bytes, start, bytes.length));
  return nals;
}

/** A NAL unit never ends in zeros; those belong to the next start code (7.4.1). */
function trimmed(bytes: Uint8Array, start: number, end: number): Uint8Array {
  let last = end;
  while (last > start && bytes[last - 1] === 0) last--;
  return bytes.subarray(start, last);
}
