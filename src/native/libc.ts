/**
 * The system calls that Bun has no API for. Linux only; elsewhere `libc` is null and whoever wants
 * it does without.
 *
 * @module
 */
import { dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";

const SIGNATURES = {
  sendmmsg: { args: [FFIType.i32, FFIType.ptr, FFIType.u32, FFIType.i32], returns: FFIType.i32 },
  getsockname: { args: [FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  getsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i32,
  },
  setsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  __errno_location: { args: [], returns: FFIType.ptr },
} as const;

function open() {
  if (process.platform !== "linux") return null;
  try {
    return dlopen("libc.so.6", SIGNATURES).symbols;
  } catch {
    // Another C library (musl): same as another system.
    return null;
  }
}

export const libc = open();
export type Libc = NonNullable<typeof libc>;

export const EPERM = 1;
export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const EINVAL = 22;
export const ENOBUFS = 105;

/** Why the last call failed; ask at once. */
export function errno(symbols: Libc): number {
  const location = symbols.__errno_location();
  return location === null ? 0 : read.i32(location);
}

/**
 * Memory that native code may touch: whoever holds this object keeps it. A typed array reached only
 * through its address is collected like any other.
 */
export class Pinned {
  readonly bytes: Uint8Array;
  readonly address: Pointer;

  constructor(length: number) {
    // On its own ArrayBuffer from the start: small arrays move when theirs is made later.
    this.bytes = new Uint8Array(new ArrayBuffer(length));
    this.address = ptr(this.bytes);
  }

  /** The address of a byte within. */
  at(offset: number): Pointer {
    return (this.address + offset) as Pointer;
  }
}
