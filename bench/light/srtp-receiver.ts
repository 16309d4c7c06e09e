/** Opens SRTP packets, one by one: what a viewer does, without a decoder behind it. */
import { createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";
import {
  AEAD_AES_128_GCM,
  COUNTER_BLOCK_BYTES,
  GCM_NONCE_BYTES,
  type SessionKeys,
  tagBytes,
  writeCounterBlock,
  writeGcmNonce,
} from "../../src/rtc/srtp.ts";
import { emptyRtpHeader, readRtpHeader, readU32, writeU32 } from "../../src/rtp/header.ts";

/** A packet that proved authentic. Owns its bytes. */
export interface OpenedPacket {
  readonly ssrc: number;
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequence: number;
  /** Sequence number with the rollover counter in front (RFC 3711 section 3.3.1). */
  readonly index: number;
  readonly timestamp: number;
  /** The header extension, its own four bytes of head included; may be empty. */
  readonly extension: Uint8Array;
  readonly payload: Uint8Array;
}

export class SrtpReceiver {
  readonly #keys: SessionKeys;
  /** The highest index seen of each SSRC. */
  readonly #highest = new Map<number, number>();

  constructor(keys: SessionKeys) {
    this.#keys = keys;
  }

  /** Keeps count of a packet that is not opened, so that wraps are not missed. */
  pass(ssrc: number, sequence: number): void {
    const index = this.#indexOf(ssrc, sequence);
    if (index > (this.#highest.get(ssrc) ?? -1)) this.#highest.set(ssrc, index);
  }

  /** The packet, or `null` when it is not authentic. */
  open(b: Uint8Array): OpenedPacket | null {
    const header = emptyRtpHeader();
    const tagAt = b.length - tagBytes(this.#keys.profile);
    if (!readRtpHeader(b, 0, tagAt, header)) return null;
    const { ssrc, sequence, payloadStart } = header;
    const index = this.#indexOf(ssrc, sequence);
    const gcm = this.#keys.profile === AEAD_AES_128_GCM;
    const payload = gcm
      ? this.#openGcm(b, payloadStart, tagAt, ssrc, index)
      : this.#openCtr(b, payloadStart, tagAt, ssrc, index);
    if (payload === null) return null;
    this.pass(ssrc, sequence);
    const { payloadType, marker, timestamp } = header;
    const extension = b.slice(12, payloadStart);
    return { ssrc, payloadType, marker, sequence, index, timestamp, extension, payload };
  }

  /** The index nearest to the highest one seen. */
  #indexOf(ssrc: number, sequence: number): number {
    const highest = this.#highest.get(ssrc);
    if (highest === undefined) return sequence;
    const step = ((sequence - highest) << 16) >> 16;
    return Math.max(highest + step, sequence);
  }

  #openGcm(
    b: Uint8Array,
    payloadStart: number,
    tagAt: number,
    ssrc: number,
    index: number,
  ): Uint8Array | null {
    const { key, salt } = this.#keys;
    const nonce = new Uint8Array(GCM_NONCE_BYTES);
    writeGcmNonce(nonce, salt, ssrc, Math.floor(index / 65_536), index & 0xffff);
    const decipher = createDecipheriv("aes-128-gcm", key, nonce);
    decipher.setAAD(b.subarray(0, payloadStart));
    decipher.setAuthTag(b.subarray(tagAt));
    const payload = decipher.update(b.subarray(payloadStart, tagAt));
    try {
      decipher.final();
      return payload;
    } catch {
      return null;
    }
  }

  #openCtr(
    b: Uint8Array,
    payloadStart: number,
    tagAt: number,
    ssrc: number,
    index: number,
  ): Uint8Array | null {
    const { key, salt, authentication } = this.#keys;
    const rollover = new Uint8Array(4);
    writeU32(rollover, 0, Math.floor(index / 65_536));
    const hmac = createHmac("sha1", authentication).update(b.subarray(0, tagAt)).update(rollover);
    if (!timingSafeEqual(hmac.digest().subarray(0, b.length - tagAt), b.subarray(tagAt))) {
      return null;
    }
    const block = new Uint8Array(COUNTER_BLOCK_BYTES);
    writeCounterBlock(block, salt, ssrc, readU32(rollover, 0), index & 0xffff);
    return createDecipheriv("aes-128-ctr", key, block).update(b.subarray(payloadStart, tagAt));
  }
}
