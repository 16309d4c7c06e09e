/**
 * Encrypts many packets with libcrypto, without the copies and objects that node:crypto makes for
 * each. `openLibcrypto` is null where the library is missing; what it does is compared with
 * node:crypto before it is used (sfu/protect.ts).
 *
 * @module
 */
import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi";
import { assert } from "../core/fault.ts";
import { Pinned } from "./libc.ts";

const SIGNATURES = {
  EVP_CIPHER_CTX_new: { args: [], returns: FFIType.ptr },
  EVP_CIPHER_CTX_free: { args: [FFIType.ptr], returns: FFIType.void },
  EVP_CIPHER_CTX_ctrl: {
    args: [FFIType.ptr, FFIType.i32, FFIType.i32, FFIType.ptr],
    returns: FFIType.i32,
  },
  EVP_aes_128_gcm: { args: [], returns: FFIType.ptr },
  EVP_aes_128_ctr: { args: [], returns: FFIType.ptr },
  EVP_EncryptInit_ex: {
    args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i32,
  },
  EVP_EncryptUpdate: {
    args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.i32],
    returns: FFIType.i32,
  },
  EVP_EncryptFinal_ex: { args: [FFIType.ptr, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  SHA1_Init: { args: [FFIType.ptr], returns: FFIType.i32 },
  SHA1_Update: { args: [FFIType.ptr, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  SHA1_Final: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
} as const;

/** OpenSSL 3 only: OpenSSL 1.1 and BoringSSL have these functions too, but other structures. */
const LIBRARY = "libcrypto.so.3";

function open() {
  try {
    return dlopen(LIBRARY, SIGNATURES).symbols;
  } catch {
    // Not installed, or without the functions of RFC 3174 that newer builds may leave out.
    return null;
  }
}

export type Libcrypto = NonNullable<ReturnType<typeof open>>;

let opened: Libcrypto | null | undefined;

/** The library, opened once per process; `null` where there is none. */
export function openLibcrypto(): Libcrypto | null {
  if (opened === undefined) opened = open();
  return opened;
}

const EVP_CTRL_AEAD_GET_TAG = 0x10;
const GCM_TAG_BYTES = 16;
const SHA1_BYTES = 20;
const SHA1_BLOCK_BYTES = 64;
/** `sizeof(SHA_CTX)`: five words of state, two of length, a block, a count. */
const SHA1_STATE_BYTES = 96;

/** A packet's payload, wherever it lies; its header is in front of where the ciphertext goes. */
export interface PlainPacket {
  headerBytes: number;
  /** The payload is `payloadBytes` from `payloadStart` on. Borrowed. */
  source: Uint8Array;
  payloadStart: number;
  payloadBytes: number;
}

/** Addresses of payloads. The last array's is kept: all packets of a flush share it. */
class Source {
  #bytes: Uint8Array = new Uint8Array(0);
  #address = 0;

  of({ source, payloadStart }: PlainPacket): Pointer {
    if (source !== this.#bytes) {
      this.#bytes = source;
      this.#address = ptr(source);
    }
    return (this.#address + payloadStart) as Pointer;
  }
}

const source = new Source();

function pointerOf(returned: Pointer | bigint | null): Pointer {
  assert(typeof returned === "number", "libcrypto has memory for a cipher context");
  return returned;
}

/** Where libcrypto notes how much it wrote; nobody reads it. */
const written = new Pinned(4);

/** One AES-128 cipher context. Owns native memory until `free`. */
class Context {
  readonly symbols: Libcrypto;
  readonly address: Pointer;
  /** The IV of the next message: fill before `begin`. */
  readonly iv: Pinned;
  #freed = false;

  constructor(symbols: Libcrypto, cipher: Pointer, key: Uint8Array, ivBytes: number) {
    this.symbols = symbols;
    this.address = pointerOf(symbols.EVP_CIPHER_CTX_new());
    this.iv = new Pinned(ivBytes);
    const copy = new Pinned(key.length);
    copy.bytes.set(key);
    symbols.EVP_EncryptInit_ex(this.address, cipher, null, copy.address, null);
    copy.bytes.fill(0);
  }

  begin(): void {
    assert(!this.#freed, "nothing is encrypted with a freed context");
    this.symbols.EVP_EncryptInit_ex(this.address, null, null, null, this.iv.address);
  }

  /** `out` null: the bytes are authenticated only. */
  update(out: Pointer | null, from: Pointer, length: number): void {
    const done = this.symbols.EVP_EncryptUpdate(this.address, out, written.address, from, length);
    assert(done === 1, "libcrypto encrypts");
  }

  /** Writes the tag at `out`. */
  finish(out: Pointer): void {
    this.symbols.EVP_EncryptFinal_ex(this.address, out, written.address);
    const done = this.symbols.EVP_CIPHER_CTX_ctrl(
      this.address,
      EVP_CTRL_AEAD_GET_TAG,
      GCM_TAG_BYTES,
      out,
    );
    assert(done === 1, "libcrypto makes a tag");
  }

  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.symbols.EVP_CIPHER_CTX_free(this.address);
  }
}

/** AES-128-GCM under one key. */
export class GcmSealer {
  readonly #context: Context;

  constructor(symbols: Libcrypto, key: Uint8Array) {
    this.#context = new Context(symbols, pointerOf(symbols.EVP_aes_128_gcm()), key, 12);
  }

  /** Twelve bytes: fill before each `seal`. */
  get nonce(): Uint8Array {
    return this.#context.iv.bytes;
  }

  /**
   * Encrypts the payload to behind its header, which is in place in `out` at `at` and is
   * authenticated too; the 16-byte tag follows.
   */
  seal(out: Pinned, at: number, packet: PlainPacket): void {
    const context = this.#context;
    const body = at + packet.headerBytes;
    context.begin();
    context.update(null, out.at(at), packet.headerBytes);
    context.update(out.at(body), source.of(packet), packet.payloadBytes);
    context.finish(out.at(body + packet.payloadBytes));
  }

  /** Gives the native memory back; nothing may follow. Idempotent. */
  free(): void {
    this.#context.free();
  }
}

/** AES-128 in counter mode with HMAC-SHA1, under one pair of keys. */
export class CtrSealer {
  readonly #context: Context;
  readonly #mac: HmacSha1;

  constructor(symbols: Libcrypto, key: Uint8Array, authenticationKey: Uint8Array) {
    this.#context = new Context(symbols, pointerOf(symbols.EVP_aes_128_ctr()), key, 16);
    this.#mac = new HmacSha1(symbols, authenticationKey);
  }

  /** Sixteen bytes: fill before each `encrypt`. */
  get counter(): Uint8Array {
    return this.#context.iv.bytes;
  }

  /** Encrypts the payload to behind its header, which is in place in `out` at `at`. */
  encrypt(out: Pinned, at: number, packet: PlainPacket): void {
    this.#context.begin();
    const body = out.at(at + packet.headerBytes);
    this.#context.update(body, source.of(packet), packet.payloadBytes);
  }

  /** HMAC-SHA1 of [at, at + length) of `out`: 20 bytes, valid until the next call. */
  authenticate(out: Pinned, at: number, length: number): Uint8Array {
    return this.#mac.digest(out.at(at), length);
  }

  /** Gives the native memory back; nothing may follow. Idempotent. */
  free(): void {
    this.#context.free();
  }
}

/** RFC 2104 over saved SHA-1 states: both keyed blocks are hashed once per key, not per packet. */
class HmacSha1 {
  readonly #symbols: Libcrypto;
  readonly #inner: Pinned;
  readonly #outer: Pinned;
  readonly #state = new Pinned(SHA1_STATE_BYTES);
  readonly #digest = new Pinned(SHA1_BYTES);

  constructor(symbols: Libcrypto, key: Uint8Array) {
    assert(key.length <= SHA1_BLOCK_BYTES, "SRTP authentication keys fit one SHA-1 block");
    this.#symbols = symbols;
    this.#inner = this.#keyed(key, 0x36);
    this.#outer = this.#keyed(key, 0x5c);
  }

  #keyed(key: Uint8Array, pad: number): Pinned {
    const block = new Pinned(SHA1_BLOCK_BYTES);
    block.bytes.set(key);
    for (let i = 0; i < SHA1_BLOCK_BYTES; i++) block.bytes[i]! ^= pad;
    const state = new Pinned(SHA1_STATE_BYTES);
    this.#symbols.SHA1_Init(state.address);
    this.#symbols.SHA1_Update(state.address, block.address, SHA1_BLOCK_BYTES);
    block.bytes.fill(0);
    return state;
  }

  digest(from: Pointer, length: number): Uint8Array {
    const state = this.#state;
    const digest = this.#digest;
    state.bytes.set(this.#inner.bytes);
    this.#symbols.SHA1_Update(state.address, from, length);
    this.#symbols.SHA1_Final(digest.address, state.address);
    state.bytes.set(this.#outer.bytes);
    this.#symbols.SHA1_Update(state.address, digest.address, SHA1_BYTES);
    this.#symbols.SHA1_Final(digest.address, state.address);
    return digest.bytes;
  }
}
