/** Runs something until a person or the system ends it, or it breaks. */
import type { Log } from "../telemetry/log.ts";

/** The promise to whoever supervises the hub: after this nothing of it runs any more. */
const STOP_MAX_MS = 3_000;
/** sysexits.h: an internal software error; a service manager starts the hub again. */
const EX_SOFTWARE = 70;

/**
 * Resolves with the exit code at the first SIGINT, SIGTERM or SIGHUP, or when something was thrown
 * that nobody caught: then a clean end and a fresh start are worth more than going on half broken.
 */
export function untilEnd(log: Log): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      log.info("hub ends", { signal });
      resolve(0);
    });
  }
  const broken = (thrown: unknown): void => {
    const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    log.error("bug, hub ends", { stack });
    resolve(EX_SOFTWARE);
  };
  process.on("uncaughtException", broken);
  process.on("unhandledRejection", broken);
  return promise;
}

/** Closes in time, or ends the process: what hangs must not keep a machine from shutting down. */
export async function closeInTime(close: () => Promise<void>): Promise<void> {
  const force = setTimeout(() => {
    console.error("onepull: closing took too long, ending by force");
    process.exit(1);
  }, STOP_MAX_MS);
  await close();
  clearTimeout(force);
}
