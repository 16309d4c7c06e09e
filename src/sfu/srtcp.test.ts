import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { AEAD_AES_128_GCM, type SessionKeys, SRTP_PROFILES, saltBytes } from "../rtc/srtp.ts";
import { SrtcpReceiver, SrtcpSender } from "./srtcp.ts";

const bytes = (hex: string) => Uint8Array.fromHex(hex);

test("RFC 7714 section 17.1", () => {
  const receiver = new SrtcpReceiver({
    profile: AEAD_AES_128_GCM,
    key: bytes("000102030405060708090a0b0c0d0e0f"),
    salt: bytes("517569642070726f2071756f"),
    authentication: new Uint8Array(20),
  });
  const opened = receiver.unprotect(
    bytes(
      "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b46" +
        "86303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    ),
  );
  expect(opened && Uint8Array.from(opened).toHex()).toBe(
    "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61" +
      "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
  );
});

describe.each(SRTP_PROFILES)("profile %d", (profile) => {
  const keys: SessionKeys = {
    profile,
    key: randomBytes(16),
    salt: randomBytes(saltBytes(profile)),
    authentication: randomBytes(20),
  };
  const packet = Uint8Array.from([0x80, 201, 0, 2, 1, 2, 3, 4, 9, 9, 9, 9]);

  test("what is protected is opened, once", () => {
    const sender = new SrtcpSender(keys);
    const receiver = new SrtcpReceiver(keys);
    for (let i = 0; i < 200; i++) {
      const sealed = sender.protect(packet);
      expect([...(receiver.unprotect(sealed) ?? [])]).toEqual([...packet]);
      expect(receiver.unprotect(sealed)).toBeNull();
    }
  });

  test("late packets are taken within the window, not behind it", () => {
    const sender = new SrtcpSender(keys);
    const receiver = new SrtcpReceiver(keys);
    const sealed = Array.from({ length: 100 }, () => sender.protect(packet));
    expect(receiver.unprotect(sealed[99]!)).not.toBeNull();
    expect(receiver.unprotect(sealed[60]!)).not.toBeNull();
    expect(receiver.unprotect(sealed[35]!)).toBeNull();
  });

  test("a changed bit, a cut end and clear text are refused", () => {
    const sealed = new SrtcpSender(keys).protect(packet);
    for (let at = 0; at < sealed.length; at++) {
      const bent = Uint8Array.from(sealed);
      bent[at]! ^= 1;
      expect(new SrtcpReceiver(keys).unprotect(bent)).toBeNull();
      expect(new SrtcpReceiver(keys).unprotect(sealed.subarray(0, at))).toBeNull();
    }
  });

  test("a refused packet leaves no trace in the replay memory", () => {
    const sealed = new SrtcpSender(keys).protect(packet);
    const receiver = new SrtcpReceiver(keys);
    const bent = Uint8Array.from(sealed);
    bent[9]! ^= 1;
    expect(receiver.unprotect(bent)).toBeNull();
    expect(receiver.unprotect(sealed)).not.toBeNull();
  });

  test("junk is refused", () => {
    const receiver = new SrtcpReceiver(keys);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (junk) => {
        expect(receiver.unprotect(junk)).toBeNull();
      }),
    );
  });
});
