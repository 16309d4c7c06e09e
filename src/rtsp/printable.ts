/** Enough to recognise a protocol by, too little to repeat a whole message in a log. */
const SHOWN_MAX = 32;

/**
 * The beginning of what a peer sent, quoted and fit for a log: control and non-ASCII characters are
 * escaped. Bytes stand for the characters of the same number.
 */
export function printable(seen: string | Uint8Array): string {
  const text =
    typeof seen === "string" ? seen : String.fromCharCode(...seen.subarray(0, SHOWN_MAX));
  const shown = text.slice(0, SHOWN_MAX).replace(/[^\x20-\x7e]|["\\]/gu, escapeCharacter);
  return `"${shown}"${seen.length > SHOWN_MAX ? "…" : ""}`;
}

function escapeCharacter(character: string): string {
  if (character === '"' || character === "\\") return `\\${character}`;
  return `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`;
}
