/** The primitives that src/rtc takes as arguments, by node:crypto. Handshakes only. */
import { createCipheriv, createHmac } from "node:crypto";
import type { AesBlock } from "../rtc/srtp.ts";
import type { HmacSha1 } from "../rtc/stun.ts";

export const hmacSha1: HmacSha1 = (key, data) => createHmac("sha1", key).update(data).digest();

export const aesBlock: AesBlock = (key, block) =>
  createCipheriv("aes-128-ecb", key, null).setAutoPadding(false).update(block);
