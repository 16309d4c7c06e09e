/** TCP connections to one camera, each in bounded time. */
import { connect } from "node:net";
import type { Socket } from "bun";
import { Fault } from "../core/fault.ts";

/** Where to connect to. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

/** What the owner of a connection is told. */
export interface ConnectionHandlers {
  /** Called before anything else; the socket belongs to the owner. */
  opened(socket: Socket<undefined>): void;
  /** Borrowed until it returns. */
  data(bytes: Uint8Array): void;
  /** The connection is over, whoever ended it. */
  closed(error: Error | undefined): void;
}

/**
 * `Bun.connect` cannot be cancelled: what is given up on goes on until the kernel gives up too,
 * after two minutes. While one such attempt hangs, the camera is probed with a socket that can be
 * closed, so that a camera that is switched off costs one hanging attempt and not twenty.
 */
export class Dialer {
  #hanging = 0;

  /** Connects, and resolves after `opened`. Throws a Fault `camera_unreachable`, or when aborted. */
  async dial(
    target: Target,
    handlers: ConnectionHandlers,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const stop = AbortSignal.any([deadline, signal]);
    try {
      if (this.#hanging > 0) await probe(target, stop);
      await this.#connect(target, handlers, stop);
    } catch (error) {
      throw unreachable(target, deadline.aborted ? "ETIMEDOUT" : codeOf(error), timeoutMs, error);
    }
  }

  #connect(target: Target, handlers: ConnectionHandlers, stop: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = () => reject(stop.reason);
    stop.addEventListener("abort", giveUp, { once: true });
    const settled = () => {
      this.#hanging--;
      stop.removeEventListener("abort", giveUp);
    };
    this.#hanging++;
    Bun.connect({
      hostname: target.host,
      port: target.port,
      socket: {
        binaryType: "uint8array",
        open(socket) {
          if (stop.aborted) return;
          socket.setNoDelay(true);
          handlers.opened(socket);
        },
        data(_socket, bytes) {
          handlers.data(bytes);
        },
        close(_socket, error) {
          handlers.closed(error);
        },
        error(_socket, error) {
          handlers.closed(error);
        },
      },
    }).then(
      (socket) => {
        settled();
        if (stop.aborted) socket.terminate();
        resolve();
      },
      (error: unknown) => {
        settled();
        reject(error);
      },
    );
    if (stop.aborted) giveUp();
    return promise;
  }
}

/** Resolves when the camera accepts connections again. */
function probe({ host, port }: Target, stop: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ host, port });
  const giveUp = () => reject(stop.reason);
  stop.addEventListener("abort", giveUp, { once: true });
  socket.once("connect", resolve);
  socket.once("error", reject);
  return promise.finally(() => {
    stop.removeEventListener("abort", giveUp);
    socket.destroy();
  });
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : null;
  return typeof code === "string" ? code : String(error);
}

/** Why there is no connection, in words that say where to look. */
function unreachable(target: Target, code: string, timeoutMs: number, cause: unknown): Fault {
  const { host, port } = target;
  const fault = (message: string) => new Fault("camera_unreachable", message, { cause });
  switch (code) {
    case "ECONNREFUSED":
      return fault(`${host} refuses connections on port ${port}: is RTSP enabled on the camera?`);
    case "ETIMEDOUT":
      return fault(
        `${host} does not answer on port ${port} within ${timeoutMs / 1000} s: is the camera on, and is its address right?`,
      );
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return fault(`there is no way to ${host}: is the camera on, and on this network?`);
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAI_FAIL":
    case "ENODATA":
      return fault(`the host name ${host} is not known here: check \`source\` and the name server`);
    default:
      return fault(`no connection to ${host} on port ${port} (${code})`);
  }
}
