/**
 * Calls and events between the hub and a child process, typed by two interfaces: the methods that
 * one side serves, and the events that it tells of. The wire below may be Bun's IPC or, in tests,
 * two functions.
 *
 * @module
 */
import { Fault, type FaultCode, faultOf, isFaultCode } from "../core/fault.ts";

/** Longer than any call takes when all is well; a child that is slower is stuck. */
const CALL_TIMEOUT_MS = 5_000;
/** More calls than this in flight mean that the other side has stopped answering. */
const CALLS_IN_FLIGHT_MAX = 1_000;

/** Methods by name, each with one argument and one result, both plain data. */
export type Methods = {
  readonly [name: string]: { readonly takes: unknown; readonly gives: unknown };
};
/** Events by name with what they carry, plain data. */
export type Events = { readonly [name: string]: unknown };

export type Message =
  | { readonly kind: "call"; readonly id: number; readonly method: string; readonly takes: unknown }
  | { readonly kind: "result"; readonly id: number; readonly gives: unknown }
  | { readonly kind: "fault"; readonly id: number; readonly code: string; readonly message: string }
  | { readonly kind: "event"; readonly name: string; readonly carries: unknown };

/** What serves `M`: one function per method, which may throw a Fault. */
export type Handlers<M extends Methods> = {
  readonly [K in keyof M]: (takes: M[K]["takes"]) => Promise<M[K]["gives"]> | M[K]["gives"];
};
/** What hears of `E`: one function per event. */
export type Listeners<E extends Events> = { readonly [K in keyof E]: (carries: E[K]) => void };

/** The event by which a child says that it serves calls. */
export const READY = "ready";

/** The other side is not there. `what` completes "The media process …". */
export function processDown(name: string, what: string, cause?: unknown): Fault {
  const message = `The ${name} process ${what}; it is restarted by itself, try again.`;
  return new Fault("process_down", message, { cause });
}

interface Pending {
  resolve(gives: unknown): void;
  reject(fault: Fault): void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** The caller's side: calls the methods `M`, hears the events `E`. */
export class Caller<M extends Methods, E extends Events> {
  readonly #name: string;
  readonly #send: (message: Message) => void;
  readonly #listeners: Listeners<E>;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #closed = false;

  /**
   * @param name of the other side, for messages to people
   * @param send puts a message on the wire; may throw when the wire is gone
   */
  constructor(name: string, send: (message: Message) => void, listeners: Listeners<E>) {
    this.#name = name;
    this.#send = send;
    this.#listeners = listeners;
  }

  /** Calls a method of the other side. Rejects with its Fault, or `process_down`. */
  call<K extends keyof M & string>(method: K, takes: M[K]["takes"]): Promise<M[K]["gives"]> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (this.#closed || this.#pending.size >= CALLS_IN_FLIGHT_MAX) {
      reject(processDown(this.#name, this.#closed ? "is not running" : "does not keep up"));
      return promise as Promise<M[K]["gives"]>;
    }
    const id = this.#nextId++;
    const timer = setTimeout(() => {
      this.#pending.delete(id);
      reject(
        processDown(this.#name, `did not answer \`${method}\` within ${CALL_TIMEOUT_MS / 1000} s`),
      );
    }, CALL_TIMEOUT_MS);
    this.#pending.set(id, { resolve, reject, timer });
    try {
      this.#send({ kind: "call", id, method, takes });
    } catch (error) {
      this.#settle(id)?.reject(processDown(this.#name, "is not reachable", error));
    }
    // The other side is built from the same protocol file, so what it gives is what `M` says.
    return promise as Promise<M[K]["gives"]>;
  }

  /** Takes a message from the wire. */
  take(message: Message): void {
    switch (message.kind) {
      case "result":
        this.#settle(message.id)?.resolve(message.gives);
        return;
      case "fault": {
        const code: FaultCode = isFaultCode(message.code) ? message.code : "internal";
        this.#settle(message.id)?.reject(new Fault(code, message.message));
        return;
      }
      case "event":
        this.#listeners[message.name]?.(message.carries as E[string]);
        return;
      case "call":
        return;
      default:
        message satisfies never;
    }
  }

  /** The wire is gone: every call under way fails, and so does every later one. */
  close(): void {
    this.#closed = true;
    for (const id of [...this.#pending.keys()]) {
      this.#settle(id)?.reject(processDown(this.#name, "has ended"));
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (!pending) return undefined;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    return pending;
  }
}

/** The serving side: serves the methods `M`, tells of the events `E`. */
export class Server<M extends Methods, E extends Events> {
  readonly #send: (message: Message) => void;
  readonly #handlers: Handlers<M>;

  constructor(send: (message: Message) => void, handlers: Handlers<M>) {
    this.#send = send;
    this.#handlers = handlers;
  }

  tell<K extends keyof E & string>(name: K, carries: E[K]): void {
    this.#send({ kind: "event", name, carries });
  }

  /** Takes a message from the wire. Resolves once the call is answered; never rejects. */
  async take(message: Message): Promise<void> {
    if (message.kind !== "call") return;
    const { id, method } = message;
    try {
      const handler = this.#handlers[method];
      if (!handler) throw new Fault("internal", `no method \`${method}\``);
      this.#send({ kind: "result", id, gives: await handler(message.takes) });
    } catch (thrown) {
      const fault = faultOf(thrown);
      this.#send({ kind: "fault", id, code: fault.code, message: fault.message });
    }
  }
}
