/**
 * werift computes X25519 with tweetnacl, in JavaScript: 5 ms of the media thread per viewer. Here
 * its copy of tweetnacl gets node:crypto's, 0.2 ms; a wall of sixty cameras then joins in the time
 * of two.
 *
 * @module
 */
import { createPrivateKey, createPublicKey, diffieHellman, randomBytes } from "node:crypto";
import { createRequire } from "node:module";

/** The functions of tweetnacl that werift calls. */
interface Nacl {
  scalarMult: (secret: Uint8Array, point: Uint8Array) => Uint8Array;
  box: { keyPair: () => { publicKey: Uint8Array; secretKey: Uint8Array } };
}

const KEY_BYTES = 32;
/** DER in front of the raw key: PKCS #8 and SubjectPublicKeyInfo with the OID of X25519 (RFC 8410). */
const PRIVATE_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");
const PUBLIC_PREFIX = Buffer.from("302a300506032b656e032100", "hex");
/** RFC 7748 section 4.1: the u coordinate 9. */
const BASE_POINT = Uint8Array.from({ length: KEY_BYTES }, (_, i) => (i === 0 ? 9 : 0));

function scalarMult(secret: Uint8Array, point: Uint8Array): Uint8Array {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PRIVATE_PREFIX, secret]),
    format: "der",
    type: "pkcs8",
  });
  const publicKey = createPublicKey({
    key: Buffer.concat([PUBLIC_PREFIX, point]),
    format: "der",
    type: "spki",
  });
  // werift takes the buffers behind the arrays: they must be these bytes and no more.
  return Uint8Array.from(diffieHellman({ privateKey, publicKey }));
}

function keyPair(): { publicKey: Uint8Array; secretKey: Uint8Array } {
  const secretKey = Uint8Array.from(randomBytes(KEY_BYTES));
  return { publicKey: scalarMult(secretKey, BASE_POINT), secretKey };
}

/**
 * Replaces the two functions, once; later calls do nothing. Leaves werift as it is when its copy of
 * tweetnacl is not found or computes something else. Returns whether the quick ones are in place.
 */
export function quickenKeyExchange(): boolean {
  const nacl = weriftsNacl();
  if (nacl === null) return false;
  if (nacl.scalarMult === scalarMult) return true;
  const { publicKey } = nacl.box.keyPair();
  const { secretKey } = keyPair();
  const expected = nacl.scalarMult(secretKey, publicKey);
  if (Buffer.compare(expected, scalarMult(secretKey, publicKey)) !== 0) return false;
  nacl.scalarMult = scalarMult;
  nacl.box.keyPair = keyPair;
  return true;
}

function weriftsNacl(): Nacl | null {
  try {
    return createRequire(Bun.resolveSync("werift", import.meta.dir))("tweetnacl") as Nacl;
  } catch {
    // Another version of werift may do without it.
    return null;
  }
}
