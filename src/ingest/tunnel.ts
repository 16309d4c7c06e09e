/**
 * RTSP inside of HTTP, as QuickTime began it and cameras still do, where a firewall lets nothing else
 * through: what the camera sends is the endless body of a GET, what it is sent the body of a POST, in
 * base64. A cookie tells the camera that the two belong together.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import type { RtspAddress } from "../rtsp/address.ts";
import { Authorizer } from "../rtsp/digest.ts";
import { parseHead } from "../rtsp/message.ts";
import type { Connection, ConnectionHandlers, Dialer, Target } from "./dialer.ts";
import { hash, token } from "./primitives.ts";

const TYPE = "application/x-rtsp-tunnelled";
/** Cameras read the POST for as long as it comes; HTTP wants a length all the same. */
const POST_BYTES = 32_767;
/** Far above any real head. */
const HEAD_BYTES_MAX = 16 << 10;

type Address = Target & Pick<RtspAddress, "requestUri" | "label" | "user" | "password">;

/** Dials as `Dialer.dial` does, two connections for one. */
export function dialTunnel(dialer: Dialer) {
  return async (
    address: Address,
    handlers: ConnectionHandlers,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<void> => {
    const until = monotonicMs() + timeoutMs;
    const tunnel = new Tunnel(dialer, address, handlers, signal);
    try {
      await tunnel.open(until);
    } catch (error) {
      tunnel.terminate();
      throw error;
    }
  };
}

/** Both connections, as one. */
class Tunnel implements Connection {
  readonly #dialer: Dialer;
  readonly #address: Address;
  readonly #handlers: ConnectionHandlers;
  readonly #signal: AbortSignal;
  readonly #cookie = token().slice(0, 22);
  readonly #authorizer: Authorizer | null;
  #down: Connection | null = null;
  #up: Connection | null = null;
  #opened = false;
  #closed = false;

  constructor(dialer: Dialer, address: Address, handlers: ConnectionHandlers, signal: AbortSignal) {
    this.#dialer = dialer;
    this.#address = address;
    this.#handlers = handlers;
    this.#signal = signal;
    const { user, password } = address;
    this.#authorizer =
      user === null || password === null
        ? null
        : new Authorizer({ user, password, hash, cnonce: token });
  }

  get localAddress(): string {
    return this.#down?.localAddress ?? "";
  }

  get remoteAddress(): string {
    return this.#down?.remoteAddress ?? "";
  }

  async open(until: Millis): Promise<void> {
    let head = await this.#get(until);
    if (head.status === 401 && this.#authorizer?.challenged(head.challenges)) {
      this.#down?.terminate();
      head = await this.#get(until);
    }
    if (head.status !== 200) throw this.#refused(head.status);
    await this.#post(until);
    this.#opened = true;
    this.#handlers.opened(this);
    if (head.rest.length > 0) this.#handlers.data(head.rest);
  }

  write(bytes: Uint8Array): number {
    const encoded = new TextEncoder().encode(bytes.toBase64());
    return this.#up?.write(encoded) === encoded.length ? bytes.length : 0;
  }

  end(): void {
    this.#up?.end();
    this.#down?.end();
  }

  terminate(): void {
    this.#up?.terminate();
    this.#down?.terminate();
  }

  /** Resolves with the head of the response, and what came after it. */
  async #get(until: Millis): Promise<Head> {
    const { promise, resolve, reject } = Promise.withResolvers<Head>();
    let text: Buffer | null = Buffer.alloc(0);
    const data = (bytes: Uint8Array) => {
      if (text === null) {
        if (this.#opened) this.#handlers.data(bytes);
        return;
      }
      text = Buffer.concat([text, bytes]);
      const end = text.indexOf("\r\n\r\n");
      if (end < 0 && text.length < HEAD_BYTES_MAX) return;
      const read = headOf(text, end);
      text = null;
      if (read) resolve(read);
      else reject(this.#refused(null));
    };
    const closed = (error: Error | undefined) => {
      reject(this.#refused(null, error));
      this.#lost(error);
    };
    const opened = (connection: Connection) => {
      this.#down = connection;
      connection.write(this.#request("GET", [`Accept: ${TYPE}`]));
    };
    await this.#dial({ opened, data, closed }, until);
    return await this.#inTime(promise, until);
  }

  async #post(until: Millis): Promise<void> {
    const opened = (connection: Connection) => {
      this.#up = connection;
      const fields = [`Content-Type: ${TYPE}`, `Content-Length: ${POST_BYTES}`];
      connection.write(this.#request("POST", fields));
    };
    // Cameras answer a POST when it ends, or never.
    await this.#dial({ opened, data: () => {}, closed: (error) => this.#lost(error) }, until);
  }

  #dial(handlers: ConnectionHandlers, until: Millis): Promise<void> {
    const leftMs = Math.max(1, until - monotonicMs());
    return this.#dialer.dial(this.#address, handlers, leftMs, this.#signal);
  }

  #request(method: string, fields: readonly string[]): Uint8Array {
    const path = this.#address.requestUri.replace(/^[a-z]+:\/\/[^/?]*/i, "") || "/";
    const authorization = this.#authorizer?.authorize(method, path) ?? null;
    const lines = [
      `${method} ${path} HTTP/1.0`,
      `x-sessioncookie: ${this.#cookie}`,
      "User-Agent: onepull",
      "Pragma: no-cache",
      "Cache-Control: no-cache",
      ...fields,
      ...(authorization === null ? [] : [`Authorization: ${authorization}`]),
    ];
    return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
  }

  #lost(error: Error | undefined): void {
    if (!this.#opened || this.#closed) return;
    this.#closed = true;
    this.terminate();
    this.#handlers.closed(error);
  }

  async #inTime(head: Promise<Head>, until: Millis): Promise<Head> {
    const { promise, reject } = Promise.withResolvers<never>();
    const late = () => reject(this.#refused(null));
    const timer = setTimeout(late, Math.max(0, until - monotonicMs()));
    this.#signal.addEventListener("abort", late);
    try {
      return await Promise.race([head, promise]);
    } finally {
      clearTimeout(timer);
      this.#signal.removeEventListener("abort", late);
    }
  }

  #refused(status: number | null, cause?: Error): Fault {
    const { label } = this.#address;
    if (status === 401) {
      return new Fault("camera_unauthorized", `${label} asks for another user name or password`);
    }
    const answer = status === null ? "no HTTP response" : `${status}`;
    const message = `${label} does not carry RTSP over HTTP (${answer}): use rtsp://`;
    return new Fault("camera_protocol", message, { cause });
  }
}

/** What was answered to the GET. */
interface Head {
  readonly status: number;
  readonly challenges: readonly string[];
  readonly rest: Uint8Array;
}

/** The head that ends at `end`; `null` when it is none of HTTP's. */
function headOf(bytes: Uint8Array, end: number): Head | null {
  const text = new TextDecoder().decode(bytes.subarray(0, Math.max(0, end)));
  const status = /^HTTP\/1\.\d (\d{3})/.exec(text)?.[1];
  if (end < 0 || status === undefined) return null;
  const { headers } = parseHead(text.replace(/^HTTP\/1\.\d/, "RTSP/1.0"));
  const challenges = headers.all("WWW-Authenticate");
  return { status: Number(status), challenges, rest: bytes.slice(end + 4) };
}
