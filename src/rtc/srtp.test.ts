import { describe, expect, test } from "bun:test";
import { createCipheriv } from "node:crypto";
import {
  AEAD_AES_128_GCM,
  AES128_CM_HMAC_SHA1_80,
  type AesBlock,
  rtcpSessionKeys,
  rtpSessionKeys,
  tagBytes,
  writeCounterBlock,
  writeGcmControlNonce,
  writeGcmNonce,
} from "./srtp.ts";

const aes: AesBlock = (key, block) =>
  createCipheriv("aes-128-ecb", key, null).setAutoPadding(false).update(block);
const bytes = (hex: string) => Uint8Array.fromHex(hex.replaceAll(/\s/g, ""));

describe("session keys", () => {
  test("RFC 3711 appendix B.3", () => {
    const master = {
      profile: AES128_CM_HMAC_SHA1_80,
      key: bytes("E1F97A0D3E018BE0D64FA32C06DE4139"),
      salt: bytes("0EC675AD498AFEEBB6960B3AABE6"),
    } as const;
    const keys = rtpSessionKeys(master, aes);
    expect(keys.key.toHex()).toBe("c61e7a93744f39ee10734afe3ff7a087");
    expect(keys.salt.toHex()).toBe("30cbbc08863d8c85d49db34a9ae1");
    expect(keys.authentication.toHex()).toBe("cebe321f6ff7716b6fd4ab49af256a156d38baa4");
    expect(rtcpSessionKeys(master, aes).key).not.toEqual(keys.key);
  });

  test("a 96-bit salt is the upper part of the 112-bit one (RFC 7714 erratum 4938)", () => {
    const key = bytes("000102030405060708090a0b0c0d0e0f");
    const salt = bytes("517569642070726f2071756f");
    const gcm = rtpSessionKeys({ profile: AEAD_AES_128_GCM, key, salt }, aes);
    const padded = new Uint8Array([...salt, 0, 0]);
    const cm = rtpSessionKeys({ profile: AES128_CM_HMAC_SHA1_80, key, salt: padded }, aes);
    expect(gcm.key).toEqual(cm.key);
    expect(gcm.salt).toEqual(cm.salt.subarray(0, 12));
  });
});

describe("nonces", () => {
  const salt = bytes("51756964 2070726f 2071756f");

  test("RFC 7714 section 16.1.1, RTP", () => {
    const nonce = new Uint8Array(12);
    writeGcmNonce(nonce, salt, 0x5501a0b2, 0, 0xf17b);
    expect(nonce.toHex()).toBe("51753c6580c2726f20718414");
  });

  test("RFC 7714 section 17.1, RTCP", () => {
    const nonce = new Uint8Array(12);
    writeGcmControlNonce(nonce, salt, 0x4d617273, 0x5d4);
    expect(nonce.toHex()).toBe("517524055203726f207170bb");
  });

  test("RTCP indices above 16 bits", () => {
    const nonce = new Uint8Array(12);
    writeGcmControlNonce(nonce, new Uint8Array(12), 0, 0x12345678);
    expect(nonce.toHex()).toBe("000000000000000012345678");
  });

  test("RFC 3711 appendix B.2, counter blocks and their keystream", () => {
    const block = new Uint8Array(16);
    writeCounterBlock(block, bytes("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), 0, 0, 0);
    const keystream = aes(bytes("2B7E151628AED2A6ABF7158809CF4F3C"), block);
    expect(keystream.toHex()).toBe("e03ead0935c95e80e166b16dd92b4eb4");
  });

  test("counter block fields", () => {
    const block = new Uint8Array(16).fill(0xff);
    writeCounterBlock(block, new Uint8Array(14), 0x01020304, 0x05060708, 0x090a);
    expect(block.toHex()).toBe("0000000001020304050607" + "08090a0000");
  });
});

test("tags", () => {
  expect([tagBytes(AEAD_AES_128_GCM), tagBytes(AES128_CM_HMAC_SHA1_80)]).toEqual([16, 10]);
});
