/**
 * Turns RTP into SRTP: by libcrypto over FFI where that proves right at start-up, by node:crypto
 * otherwise. Both write into the egress arena.
 *
 * @module
 */
import { createCipheriv, createHmac, randomBytes } from "node:crypto";
import {
  CtrSealer,
  GcmSealer,
  type Libcrypto,
  openLibcrypto,
  type PlainPacket,
} from "../native/crypto.ts";
import { Pinned } from "../native/libc.ts";
import {
  AEAD_AES_128_GCM,
  COUNTER_BLOCK_BYTES,
  GCM_NONCE_BYTES,
  GCM_TAG_BYTES,
  type SessionKeys,
  SHA1_80_TAG_BYTES,
  SRTP_PROFILES,
  type SrtpProfile,
  saltBytes,
  tagBytes,
  writeCounterBlock,
  writeGcmNonce,
} from "../rtc/srtp.ts";
import { PAYLOAD_BYTES_MAX, RTP_HEADER_BYTES, writeU32 } from "../rtp/header.ts";

/** One packet to protect; reused from packet to packet. */
export interface OutgoingPacket extends PlainPacket {
  ssrc: number;
  /** Upper 32 and lower 16 bits of the packet's index (RFC 3711 section 3.3.1). */
  rollover: number;
  sequence: number;
}

/** Room that `protect` may write behind the payload: the tag, or the rollover counter before it. */
export const PROTECTION_BYTES_MAX = 16;

/** Protects packets of one session with its sending keys. */
export interface Protector {
  /**
   * The packet's header stands in `out` at `at`. Writes ciphertext and tag behind it; returns the
   * length of the whole packet.
   */
  protect(out: Pinned, at: number, packet: OutgoingPacket): number;
  /** Gives native memory back; nothing may follow. */
  free(): void;
}

/** How packets are protected in this process. */
export interface Protection {
  readonly kind: "ffi" | "node";
  protector(keys: SessionKeys): Protector;
}

/** Protection by node:crypto: works everywhere, at several times the cost. */
export const nodeProtection: Protection = {
  kind: "node",
  protector: (keys) => (keys.profile === AEAD_AES_128_GCM ? new NodeGcm(keys) : new NodeCtr(keys)),
};

/** The fastest protection that works here. */
export function openProtection(): Protection {
  const symbols = openLibcrypto();
  if (symbols === null) return nodeProtection;
  const native = nativeProtection(symbols);
  return SRTP_PROFILES.every((profile) => agree(native, profile)) ? native : nodeProtection;
}

function nativeProtection(symbols: Libcrypto): Protection {
  return {
    kind: "ffi",
    protector: (keys) =>
      keys.profile === AEAD_AES_128_GCM
        ? new NativeGcm(symbols, keys)
        : new NativeCtr(symbols, keys),
  };
}

class NativeGcm implements Protector {
  readonly #sealer: GcmSealer;
  readonly #salt: Uint8Array;

  constructor(symbols: Libcrypto, { key, salt }: SessionKeys) {
    this.#sealer = new GcmSealer(symbols, key);
    this.#salt = salt;
  }

  protect(out: Pinned, at: number, packet: OutgoingPacket): number {
    const { ssrc, rollover, sequence } = packet;
    writeGcmNonce(this.#sealer.nonce, this.#salt, ssrc, rollover, sequence);
    this.#sealer.seal(out, at, packet);
    return packet.headerBytes + packet.payloadBytes + GCM_TAG_BYTES;
  }

  free(): void {
    this.#sealer.free();
  }
}

class NativeCtr implements Protector {
  readonly #sealer: CtrSealer;
  readonly #salt: Uint8Array;

  constructor(symbols: Libcrypto, { key, salt, authentication }: SessionKeys) {
    this.#sealer = new CtrSealer(symbols, key, authentication);
    this.#salt = salt;
  }

  protect(out: Pinned, at: number, packet: OutgoingPacket): number {
    const { ssrc, rollover, sequence, headerBytes, payloadBytes } = packet;
    writeCounterBlock(this.#sealer.counter, this.#salt, ssrc, rollover, sequence);
    this.#sealer.encrypt(out, at, packet);
    const length = headerBytes + payloadBytes;
    // The tag covers the rollover counter too, which is not sent (RFC 3711 section 4.2).
    writeU32(out.bytes, at + length, rollover);
    const digest = this.#sealer.authenticate(out, at, length + 4);
    for (let i = 0; i < SHA1_80_TAG_BYTES; i++) out.bytes[at + length + i] = digest[i]!;
    return length + SHA1_80_TAG_BYTES;
  }

  free(): void {
    this.#sealer.free();
  }
}

class NodeGcm implements Protector {
  readonly #key: Uint8Array;
  readonly #salt: Uint8Array;
  readonly #nonce = new Uint8Array(GCM_NONCE_BYTES);

  constructor({ key, salt }: SessionKeys) {
    this.#key = key;
    this.#salt = salt;
  }

  protect(out: Pinned, at: number, packet: OutgoingPacket): number {
    const { ssrc, rollover, sequence, source, payloadStart, payloadBytes } = packet;
    const body = at + packet.headerBytes;
    writeGcmNonce(this.#nonce, this.#salt, ssrc, rollover, sequence);
    const cipher = createCipheriv("aes-128-gcm", this.#key, this.#nonce);
    cipher.setAAD(out.bytes.subarray(at, body));
    out.bytes.set(cipher.update(source.subarray(payloadStart, payloadStart + payloadBytes)), body);
    cipher.final();
    out.bytes.set(cipher.getAuthTag(), body + payloadBytes);
    return packet.headerBytes + payloadBytes + GCM_TAG_BYTES;
  }

  free(): void {}
}

class NodeCtr implements Protector {
  readonly #keys: SessionKeys;
  readonly #counter = new Uint8Array(COUNTER_BLOCK_BYTES);

  constructor(keys: SessionKeys) {
    this.#keys = keys;
  }

  protect(out: Pinned, at: number, packet: OutgoingPacket): number {
    const { ssrc, rollover, sequence, source, payloadStart, payloadBytes } = packet;
    const { key, salt, authentication } = this.#keys;
    const length = packet.headerBytes + payloadBytes;
    writeCounterBlock(this.#counter, salt, ssrc, rollover, sequence);
    const cipher = createCipheriv("aes-128-ctr", key, this.#counter);
    const plain = source.subarray(payloadStart, payloadStart + payloadBytes);
    out.bytes.set(cipher.update(plain), at + packet.headerBytes);
    writeU32(out.bytes, at + length, rollover);
    const covered = out.bytes.subarray(at, at + length + 4);
    const digest = createHmac("sha1", authentication).update(covered).digest();
    out.bytes.set(digest.subarray(0, SHA1_80_TAG_BYTES), at + length);
    return length + SHA1_80_TAG_BYTES;
  }

  free(): void {}
}

/** Random packets per suite: enough to meet every remainder of the block size. */
const TRIALS = 64;

/** Whether a protection writes what node:crypto writes, byte for byte. */
function agree(protection: Protection, profile: SrtpProfile): boolean {
  const keys: SessionKeys = {
    profile,
    key: randomBytes(16),
    salt: randomBytes(saltBytes(profile)),
    authentication: randomBytes(20),
  };
  const candidate = protection.protector(keys);
  const reference = nodeProtection.protector(keys);
  const ours = new Pinned(4096);
  const theirs = new Pinned(4096);
  try {
    for (let i = 0; i < TRIALS; i++) {
      const packet = randomPacket();
      const at = i * 7;
      for (const out of [ours, theirs]) out.bytes.set(packet.source.subarray(0, 64), at);
      const length = candidate.protect(ours, at, packet);
      if (reference.protect(theirs, at, packet) !== length) return false;
      if (length !== packet.headerBytes + packet.payloadBytes + tagBytes(profile)) return false;
      const written = ours.bytes.subarray(at, at + length);
      if (Buffer.compare(written, theirs.bytes.subarray(at, at + length)) !== 0) return false;
    }
    return true;
  } finally {
    candidate.free();
  }
}

function randomPacket(): OutgoingPacket {
  const source = randomBytes(2 * PAYLOAD_BYTES_MAX);
  return {
    source,
    headerBytes: source[0]! < 128 ? RTP_HEADER_BYTES : RTP_HEADER_BYTES + 8,
    payloadStart: source[1]!,
    payloadBytes: 1 + (source.readUInt16BE(2) % PAYLOAD_BYTES_MAX),
    ssrc: source.readUInt32BE(4),
    rollover: source.readUInt32BE(8),
    sequence: source.readUInt16BE(12),
  };
}
