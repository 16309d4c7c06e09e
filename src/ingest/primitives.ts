/** What the RTSP engines may not have of their own. */
import type { Hash } from "../rtsp/digest.ts";

const NAMES = { MD5: "md5", "SHA-256": "sha256" } as const;

/** MD5 is what cameras speak; it protects nothing else here. */
export const hash: Hash = (algorithm, text) =>
  new Bun.CryptoHasher(NAMES[algorithm]).update(text).digest("hex");

/** Unpredictable: 32 hex digits. */
export function token(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex();
}
