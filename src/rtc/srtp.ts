/**
 * SRTP layouts: session keys (RFC 3711 section 4.3), nonces of AEAD_AES_128_GCM (RFC 7714 sections
 * 8.1 and 9.1), counter blocks of AES128_CM (RFC 3711 section 4.1.1). AES comes as an argument.
 *
 * @module
 */
import { writeU16, writeU32 } from "../rtp/header.ts";

/** AES-128 of one 16-byte block, as a new array. */
export type AesBlock = (key: Uint8Array, block: Uint8Array) => Uint8Array;

/** Protection profiles by their DTLS numbers (RFC 5764 section 4.1.2, RFC 7714 section 14.2). */
export const AES128_CM_HMAC_SHA1_80 = 1;
export const AEAD_AES_128_GCM = 7;
export type SrtpProfile = typeof AES128_CM_HMAC_SHA1_80 | typeof AEAD_AES_128_GCM;

/** What DTLS must be offered, best first. */
export const SRTP_PROFILES: readonly SrtpProfile[] = [AEAD_AES_128_GCM, AES128_CM_HMAC_SHA1_80];

export const MASTER_KEY_BYTES = 16;
export const GCM_TAG_BYTES = 16;
export const GCM_NONCE_BYTES = 12;
export const COUNTER_BLOCK_BYTES = 16;
export const SHA1_80_TAG_BYTES = 10;
/** The E bit and the 31-bit index behind each SRTCP packet (RFC 3711 section 3.4). */
export const SRTCP_INDEX_BYTES = 4;

const SESSION_KEY_BYTES = 16;
const AUTHENTICATION_KEY_BYTES = 20;

/** Length of the master and session salt in bytes. */
export function saltBytes(profile: SrtpProfile): number {
  return profile === AEAD_AES_128_GCM ? 12 : 14;
}

/** Length of the tag behind a packet in bytes. */
export function tagBytes(profile: SrtpProfile): number {
  return profile === AEAD_AES_128_GCM ? GCM_TAG_BYTES : SHA1_80_TAG_BYTES;
}

/** Session keys of one direction for one of RTP and RTCP. */
export interface SessionKeys {
  readonly profile: SrtpProfile;
  readonly key: Uint8Array;
  readonly salt: Uint8Array;
  /** Of HMAC-SHA1; GCM has no use for it. */
  readonly authentication: Uint8Array;
}

/** One direction's master key and salt, as DTLS exports them. */
export interface MasterKeys {
  readonly profile: SrtpProfile;
  readonly key: Uint8Array;
  readonly salt: Uint8Array;
}

/** Labels of RFC 3711 section 4.3.1: encryption, authentication, salt. */
const RTP_LABELS = [0, 1, 2] as const;
const RTCP_LABELS = [3, 4, 5] as const;

export function rtpSessionKeys(master: MasterKeys, aes: AesBlock): SessionKeys {
  return sessionKeys(master, RTP_LABELS, aes);
}

export function rtcpSessionKeys(master: MasterKeys, aes: AesBlock): SessionKeys {
  return sessionKeys(master, RTCP_LABELS, aes);
}

function sessionKeys(
  master: MasterKeys,
  [encryption, authentication, salt]: readonly [number, number, number],
  aes: AesBlock,
): SessionKeys {
  const { profile } = master;
  return {
    profile,
    key: derive(master, encryption, SESSION_KEY_BYTES, aes),
    authentication: derive(master, authentication, AUTHENTICATION_KEY_BYTES, aes),
    salt: derive(master, salt, saltBytes(profile), aes),
  };
}

/** AES-CM keystream from the salt with the label in it. A 12-byte salt ends in zeros (errata 4938). */
function derive(master: MasterKeys, label: number, length: number, aes: AesBlock): Uint8Array {
  const block = new Uint8Array(COUNTER_BLOCK_BYTES);
  block.set(master.salt);
  block[7]! ^= label;
  const out = new Uint8Array(Math.ceil(length / COUNTER_BLOCK_BYTES) * COUNTER_BLOCK_BYTES);
  for (let at = 0; at < length; at += COUNTER_BLOCK_BYTES) {
    writeU16(block, 14, at / COUNTER_BLOCK_BYTES);
    out.set(aes(master.key, block), at);
  }
  return out.slice(0, length);
}

/** Fills `nonce` for the RTP packet with this rollover counter and sequence number. */
export function writeGcmNonce(
  nonce: Uint8Array,
  salt: Uint8Array,
  ssrc: number,
  rollover: number,
  sequence: number,
): void {
  nonce[0] = salt[0]!;
  nonce[1] = salt[1]!;
  nonce[2] = salt[2]! ^ (ssrc >>> 24);
  nonce[3] = salt[3]! ^ (ssrc >>> 16);
  nonce[4] = salt[4]! ^ (ssrc >>> 8);
  nonce[5] = salt[5]! ^ ssrc;
  nonce[6] = salt[6]! ^ (rollover >>> 24);
  nonce[7] = salt[7]! ^ (rollover >>> 16);
  nonce[8] = salt[8]! ^ (rollover >>> 8);
  nonce[9] = salt[9]! ^ rollover;
  nonce[10] = salt[10]! ^ (sequence >>> 8);
  nonce[11] = salt[11]! ^ sequence;
}

/** Fills `nonce` for the RTCP packet with this index. */
export function writeGcmControlNonce(
  nonce: Uint8Array,
  salt: Uint8Array,
  ssrc: number,
  index: number,
): void {
  // The same layout with zeros where RTP has the upper half of its rollover counter.
  writeGcmNonce(nonce, salt, ssrc, index >>> 16, index & 0xffff);
}

/**
 * Fills the counter `block` for the packet with this 48-bit index, given in two halves: rollover
 * counter and sequence number for RTP; the index's upper and lower 16 bits for RTCP.
 */
export function writeCounterBlock(
  block: Uint8Array,
  salt: Uint8Array,
  ssrc: number,
  rollover: number,
  sequence: number,
): void {
  block.fill(0);
  writeU32(block, 4, ssrc);
  writeU32(block, 8, rollover);
  writeU16(block, 12, sequence);
  for (let i = 0; i < salt.length; i++) block[i]! ^= salt[i]!;
}
