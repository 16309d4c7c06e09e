/** RTCP under SRTP keys (RFC 3711 section 3.4, RFC 7714 section 9). A few packets a second. */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";
import {
  AEAD_AES_128_GCM,
  COUNTER_BLOCK_BYTES,
  GCM_NONCE_BYTES,
  type SessionKeys,
  SRTCP_INDEX_BYTES,
  tagBytes,
  writeCounterBlock,
  writeGcmControlNonce,
} from "../rtc/srtp.ts";
import { readU32, writeU32 } from "../rtp/header.ts";

/** Header and sender SSRC stay in the clear. */
const CLEAR_BYTES = 8;
/** The E bit: the packet is encrypted. */
const ENCRYPTED = 0x80000000;
/** RFC 3711 section 3.3.2 asks for at least this many packets of replay memory. */
const REPLAY_WINDOW = 64;

/** Protects the RTCP packets that one side sends. */
export class SrtcpSender {
  readonly #keys: SessionKeys;
  #index = 0;

  constructor(keys: SessionKeys) {
    this.#keys = keys;
  }

  /** Returns a new array with the protected compound packet. */
  protect(packet: Uint8Array): Uint8Array {
    const word = new Uint8Array(SRTCP_INDEX_BYTES);
    writeU32(word, 0, ENCRYPTED + this.#index);
    const index = this.#index++;
    return this.#keys.profile === AEAD_AES_128_GCM
      ? sealGcm(this.#keys, packet, index, word)
      : sealCtr(this.#keys, packet, index, word);
  }
}

/** Opens the RTCP packets of the other side. */
export class SrtcpReceiver {
  readonly #keys: SessionKeys;
  /** The newest index seen of each residue. */
  readonly #seen = new Float64Array(REPLAY_WINDOW).fill(-1);

  constructor(keys: SessionKeys) {
    this.#keys = keys;
  }

  /** The compound packet, or `null` when it is not authentic, too short or a replay. */
  unprotect(b: Uint8Array): Uint8Array | null {
    const { profile } = this.#keys;
    if (b.length < CLEAR_BYTES + tagBytes(profile) + SRTCP_INDEX_BYTES) return null;
    const gcm = profile === AEAD_AES_128_GCM;
    const wordAt = b.length - SRTCP_INDEX_BYTES - (gcm ? 0 : tagBytes(profile));
    const word = readU32(b, wordAt);
    if (word < ENCRYPTED) return null;
    const index = word - ENCRYPTED;
    if (this.#seen[index % REPLAY_WINDOW]! >= index) return null;
    const plain = gcm ? openGcm(this.#keys, b, index) : openCtr(this.#keys, b, index);
    if (plain !== null) this.#seen[index % REPLAY_WINDOW] = index;
    return plain;
  }
}

function gcmNonce({ salt }: SessionKeys, b: Uint8Array, index: number): Uint8Array {
  const nonce = new Uint8Array(GCM_NONCE_BYTES);
  writeGcmControlNonce(nonce, salt, readU32(b, 4), index);
  return nonce;
}

function counterBlock({ salt }: SessionKeys, b: Uint8Array, index: number): Uint8Array {
  const block = new Uint8Array(COUNTER_BLOCK_BYTES);
  writeCounterBlock(block, salt, readU32(b, 4), index >>> 16, index & 0xffff);
  return block;
}

function sealGcm(keys: SessionKeys, b: Uint8Array, index: number, word: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-128-gcm", keys.key, gcmNonce(keys, b, index));
  const clear = b.subarray(0, CLEAR_BYTES);
  cipher.setAAD(Buffer.concat([clear, word]));
  const body = cipher.update(b.subarray(CLEAR_BYTES));
  cipher.final();
  return Buffer.concat([clear, body, cipher.getAuthTag(), word]);
}

function openGcm(keys: SessionKeys, b: Uint8Array, index: number): Uint8Array | null {
  const wordAt = b.length - SRTCP_INDEX_BYTES;
  const tagAt = wordAt - tagBytes(keys.profile);
  const clear = b.subarray(0, CLEAR_BYTES);
  const decipher = createDecipheriv("aes-128-gcm", keys.key, gcmNonce(keys, b, index));
  decipher.setAAD(Buffer.concat([clear, b.subarray(wordAt)]));
  decipher.setAuthTag(b.subarray(tagAt, wordAt));
  const body = decipher.update(b.subarray(CLEAR_BYTES, tagAt));
  try {
    decipher.final();
  } catch {
    // Not authentic: anyone can send that, so it is no fault.
    return null;
  }
  return Buffer.concat([clear, body]);
}

function sealCtr(keys: SessionKeys, b: Uint8Array, index: number, word: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-128-ctr", keys.key, counterBlock(keys, b, index));
  const body = cipher.update(b.subarray(CLEAR_BYTES));
  const packet = Buffer.concat([b.subarray(0, CLEAR_BYTES), body, word]);
  return Buffer.concat([packet, controlTag(keys, packet)]);
}

function openCtr(keys: SessionKeys, b: Uint8Array, index: number): Uint8Array | null {
  const tagAt = b.length - tagBytes(keys.profile);
  if (!timingSafeEqual(controlTag(keys, b.subarray(0, tagAt)), b.subarray(tagAt))) return null;
  const decipher = createDecipheriv("aes-128-ctr", keys.key, counterBlock(keys, b, index));
  const body = decipher.update(b.subarray(CLEAR_BYTES, tagAt - SRTCP_INDEX_BYTES));
  return Buffer.concat([b.subarray(0, CLEAR_BYTES), body]);
}

function controlTag({ authentication, profile }: SessionKeys, covered: Uint8Array): Uint8Array {
  return createHmac("sha1", authentication).update(covered).digest().subarray(0, tagBytes(profile));
}
