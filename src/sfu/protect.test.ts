import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { SrtpReceiver } from "../../bench/light/srtp-receiver.ts";
import { openLibcrypto } from "../native/crypto.ts";
import { Pinned } from "../native/libc.ts";
import {
  AEAD_AES_128_GCM,
  type AES128_CM_HMAC_SHA1_80,
  type SessionKeys,
  SRTP_PROFILES,
  saltBytes,
} from "../rtc/srtp.ts";
import { nodeProtection, type OutgoingPacket, openProtection, type Protection } from "./protect.ts";

const bytes = (hex: string) => Uint8Array.fromHex(hex.replaceAll(/\s/g, ""));

function packetOf(header: Uint8Array, payload: Uint8Array, rollover = 0): OutgoingPacket {
  const view = new DataView(header.buffer, header.byteOffset);
  return {
    source: payload,
    payloadStart: 0,
    payloadBytes: payload.length,
    headerBytes: header.length,
    ssrc: view.getUint32(8),
    sequence: view.getUint16(2),
    rollover,
  };
}

function protect(
  protection: Protection,
  keys: SessionKeys,
  header: Uint8Array,
  payload: Uint8Array,
  rollover = 0,
): Uint8Array {
  const protector = protection.protector(keys);
  const out = new Pinned(2_048);
  out.bytes.set(header, 100);
  const length = protector.protect(out, 100, packetOf(header, payload, rollover));
  protector.free();
  return out.bytes.slice(100, 100 + length);
}

const protections: readonly (readonly [string, Protection])[] = [
  ["node:crypto", nodeProtection],
  ...(openLibcrypto() === null ? [] : [["libcrypto", openProtection()] as const]),
];

test.skipIf(openLibcrypto() === null)("libcrypto passes its own start-up test here", () => {
  expect(openProtection().kind).toBe("ffi");
});

describe.each(protections)("%s", (_name, protection) => {
  test("RFC 7714 section 16.1.1", () => {
    const keys = {
      profile: AEAD_AES_128_GCM,
      key: bytes("000102030405060708090a0b0c0d0e0f"),
      salt: bytes("517569642070726f2071756f"),
      authentication: new Uint8Array(20),
    } as const;
    const header = bytes("8040f17b8041f8d35501a0b2");
    const payload = new TextEncoder().encode("Gallia est omnis divisa in partes tres");
    expect(protect(protection, keys, header, payload).toHex()).toBe(
      "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b" +
        "36de3adf8833899d7f27beb16a9152cf765ee4390cce",
    );
  });

  test.each(SRTP_PROFILES)("profile %d: a receiver opens it, past the rollover too", (profile) => {
    const keys = keysOf(profile);
    const payload = randomBytes(1_172);
    for (const rollover of [0, 1]) {
      const header = Uint8Array.from([0x80, 0xe0, 0xff, 0xfe, 0, 0, 0, 9, 1, 2, 3, 4]);
      const receiver = new SrtpReceiver(keys);
      receiver.pass(0x01020304, 0xfff0);
      if (rollover === 1) {
        receiver.pass(0x01020304, 5);
        header[2] = 0;
      }
      const opened = receiver.open(protect(protection, keys, header, payload, rollover));
      expect(opened).toMatchObject({ marker: true, payloadType: 96, timestamp: 9 });
      expect(Buffer.compare(opened?.payload ?? Buffer.alloc(0), payload)).toBe(0);
      expect(opened?.index).toBe(rollover * 65_536 + ((header[2]! << 8) | header[3]!));
    }
  });

  test.each(SRTP_PROFILES)("profile %d: a changed bit is noticed", (profile) => {
    const keys = keysOf(profile);
    const header = Uint8Array.from([0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    const sealed = protect(protection, keys, header, randomBytes(50));
    expect(new SrtpReceiver(keys).open(sealed)).not.toBeNull();
    for (let at = 0; at < sealed.length; at++) {
      const bent = sealed.slice();
      bent[at]! ^= 0x10;
      expect(new SrtpReceiver(keys).open(bent)).toBeNull();
    }
  });
});

test.each(SRTP_PROFILES)(
  "both write the same, profile %d, all lengths and extensions",
  (profile) => {
    const keys = keysOf(profile);
    const fast = openProtection();
    for (let length = 1; length <= 1_200; length += 7) {
      const header = randomBytes(length % 2 === 0 ? 12 : 20);
      const payload = randomBytes(length);
      const ours = protect(fast, keys, header, payload, length * 100_000);
      expect(ours).toEqual(protect(nodeProtection, keys, header, payload, length * 100_000));
    }
  },
);

test.skipIf(openLibcrypto() === null)("a freed context encrypts nothing", () => {
  for (const profile of SRTP_PROFILES) {
    const protector = openProtection().protector(keysOf(profile));
    protector.free();
    protector.free();
    const packet = packetOf(new Uint8Array(12), new Uint8Array(10));
    expect(() => protector.protect(new Pinned(100), 0, packet)).toThrow("freed");
  }
});

function keysOf(profile: typeof AEAD_AES_128_GCM | typeof AES128_CM_HMAC_SHA1_80): SessionKeys {
  return {
    profile,
    key: randomBytes(16),
    salt: randomBytes(saltBytes(profile)),
    authentication: randomBytes(20),
  };
}
