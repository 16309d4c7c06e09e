/**
 * The two clocks that mean the same in every process of a machine. Bun's own (`performance.now`,
 * `Bun.nanoseconds`) count from another origin in each thread and process.
 *
 * @module
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import type { Millis, UnixMs } from "../core/units.ts";

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;

const { symbols: libc } = dlopen(process.platform === "darwin" ? "libSystem.dylib" : "libc.so.6", {
  clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
});

/** Kept by every closure that passes its address: FFI memory is collected like any other. */
const timespec = new BigInt64Array(2);
const timespecAddress = ptr(timespec);

function read(clock: number): number {
  libc.clock_gettime(clock, timespecAddress);
  return Number(timespec[0]) * 1e3 + Number(timespec[1]) / 1e6;
}

/** CLOCK_MONOTONIC, the same as Python's `time.monotonic()` times 1000. About 70 ns a call. */
export function monotonicMs(): Millis {
  return read(CLOCK_MONOTONIC);
}

/** CLOCK_REALTIME with microseconds; `Date.now()` has milliseconds only. */
export function unixMs(): UnixMs {
  return read(CLOCK_REALTIME);
}
