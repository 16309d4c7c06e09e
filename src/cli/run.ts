/** Runs something until a person or the system ends it. */

/** The promise to whoever supervises the hub: after this nothing of it runs any more. */
const STOP_MAX_MS = 3_000;

/** Resolves at the first SIGINT, SIGTERM or SIGHUP. */
export function untilSignal(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, resolve);
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
