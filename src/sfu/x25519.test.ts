import { expect, test } from "bun:test";
import { createRequire } from "node:module";
import { quickenKeyExchange } from "./x25519.ts";

const bytes = (hex: string) => Uint8Array.fromHex(hex);

test("werift's key exchange is replaced by one that is right", () => {
  expect(quickenKeyExchange()).toBe(true);
  expect(quickenKeyExchange()).toBe(true);
  const nacl = createRequire(Bun.resolveSync("werift", import.meta.dir))("tweetnacl");

  // RFC 7748 section 5.2, first vector.
  const secret = bytes("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
  const point = bytes("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
  expect(nacl.scalarMult(secret, point).toHex()).toBe(
    "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
  );

  const [ours, theirs] = [nacl.box.keyPair(), nacl.box.keyPair()];
  expect(ours.secretKey.buffer.byteLength).toBe(32);
  expect(nacl.scalarMult(ours.secretKey, theirs.publicKey)).toEqual(
    nacl.scalarMult(theirs.secretKey, ours.publicKey),
  );
});
