/** CRC-32 of ITU-T V.42, which STUN's FINGERPRINT uses (RFC 8489 section 14.7). */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ ((value & 1) === 1 ? 0xedb88320 : 0);
  return value;
});

/** Checksum of [start, end) of `b`, unsigned. */
export function crc32(b: Uint8Array, start: number, end: number): number {
  let value = 0xffffffff;
  for (let i = start; i < end; i++) value = (value >>> 8) ^ TABLE[(value ^ b[i]!) & 0xff]!;
  return (value ^ 0xffffffff) >>> 0;
}
