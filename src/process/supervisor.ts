/**
 * Keeps one child process running: spawns it, restarts it with backoff when it ends or falls
 * silent, and ends it with the hub.
 *
 * @module
 */
import { Backoff } from "../core/backoff.ts";
import type { Log } from "../telemetry/log.ts";
import {
  Caller,
  type Events,
  type Listeners,
  type Message,
  type Methods,
  processDown,
  READY,
} from "./channel.ts";

/** A crash costs consumers this much at first; a process that cannot start is tried ever slower. */
const RESTART = { firstMs: 50, maxMs: 5_000 };
/** Up this long, a process counts as healthy again. */
const HEALTHY_AFTER_MS = 10_000;
/** Children tell their statistics every second: ten missed ones are a hang, not a busy machine. */
const SILENT_MAX_MS = 10_000;
/** Loading libav and werift takes about a second here; a loaded machine may need many. */
const START_MAX_MS = 30_000;
const WATCH_INTERVAL_MS = 1_000;
/** A child gets this long to close its sessions; the hub promises to end within 3 s. */
const STOP_MAX_MS = 2_000;

export interface ChildOptions<E extends Events, Options> {
  /** `media`, `bus`, `decode-0` …: what people see in logs, metrics and the process list. */
  readonly name: string;
  /** Absolute path of the module that calls `runChild`. */
  readonly entry: string;
  /** Plain data for the child; visible in the process list, so without secrets. */
  readonly options: Options;
  readonly listeners: Listeners<E>;
  /** The child is ready: tell it everything it must know, each time. */
  readonly onUp: () => void;
  /** The child is gone; `onUp` follows. */
  readonly onDown: () => void;
  readonly log: Log;
}

type ChildState =
  | { readonly at: "starting"; readonly since: number }
  | { readonly at: "up"; readonly since: number }
  | { readonly at: "waiting"; readonly timer: ReturnType<typeof setTimeout> }
  | { readonly at: "stopped" };

export class Child<M extends Methods, E extends Events, Options> implements AsyncDisposable {
  readonly name: string;
  /** How often it was started again. */
  restarts = 0;
  readonly #options: ChildOptions<E, Options>;
  readonly #backoff = new Backoff(RESTART, Math.random);
  readonly #watch: ReturnType<typeof setInterval>;
  #state: ChildState = { at: "stopped" };
  #process: Bun.Subprocess<"ignore", "inherit", "inherit"> | null = null;
  #caller: Caller<M, E> | null = null;
  #heard = 0;

  constructor(options: ChildOptions<E, Options>) {
    this.name = options.name;
    this.#options = options;
    this.#watch = setInterval(() => this.#checkAlive(), WATCH_INTERVAL_MS);
    this.#start();
  }

  get up(): boolean {
    return this.#state.at === "up";
  }
  /** `null` while no process runs. */
  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  /** Calls the child. Rejects with its Fault, or `process_down` while it is not there. */
  call<K extends keyof M & string>(method: K, takes: M[K]["takes"]): Promise<M[K]["gives"]> {
    if (this.#state.at !== "up" || !this.#caller) {
      return Promise.reject(processDown(this.name, "is not running"));
    }
    return this.#caller.call(method, takes);
  }

  /** Ends the child, in time or by force. */
  async stop(): Promise<void> {
    if (this.#state.at === "waiting") clearTimeout(this.#state.timer);
    this.#state = { at: "stopped" };
    clearInterval(this.#watch);
    const process = this.#process;
    if (!process) return;
    process.kill("SIGTERM");
    const force = setTimeout(() => process.kill("SIGKILL"), STOP_MAX_MS);
    await process.exited;
    clearTimeout(force);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #start(): void {
    this.#state = { at: "starting", since: performance.now() };
    this.#heard = performance.now();
    try {
      this.#spawn();
    } catch (thrown) {
      // Of processes, descriptors or memory there are none left: that passes.
      this.#options.log.error("process cannot be started", {
        child: this.name,
        error: String(thrown),
      });
      this.#startLater();
    }
  }

  #spawn(): void {
    const { name, entry, options, listeners } = this.#options;
    const child = Bun.spawn([process.execPath, entry, name, JSON.stringify(options)], {
      stdio: ["ignore", "inherit", "inherit"],
      serialization: "json",
      ipc: (message: Message) => this.#take(message),
      onExit: (_child, code, signal) => this.#ended(code, signal),
    });
    this.#process = child;
    this.#caller = new Caller<M, E>(name, (message) => child.send(message), listeners);
  }

  #take(message: Message): void {
    this.#heard = performance.now();
    if (message.kind === "event" && message.name === READY) this.#becameReady();
    else this.#caller?.take(message);
  }

  #becameReady(): void {
    // It was told to end while it said so.
    if (this.#state.at !== "starting") return;
    this.#state = { at: "up", since: performance.now() };
    this.#options.log.info("process is up", { child: this.name, pid: this.pid });
    this.#options.onUp();
  }

  #ended(code: number | null, signal: number | string | null): void {
    const state = this.#state;
    const wasUp = state.at === "up";
    this.#process = null;
    this.#caller?.close();
    this.#caller = null;
    if (state.at === "stopped") return;
    if (state.at === "up" && performance.now() - state.since > HEALTHY_AFTER_MS) {
      this.#backoff.reset();
    }
    const waitMs = this.#startLater();
    this.#options.log.warn("process ended, starting it again", {
      child: this.name,
      code,
      signal,
      waitMs,
    });
    if (wasUp) this.#options.onDown();
  }

  /** Returns after how many milliseconds. */
  #startLater(): number {
    const waitMs = Math.round(this.#backoff.next());
    this.restarts++;
    this.#state = { at: "waiting", timer: setTimeout(() => this.#start(), waitMs) };
    return waitMs;
  }

  /** A process that hangs is as dead as one that ended, only less honest. */
  #checkAlive(): void {
    const silentMs = performance.now() - this.#heard;
    const { at } = this.#state;
    if (at === "up" ? silentMs < SILENT_MAX_MS : at !== "starting" || silentMs < START_MAX_MS) {
      return;
    }
    this.#options.log.error("process is silent, killing it", {
      child: this.name,
      silentMs: Math.round(silentMs),
    });
    this.#heard = performance.now();
    this.#process?.kill("SIGKILL");
  }
}
