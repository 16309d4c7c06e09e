/**
 * The frame of every child process: takes its options, serves the hub, and ends with it.
 *
 * @module
 */
import { assert } from "../core/fault.ts";
import { LagMeter } from "../telemetry/lag.ts";
import { Log, type LogOptions } from "../telemetry/log.ts";
import {
  type Events,
  type Handlers,
  type Message,
  type Methods,
  READY,
  Server,
} from "./channel.ts";
import type { ProcessStats } from "./protocol.ts";

/** The hub shows and watches once-a-second figures. */
export const STATS_INTERVAL_MS = 1_000;

/** What every child is told at its start. */
export interface ChildBasics {
  readonly log: Pick<LogOptions, "level" | "format">;
}

/** A part that runs in a child process. */
export interface Part<M extends Methods> {
  readonly handlers: Handlers<M>;
  /** Called once a second: tell your statistics. */
  stats(process: ProcessStats): void;
  /** Ends everything within a second. */
  close(): Promise<void>;
}

/** Tells an event to the hub. */
export type Tell<E extends Events> = <K extends keyof E & string>(name: K, carries: E[K]) => void;

/**
 * Runs a part in this process, until the hub ends it or is gone. Options and name come from the
 * command line that `Child` wrote.
 */
export async function runChild<M extends Methods, E extends Events, Options extends ChildBasics>(
  open: (options: Options, tell: Tell<E>, log: Log) => Promise<Part<M>>,
): Promise<void> {
  const [name, json] = process.argv.slice(2);
  assert(name !== undefined && json !== undefined, "a child is started by the supervisor");
  const options: Options = JSON.parse(json);
  const log = new Log(options.log, { process: name });
  // A terminal sends ^C to the whole group; the hub decides when its children end.
  process.on("SIGINT", () => {});
  process.on("uncaughtException", (error) => crash(log, error));
  process.on("unhandledRejection", (error) => crash(log, error));

  // After the hub is gone there is nobody to tell; `disconnect` ends this process.
  const send = (message: Message): void => {
    if (process.connected) process.send?.(message);
  };
  const tell: Tell<E> = (event, carries) => send({ kind: "event", name: event, carries });
  const part = await open(options, tell, log);
  const server = new Server<M, E>(send, part.handlers);
  process.on("message", (message: Message) => void server.take(message));

  const lag = new LagMeter();
  const timer = setInterval(() => part.stats(processStats(lag)), STATS_INTERVAL_MS);
  const end = async (): Promise<void> => {
    clearInterval(timer);
    await part.close();
    process.exit(0);
  };
  process.once("SIGTERM", () => void end());
  process.once("disconnect", () => void end());
  send({ kind: "event", name: READY, carries: null });
}

/** What this process costs. `lag` starts over with each call. */
export function processStats(lag: LagMeter): ProcessStats {
  const { user, system } = process.cpuUsage();
  return {
    pid: process.pid,
    lagMs: lag.take(),
    cpuMs: (user + system) / 1000,
    rssBytes: process.memoryUsage.rss(),
  };
}

/** A bug must not leave a process half alive: the supervisor starts a clean one. */
function crash(log: Log, thrown: unknown): void {
  const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  log.error("bug, process ends", { stack });
  process.exit(70);
}
