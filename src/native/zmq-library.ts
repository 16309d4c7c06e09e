/**
 * Finds and opens libzmq. The `zeromq` package's own addon cannot be loaded by Bun, but it is a
 * shared library that exports libzmq's functions, CURVE included.
 *
 * @module
 */
import { dlopen, FFIType } from "bun:ffi";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Fault } from "../core/fault.ts";

const { ptr, i32, i64, u64, cstring } = FFIType;

const FUNCTIONS = {
  zmq_errno: { args: [], returns: i32 },
  zmq_strerror: { args: [i32], returns: cstring },
  zmq_ctx_new: { args: [], returns: ptr },
  zmq_ctx_term: { args: [ptr], returns: i32 },
  zmq_socket: { args: [ptr, i32], returns: ptr },
  zmq_close: { args: [ptr], returns: i32 },
  zmq_setsockopt: { args: [ptr, i32, ptr, u64], returns: i32 },
  zmq_getsockopt: { args: [ptr, i32, ptr, ptr], returns: i32 },
  zmq_bind: { args: [ptr, cstring], returns: i32 },
  zmq_connect: { args: [ptr, cstring], returns: i32 },
  zmq_send: { args: [ptr, ptr, u64, i32], returns: i32 },
  zmq_recv: { args: [ptr, ptr, u64, i32], returns: i32 },
  zmq_poll: { args: [ptr, i32, i64], returns: i32 },
} as const;

function open(path: string) {
  return dlopen(path, FUNCTIONS).symbols;
}

/** The functions of libzmq that are used here. */
export type ZmqLibrary = ReturnType<typeof open>;

let opened: ZmqLibrary | null = null;

/**
 * Opens libzmq once per process.
 *
 * @throws Fault `native_unavailable`
 */
export function zmqLibrary(): ZmqLibrary {
  opened ??= openFirst(candidates(packageFolder()));
  return opened;
}

function packageFolder(): string {
  try {
    return dirname(fileURLToPath(import.meta.resolve("zeromq/package.json")));
  } catch (cause) {
    const message = "The zeromq package is not installed: run `bun install --frozen-lockfile`.";
    throw new Fault("native_unavailable", message, { cause });
  }
}

/** One build of the package's manifest, the parts that matter. */
interface Build {
  readonly os: string;
  readonly arch: string;
  readonly abi: number;
  readonly libc: string;
}

/** Libraries for this platform, glibc before musl, newest first. The manifest's keys are JSON. */
function candidates(folder: string): string[] {
  const manifest: Record<string, string> = JSON.parse(
    readFileSync(join(folder, "build", "manifest.json"), "utf8"),
  );
  return Object.entries(manifest)
    .map(([key, path]) => ({ build: JSON.parse(key) as Build, path: path.replaceAll("\\", "/") }))
    .filter(({ build }) => build.os === process.platform && build.arch === process.arch)
    .sort((a, b) => a.build.libc.localeCompare(b.build.libc) || b.build.abi - a.build.abi)
    .map(({ path }) => join(folder, "build", path))
    .filter((path) => existsSync(path));
}

/** A library for the other C library fails to load, which is how the right one is found. */
function openFirst(paths: readonly string[]): ZmqLibrary {
  const causes: unknown[] = [];
  for (const path of paths) {
    try {
      return open(path);
    } catch (cause) {
      causes.push(cause);
    }
  }
  const platform = `${process.platform} ${process.arch}`;
  const message =
    paths.length === 0
      ? `The zeromq package has no library for ${platform}: run the hub on Linux x64 or arm64.`
      : `No library of the zeromq package loads on ${platform}: ${causes.map(String).join("; ")}. Reinstall it with \`bun install --force\`.`;
  throw new Fault("native_unavailable", message, { cause: causes[0] });
}
