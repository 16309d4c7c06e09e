/** TCP and TLS connections to one camera, each in bounded time. */
import { connect, type Socket as NodeSocket } from "node:net";
import type { Socket } from "bun";
import { unreachable } from "./dial-fault.ts";
import { judge, noTls, type TlsSettings } from "./tls.ts";

/** Where to connect to. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** `null` for plain TCP. */
  readonly tls: TlsSettings | null;
}

/** What of a socket its owner needs. */
export interface Connection {
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** Returns how many of the bytes were taken; the rest is lost. */
  write(bytes: Uint8Array): number;
  /** Ends it when what was written has gone out. */
  end(): void;
  /** Ends it at once. */
  terminate(): void;
}

/** What the owner of a connection is told. */
export interface ConnectionHandlers {
  /** Called before anything else; the connection belongs to the owner. */
  opened(connection: Connection): void;
  /** Borrowed until it returns. */
  data(bytes: Uint8Array): void;
  /** The connection is over, whoever ended it. */
  closed(error: Error | undefined): void;
}

/** A camera that is there has answered by then; another SYN is sent to one that has not. */
const PROBE_INTERVAL_MS = 1_000;

/**
 * `Bun.connect` cannot be cancelled: what is given up on goes on until the kernel gives up too,
 * after two minutes. While one such attempt hangs, the camera is probed with sockets that can be
 * closed, a new one each second: a camera that comes back is noticed within a second, where the
 * kernel would repeat a SYN after 1, 3, 7 and 15 s; and one that is switched off costs one hanging
 * attempt and not twenty.
 */
export class Dialer {
  #hanging = 0;

  /**
   * Connects, and resolves after `opened`. Throws a Fault `camera_unreachable`, `camera_untrusted`
   * or `camera_protocol`, or when aborted.
   */
  async dial(
    target: Target,
    handlers: ConnectionHandlers,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const stop = AbortSignal.any([deadline, signal]);
    try {
      if (this.#hanging === 0 && (await this.#connectSoon(target, handlers, stop))) return;
      await probe(target, stop);
      await until(this.#begin(target, handlers), stop);
    } catch (error) {
      throw unreachable(target, deadline.aborted, timeoutMs, error);
    }
  }

  /** Connects; false when the camera does not answer soon. */
  async #connectSoon(
    target: Target,
    handlers: ConnectionHandlers,
    stop: AbortSignal,
  ): Promise<boolean> {
    const attempt = this.#begin(target, handlers);
    const late = setTimeout(() => attempt.abandon(LATE, "unopened"), PROBE_INTERVAL_MS);
    try {
      await until(attempt, stop);
      return true;
    } catch (error) {
      if (error !== LATE) throw error;
      return false;
    } finally {
      clearTimeout(late);
    }
  }

  #begin(target: Target, handlers: ConnectionHandlers): Attempt {
    this.#hanging++;
    return new Attempt(target, handlers, () => {
      this.#hanging--;
    });
  }
}

const LATE = new Error("no answer yet");

/** Resolves when the attempt has its connection. Rejects, and gives it up, when told to stop. */
async function until(attempt: Attempt, stop: AbortSignal): Promise<void> {
  const giveUp = () => attempt.abandon(stop.reason, "unowned");
  stop.addEventListener("abort", giveUp, { once: true });
  if (stop.aborted) giveUp();
  try {
    await attempt.done;
  } finally {
    stop.removeEventListener("abort", giveUp);
  }
}

/** One call of `Bun.connect`, and the TLS handshake after it. */
class Attempt {
  readonly #target: Target;
  readonly #handlers: ConnectionHandlers;
  readonly #done = Promise.withResolvers<void>();
  #at: "connecting" | "greeting" | "owned" | "abandoned" = "connecting";
  #socket: Socket<undefined> | null = null;

  /** @param settled called when the kernel has come to an end with it, wanted or not */
  constructor(target: Target, handlers: ConnectionHandlers, settled: () => void) {
    this.#target = target;
    this.#handlers = handlers;
    Bun.connect({
      hostname: target.host,
      port: target.port,
      // Judged by `judge`, in words that say what to do.
      ...(target.tls !== null && { tls: { rejectUnauthorized: false } }),
      socket: {
        binaryType: "uint8array",
        open: (socket) => this.#opened(socket),
        handshake: (socket, _success, error) => this.#greeted(socket, error),
        data: (_socket, bytes) => {
          if (this.#at === "owned") handlers.data(bytes);
        },
        close: (_socket, error) => this.#closed(error),
        error: (_socket, error) => this.#closed(error),
      },
    }).then(settled, (error: unknown) => {
      settled();
      this.#done.reject(error);
    });
  }

  /** Resolves after `opened`. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Gives up what is no further than this; the kernel may go on with it. */
  abandon(reason: unknown, unless: "unopened" | "unowned"): void {
    const stoppable = unless === "unopened" ? this.#at === "connecting" : this.#at !== "owned";
    if (!stoppable) return;
    this.#at = "abandoned";
    this.#done.reject(reason);
    this.#socket?.terminate();
  }

  #opened(socket: Socket<undefined>): void {
    this.#socket = socket;
    if (this.#at === "abandoned") socket.terminate();
    else if (this.#target.tls !== null) this.#at = "greeting";
    else this.#own(socket);
  }

  #greeted(socket: Socket<undefined>, error: Error | null): void {
    if (this.#at !== "greeting") return;
    const fault = judge(socket, this.#target, error);
    if (fault === null) this.#own(socket);
    else this.abandon(fault, "unowned");
  }

  #own(socket: Socket<undefined>): void {
    this.#at = "owned";
    socket.setNoDelay(true);
    this.#handlers.opened(socket);
    this.#done.resolve();
  }

  /** Whoever is told that it opened is told that it closed. */
  #closed(error: Error | undefined): void {
    if (this.#at === "owned") this.#handlers.closed(error);
    else this.#done.reject(this.#at === "greeting" ? noTls(this.#target, error) : error);
  }
}

/** Resolves when the camera accepts connections again: a SYN a second, the first answer counts. */
async function probe({ host, port }: Target, stop: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const sockets: NodeSocket[] = [];
  const send = () => {
    const socket = connect({ host, port });
    sockets.push(socket);
    socket.once("connect", resolve);
    socket.once("error", reject);
  };
  const giveUp = () => reject(stop.reason);
  stop.addEventListener("abort", giveUp, { once: true });
  const timer = setInterval(send, PROBE_INTERVAL_MS);
  if (stop.aborted) giveUp();
  else send();
  try {
    await promise;
  } finally {
    clearInterval(timer);
    stop.removeEventListener("abort", giveUp);
    for (const socket of sockets) socket.destroy();
  }
}
