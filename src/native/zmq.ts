/**
 * ZeroMQ: libzmq over bun:ffi (zmq-library.ts). Sending and receiving never wait; waiting is the
 * poller's, with a deadline. Everything is used from one thread only.
 *
 * @module
 */
import { constants } from "node:os";
import { assert, Fault } from "../core/fault.ts";
import { type ZmqLibrary, zmqLibrary } from "./zmq-library.ts";

/** What bun:ffi returns for a pointer and takes back. */
type Address = NonNullable<ReturnType<ZmqLibrary["zmq_socket"]>>;

/** zmq.h. `xpub` sees subscriptions; `pair` connects two threads of one process. */
const KINDS = { pair: 0, sub: 2, pull: 7, push: 8, xpub: 9 } as const;
export type ZmqKind = keyof typeof KINDS;

const SUBSCRIBE = 6;
const LINGER = 17;
const MAXMSGSIZE = 22;
const SNDHWM = 23;
const RCVHWM = 24;
const LAST_ENDPOINT = 32;
const IMMEDIATE = 39;
const IPV6 = 42;
const CONFLATE = 54;
const XPUB_VERBOSER = 78;
const DONTWAIT = 1;
const POLLIN = 1;

const { EAGAIN, EINTR, EADDRINUSE } = constants.errno;
/** A signal may cut short a call that waits for nothing; more than this is something else. */
const INTERRUPTS_MAX = 16;
/** The longest endpoint: a Unix socket's path has 107 bytes. */
const ENDPOINT_BYTES_MAX = 256;

/** Set before a socket binds or connects. What is not given stays as libzmq has it. */
export interface ZmqOptions {
  /** Messages queued per peer before `send` says no (XPUB: before it skips that peer). */
  readonly sendHighWater?: number;
  /** Messages queued per peer that were not received yet. */
  readonly receiveHighWater?: number;
  /** Keeps the newest message only. One subscription per socket; single-part messages only. */
  readonly conflate?: boolean;
  /** Queues nothing for a peer that is not connected yet. */
  readonly immediate?: boolean;
  /** XPUB: reports each subscription and its end, not only a topic's first and last. */
  readonly everySubscription?: boolean;
  /** A peer that sends a longer message is disconnected. */
  readonly messageBytesMax?: number;
}

/** Owns the input and output threads, and every socket opened from it. */
export class ZmqContext implements Disposable {
  readonly #zmq: ZmqLibrary;
  readonly #sockets = new Set<ZmqSocket>();
  #address: Address | null;

  /** @throws Fault `native_unavailable` */
  constructor() {
    this.#zmq = zmqLibrary();
    this.#address = this.#zmq.zmq_ctx_new();
    assert(this.#address !== null, "libzmq has memory for a context");
  }

  /** The context closes the socket when it closes itself. @throws Fault `limit_reached` */
  open(kind: ZmqKind, options: ZmqOptions): ZmqSocket {
    assert(this.#address !== null, "sockets are opened in an open context");
    const address = this.#zmq.zmq_socket(this.#address, KINDS[kind]);
    if (address === null) {
      const message = `No ${kind} socket: ${lastError(this.#zmq)}. Raise the limit of open files.`;
      throw new Fault("limit_reached", message);
    }
    const socket = new ZmqSocket(this.#zmq, address, () => this.#sockets.delete(socket));
    this.#sockets.add(socket);
    socket.configure(options);
    return socket;
  }

  /** Closes every socket; what is still queued is thrown away. Idempotent. */
  close(): void {
    const address = this.#address;
    if (address === null) return;
    this.#address = null;
    for (const socket of this.#sockets) socket.close();
    retried(this.#zmq, () => this.#zmq.zmq_ctx_term(address));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export class ZmqSocket implements Disposable {
  readonly #zmq: ZmqLibrary;
  readonly #closed: () => void;
  #address: Address | null;

  /** Made by `ZmqContext.open`. */
  constructor(zmq: ZmqLibrary, address: Address, closed: () => void) {
    this.#zmq = zmq;
    this.#address = address;
    this.#closed = closed;
  }

  /** The socket's address for `ZmqPoller`. */
  get address(): Address {
    assert(this.#address !== null, "a socket is used before it is closed");
    return this.#address;
  }

  configure(options: ZmqOptions): void {
    // Closing must not wait for peers: what is queued is pictures of the past.
    this.#set(LINGER, 0);
    if (options.sendHighWater !== undefined) this.#set(SNDHWM, options.sendHighWater);
    if (options.receiveHighWater !== undefined) this.#set(RCVHWM, options.receiveHighWater);
    if (options.conflate !== undefined) this.#set(CONFLATE, options.conflate ? 1 : 0);
    if (options.immediate !== undefined) this.#set(IMMEDIATE, options.immediate ? 1 : 0);
    if (options.everySubscription === true) this.#set(XPUB_VERBOSER, 1);
    if (options.messageBytesMax !== undefined) {
      this.#setBytes(MAXMSGSIZE, new BigInt64Array([BigInt(options.messageBytesMax)]));
    }
  }

  /**
   * Listens. `tcp://127.0.0.1:*` lets the system choose; the endpoint returned says what it chose.
   * The file of an `ipc` endpoint is replaced without asking.
   *
   * @throws Fault `port_taken`, or `config_invalid` when it is no address of this machine
   */
  bind(endpoint: string): string {
    if (endpoint.includes("[")) this.#set(IPV6, 1);
    if (this.#zmq.zmq_bind(this.address, endpoint) !== 0) {
      const taken = this.#zmq.zmq_errno() === EADDRINUSE;
      const todo = taken ? "Stop what listens there, or choose another." : "Choose another.";
      const message = `Cannot listen on ${endpoint}: ${lastError(this.#zmq)}. ${todo}`;
      throw new Fault(taken ? "port_taken" : "config_invalid", message);
    }
    return this.#lastEndpoint();
  }

  /** Connects, now or as soon as the peer is there, and again when it was away. */
  connect(endpoint: string): void {
    if (this.#zmq.zmq_connect(this.address, endpoint) !== 0) {
      const message = `Cannot connect to ${endpoint}: ${lastError(this.#zmq)}.`;
      throw new Fault("config_invalid", message);
    }
  }

  /** SUB: asks for messages that begin with these bytes. */
  subscribe(prefix: Uint8Array): void {
    this.#setBytes(SUBSCRIBE, prefix);
  }

  /**
   * Sends the first `length` bytes as one message; copied before it returns. False when the queue
   * is full or no peer is there, so that the message is lost.
   */
  send(bytes: Uint8Array, length: number): boolean {
    assert(length <= bytes.length, "a message lies within its buffer");
    const sent = retried(this.#zmq, () =>
      this.#zmq.zmq_send(this.address, bytes, length, DONTWAIT),
    );
    if (sent >= 0) return true;
    this.#onlyWouldWait("send");
    return false;
  }

  /**
   * Receives one message into `into`. Returns its length, or -1 when there is none. A message
   * longer than `into` is cut: the length returned is then greater than `into.length`.
   */
  receive(into: Uint8Array): number {
    const length = retried(this.#zmq, () =>
      this.#zmq.zmq_recv(this.address, into, into.length, DONTWAIT),
    );
    if (length >= 0) return length;
    this.#onlyWouldWait("receive");
    return -1;
  }

  /** Throws away what is queued. Idempotent. */
  close(): void {
    const address = this.#address;
    if (address === null) return;
    this.#address = null;
    this.#zmq.zmq_close(address);
    this.#closed();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #onlyWouldWait(what: string): void {
    if (this.#zmq.zmq_errno() === EAGAIN) return;
    throw new Fault("internal", `ZeroMQ cannot ${what}: ${lastError(this.#zmq)}.`);
  }

  #set(option: number, value: number): void {
    this.#setBytes(option, new Int32Array([value]));
  }

  #setBytes(option: number, value: NodeJS.TypedArray): void {
    const code = this.#zmq.zmq_setsockopt(this.address, option, value, value.byteLength);
    if (code === 0) return;
    throw new Fault("internal", `ZeroMQ refuses option ${option}: ${lastError(this.#zmq)}.`);
  }

  #lastEndpoint(): string {
    const text = new Uint8Array(ENDPOINT_BYTES_MAX);
    const length = new BigUint64Array([BigInt(text.length)]);
    const code = this.#zmq.zmq_getsockopt(this.address, LAST_ENDPOINT, text, length);
    assert(code === 0, "a bound socket knows its endpoint");
    return new TextDecoder().decode(text.subarray(0, Number(length[0]) - 1));
  }
}

/** zmq_pollitem_t: void *socket, int fd, short events, short revents. */
const POLL_ITEM_BYTES = 16;
const POLL_EVENTS_AT = 12;
const POLL_HAPPENED_AT = 14;

/** Waits until one of several sockets has something to receive. */
export class ZmqPoller {
  readonly #zmq = zmqLibrary();
  readonly #items: Uint8Array;
  readonly #view: DataView;
  readonly #count: number;

  /** The sockets must stay open as long as the poller is used. */
  constructor(sockets: readonly ZmqSocket[]) {
    this.#count = sockets.length;
    this.#items = new Uint8Array(POLL_ITEM_BYTES * sockets.length);
    this.#view = new DataView(this.#items.buffer);
    for (const [i, socket] of sockets.entries()) {
      this.#view.setBigUint64(i * POLL_ITEM_BYTES, BigInt(socket.address), true);
      this.#view.setInt16(i * POLL_ITEM_BYTES + POLL_EVENTS_AT, POLLIN, true);
    }
  }

  /**
   * Blocks the thread for at most `timeoutMs` (whole milliseconds). True when a socket is readable;
   * false after the deadline, or earlier when a signal arrived.
   */
  wait(timeoutMs: number): boolean {
    const ready = this.#zmq.zmq_poll(this.#items, this.#count, Math.trunc(timeoutMs));
    if (ready >= 0) return ready > 0;
    if (this.#zmq.zmq_errno() === EINTR) return false;
    throw new Fault("internal", `ZeroMQ cannot wait: ${lastError(this.#zmq)}.`);
  }

  /** Whether the socket at this place in the constructor's list was readable at the last `wait`. */
  readable(index: number): boolean {
    const at = index * POLL_ITEM_BYTES + POLL_HAPPENED_AT;
    return (this.#view.getInt16(at, true) & POLLIN) !== 0;
  }
}

function retried(zmq: ZmqLibrary, call: () => number): number {
  for (let i = 0; i < INTERRUPTS_MAX; i++) {
    const result = call();
    if (result >= 0 || zmq.zmq_errno() !== EINTR) return result;
  }
  return -1;
}

function lastError(zmq: ZmqLibrary): string {
  const code = zmq.zmq_errno();
  return zmq.zmq_strerror(code)?.toString() ?? `error ${code}`;
}
