/** Decodes base64, padded or not; `null` for what is none. */
export function decodeBase64(text: string): Uint8Array | null {
  try {
    return Uint8Array.fromBase64(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
