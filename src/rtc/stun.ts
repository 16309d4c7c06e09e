/**
 * STUN, RFC 8489, as far as ICE (RFC 8445) needs it: Binding requests, success and error responses,
 * short-term credentials with HMAC-SHA1, FINGERPRINT. The hash comes as an argument.
 *
 * @module
 */
import { assert } from "../core/fault.ts";
import { readU32, writeU16, writeU32 } from "../rtp/header.ts";
import { addressBytes, addressText, type TransportAddress } from "./address.ts";
import { crc32 } from "./crc32.ts";

/** HMAC-SHA1 of `data` under `key`: 20 bytes. Both arguments are borrowed. */
export type HmacSha1 = (key: Uint8Array, data: Uint8Array) => Uint8Array;

export const BINDING_REQUEST = 0x0001;
export const BINDING_SUCCESS = 0x0101;
export const BINDING_ERROR = 0x0111;

export const ROLE_CONFLICT = 487;
export const UNKNOWN_ATTRIBUTE = 420;

const HEADER_BYTES = 20;
const MAGIC_COOKIE = 0x2112a442;
const ATTRIBUTE_HEADER_BYTES = 4;
const INTEGRITY_BYTES = 20;
const FINGERPRINT_XOR = 0x5354554e;

const USERNAME = 0x0006;
const MESSAGE_INTEGRITY = 0x0008;
const ERROR_CODE = 0x0009;
const UNKNOWN_ATTRIBUTES = 0x000a;
const XOR_MAPPED_ADDRESS = 0x0020;
const PRIORITY = 0x0024;
const USE_CANDIDATE = 0x0025;
const FINGERPRINT = 0x8028;
const ICE_CONTROLLED = 0x8029;
const ICE_CONTROLLING = 0x802a;

/** Types below this one must be understood by the receiver (RFC 8489 section 14). */
const COMPREHENSION_OPTIONAL = 0x8000;

/** A parsed message. Owns its bytes; the datagram may be reused. */
export interface StunMessage {
  /** Method and class, as on the wire: BINDING_REQUEST and so on. */
  readonly type: number;
  readonly transaction: Uint8Array;
  /** Empty when there is none. */
  readonly username: string;
  readonly useCandidate: boolean;
  /** The sender believes to be the controlled agent. */
  readonly controlled: boolean;
  /** 0 when there is none. */
  readonly errorCode: number;
  readonly mappedAddress: TransportAddress | null;
  /** Where the MESSAGE-INTEGRITY attribute starts in the datagram; -1 when there is none. */
  readonly integrityAt: number;
  /** Attribute types that must be understood and are not. */
  readonly unknown: readonly number[];
}

type Draft = { -readonly [K in keyof StunMessage]: StunMessage[K] } & { unknown: number[] };

/** True when the datagram claims to be STUN (RFC 7983 section 7, and the magic cookie). */
export function looksLikeStun(b: Uint8Array): boolean {
  return b.length >= HEADER_BYTES && b[0]! < 4 && readU32(b, 4) === MAGIC_COOKIE;
}

/** Reads one datagram, or `null` when it is no well-formed STUN message. Checks FINGERPRINT. */
export function readStun(b: Uint8Array): StunMessage | null {
  if (!looksLikeStun(b) || ((b[2]! << 8) | b[3]!) !== b.length - HEADER_BYTES) return null;
  if (b.length % 4 !== 0) return null;
  const draft: Draft = {
    type: (b[0]! << 8) | b[1]!,
    transaction: b.slice(8, HEADER_BYTES),
    username: "",
    useCandidate: false,
    controlled: false,
    errorCode: 0,
    mappedAddress: null,
    integrityAt: -1,
    unknown: [],
  };
  for (let at = HEADER_BYTES; at < b.length; ) {
    const type = (b[at]! << 8) | b[at + 1]!;
    const length = (b[at + 2]! << 8) | b[at + 3]!;
    const value = at + ATTRIBUTE_HEADER_BYTES;
    if (value + length > b.length) return null;
    if (type === FINGERPRINT) return fingerprintHolds(b, at, length) ? draft : null;
    // RFC 8489 section 14.5: only FINGERPRINT counts behind the integrity check.
    if (draft.integrityAt < 0 && !readAttribute(b, type, value, length, draft)) return null;
    at = value + ((length + 3) & ~3);
  }
  return draft;
}

function readAttribute(
  b: Uint8Array,
  type: number,
  at: number,
  length: number,
  into: Draft,
): boolean {
  switch (type) {
    case USERNAME:
      into.username = new TextDecoder().decode(b.subarray(at, at + length));
      return true;
    case MESSAGE_INTEGRITY:
      into.integrityAt = at - ATTRIBUTE_HEADER_BYTES;
      return length === INTEGRITY_BYTES;
    case ERROR_CODE:
      if (length < 4) return false;
      into.errorCode = (b[at + 2]! & 7) * 100 + b[at + 3]!;
      return true;
    case XOR_MAPPED_ADDRESS:
      into.mappedAddress = readXorAddress(b, at, length, into.transaction);
      return into.mappedAddress !== null;
    case USE_CANDIDATE:
      into.useCandidate = true;
      return true;
    case ICE_CONTROLLED:
      into.controlled = true;
      return true;
    case PRIORITY:
    case UNKNOWN_ATTRIBUTES:
      return true;
    default:
      if (type < COMPREHENSION_OPTIONAL) into.unknown.push(type);
      return true;
  }
}

/** Whether MESSAGE-INTEGRITY is present and right (RFC 8489 section 14.5), in constant time. */
export function integrityHolds(
  b: Uint8Array,
  message: StunMessage,
  key: Uint8Array,
  hmac: HmacSha1,
): boolean {
  const at = message.integrityAt;
  if (at < 0) return false;
  const expected = hmac(key, protectedPart(b, at));
  let difference = 0;
  for (let i = 0; i < INTEGRITY_BYTES; i++) {
    difference |= expected[i]! ^ b[at + ATTRIBUTE_HEADER_BYTES + i]!;
  }
  return difference === 0;
}

/** What the integrity hash covers: up to the attribute, with a length that includes it. */
function protectedPart(b: Uint8Array, integrityAt: number): Uint8Array {
  const part = b.slice(0, integrityAt);
  writeU16(part, 2, integrityAt + ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES - HEADER_BYTES);
  return part;
}

function fingerprintHolds(b: Uint8Array, at: number, length: number): boolean {
  if (length !== 4 || at + 8 !== b.length) return false;
  return readU32(b, at + ATTRIBUTE_HEADER_BYTES) === fingerprint(b, at);
}

function fingerprint(b: Uint8Array, end: number): number {
  return (crc32(b, 0, end) ^ FINGERPRINT_XOR) >>> 0;
}

/** XOR of a port or address with cookie and transaction (RFC 8489 section 14.2): its own inverse. */
function xorAddress(address: Uint8Array, transaction: Uint8Array): Uint8Array {
  const mask = new Uint8Array(16);
  writeU32(mask, 0, MAGIC_COOKIE);
  mask.set(transaction, 4);
  return address.map((byte, i) => byte ^ mask[i]!);
}

function readXorAddress(
  b: Uint8Array,
  at: number,
  length: number,
  transaction: Uint8Array,
): TransportAddress | null {
  const family = b[at + 1];
  if (!(family === 1 && length === 8) && !(family === 2 && length === 20)) return null;
  return {
    address: addressText(xorAddress(b.slice(at + 4, at + length), transaction)),
    port: ((b[at + 2]! << 8) | b[at + 3]!) ^ (MAGIC_COOKIE >>> 16),
  };
}

interface Attribute {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Header, attributes, MESSAGE-INTEGRITY under `key`, FINGERPRINT. */
function writeMessage(
  type: number,
  transaction: Uint8Array,
  attributes: readonly Attribute[],
  key: Uint8Array,
  hmac: HmacSha1,
): Uint8Array {
  let length = HEADER_BYTES;
  for (const { value } of attributes) length += ATTRIBUTE_HEADER_BYTES + ((value.length + 3) & ~3);
  const integrityAt = length;
  const fingerprintAt = integrityAt + ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES;
  const b = new Uint8Array(fingerprintAt + ATTRIBUTE_HEADER_BYTES + 4);
  writeU16(b, 0, type);
  writeU32(b, 4, MAGIC_COOKIE);
  b.set(transaction, 8);
  let at = HEADER_BYTES;
  for (const attribute of attributes) at = writeAttribute(b, at, attribute);
  writeAttribute(b, integrityAt, {
    type: MESSAGE_INTEGRITY,
    value: hmac(key, protectedPart(b, integrityAt)),
  });
  writeU16(b, 2, b.length - HEADER_BYTES);
  const value = new Uint8Array(4);
  writeU32(value, 0, fingerprint(b, fingerprintAt));
  writeAttribute(b, fingerprintAt, { type: FINGERPRINT, value });
  return b;
}

function writeAttribute(b: Uint8Array, at: number, { type, value }: Attribute): number {
  writeU16(b, at, type);
  writeU16(b, at + 2, value.length);
  b.set(value, at + ATTRIBUTE_HEADER_BYTES);
  return at + ATTRIBUTE_HEADER_BYTES + ((value.length + 3) & ~3);
}

/** Answers a Binding request with the address it came from. */
export function writeBindingSuccess(
  transaction: Uint8Array,
  from: TransportAddress,
  key: Uint8Array,
  hmac: HmacSha1,
): Uint8Array {
  const bytes = addressBytes(from.address);
  assert(bytes !== null, "datagrams come from an IP address");
  const value = new Uint8Array(4 + bytes.length);
  value[1] = bytes.length === 4 ? 1 : 2;
  writeU16(value, 2, from.port ^ (MAGIC_COOKIE >>> 16));
  value.set(xorAddress(bytes, transaction), 4);
  const attributes = [{ type: XOR_MAPPED_ADDRESS, value }];
  return writeMessage(BINDING_SUCCESS, transaction, attributes, key, hmac);
}

/** Refuses a Binding request; `unknown` names the attributes that error 420 is about. */
export function writeBindingError(
  transaction: Uint8Array,
  code: number,
  unknown: readonly number[],
  key: Uint8Array,
  hmac: HmacSha1,
): Uint8Array {
  const attributes: Attribute[] = [
    { type: ERROR_CODE, value: Uint8Array.of(0, 0, Math.floor(code / 100), code % 100) },
  ];
  if (unknown.length > 0) {
    const value = new Uint8Array(unknown.length * 2);
    for (const [i, type] of unknown.entries()) writeU16(value, i * 2, type);
    attributes.push({ type: UNKNOWN_ATTRIBUTES, value });
  }
  return writeMessage(BINDING_ERROR, transaction, attributes, key, hmac);
}

/** One connectivity check of a controlling agent (RFC 8445 section 7.2.2). */
export interface ConnectivityCheck {
  /** 12 random bytes. */
  readonly transaction: Uint8Array;
  /** `remote ufrag:local ufrag`. */
  readonly username: string;
  readonly priority: number;
  /** 8 random bytes, the same for all checks of a session. */
  readonly tieBreaker: Uint8Array;
  readonly useCandidate: boolean;
}

/** Writes a check under the remote agent's password. */
export function writeBindingRequest(
  check: ConnectivityCheck,
  key: Uint8Array,
  hmac: HmacSha1,
): Uint8Array {
  const priority = new Uint8Array(4);
  writeU32(priority, 0, check.priority);
  const attributes: Attribute[] = [
    { type: USERNAME, value: new TextEncoder().encode(check.username) },
    { type: PRIORITY, value: priority },
    { type: ICE_CONTROLLING, value: check.tieBreaker },
  ];
  if (check.useCandidate) attributes.push({ type: USE_CANDIDATE, value: new Uint8Array(0) });
  return writeMessage(BINDING_REQUEST, check.transaction, attributes, key, hmac);
}
