/** RTSP requests and responses as text (RFC 2326 sections 4 to 7). */
import { assert, Fault } from "../core/fault.ts";
import { printable } from "./printable.ts";

/** More lines than any camera sends; a bound against a peer that never ends its head. */
export const HEADERS_MAX = 128;

/** Header fields in the order they came. Names are compared without regard to case. */
export class HeaderFields {
  readonly #fields: [name: string, value: string][] = [];

  constructor(fields: Iterable<readonly [name: string, value: string]> = []) {
    for (const [name, value] of fields) this.add(name, value);
  }

  /** The first field of this name, or `null`. */
  get(name: string): string | null {
    return this.all(name)[0] ?? null;
  }

  /** Every field of this name: a server offers each way to authenticate in its own. */
  all(name: string): readonly string[] {
    const wanted = name.toLowerCase();
    return this.#fields.filter(([other]) => other.toLowerCase() === wanted).map(([, v]) => v);
  }

  add(name: string, value: string): void {
    this.#fields.push([name, value]);
  }

  /** A folded line (RFC 2326 section 4.2 by way of RFC 2068) continues the field before it. */
  continueLast(text: string): void {
    const last = this.#fields.at(-1);
    if (last) last[1] = `${last[1]} ${text}`.trim();
  }

  [Symbol.iterator](): Iterator<readonly [name: string, value: string]> {
    return this.#fields.values();
  }
}

interface RequestHead {
  readonly kind: "request";
  readonly method: string;
  readonly uri: string;
  /** `1.0`, or what else the peer claims to speak. */
  readonly version: string;
  readonly headers: HeaderFields;
}

interface ResponseHead {
  readonly kind: "response";
  readonly status: number;
  readonly reason: string;
  readonly version: string;
  readonly headers: HeaderFields;
}

/** A message without its body. */
export type MessageHead = RequestHead | ResponseHead;
/** A request. The body is the receiver's own copy; empty when there was none. */
export type Request = RequestHead & { readonly body: Uint8Array };
/** A response. The body is the receiver's own copy; empty when there was none. */
export type Response = ResponseHead & { readonly body: Uint8Array };
/** What either side may send at any time. */
export type Message = Request | Response;

/** One header field to write. */
export type Field = readonly [name: string, value: string];

const RESPONSE_LINE = /^RTSP\/(\d\.\d) +(\d{3})(?: +(.*))?$/s;
const METHOD = /^[A-Za-z_-]+$/;
const VERSION_MARK = " RTSP/";

/** Reads the first line of a message. Fault `camera_protocol` when it is none of RTSP's. */
export function parseStartLine(line: string, headers: HeaderFields): MessageHead {
  const text = clean(line);
  const response = RESPONSE_LINE.exec(text);
  if (response) {
    const [, version = "", status = "", reason = ""] = response;
    return { kind: "response", version, status: Number(status), reason, headers };
  }
  // Method and version are its ends; what is between is the address, blanks and all.
  const afterMethod = text.indexOf(" ");
  const mark = text.lastIndexOf(VERSION_MARK);
  const method = text.slice(0, afterMethod);
  const uri = text.slice(afterMethod, mark).trim();
  const version = text.slice(mark + VERSION_MARK.length);
  if (METHOD.test(method) && mark > afterMethod && uri !== "" && /^\d\.\d$/.test(version)) {
    return { kind: "request", version, method, uri, headers };
  }
  const hint = /^HTTP\/|HTTP\/\d\.\d$/.test(text) ? " (this is HTTP: check the port)" : "";
  throw new Fault("camera_protocol", `expected RTSP, got ${printable(line.trimEnd())}${hint}`);
}

/** Reads a message's head, the blank line at its end included or not. */
export function parseHead(text: string): MessageHead {
  const [first = "", ...lines] = text.split(/\r?\n/);
  const headers = new HeaderFields();
  const head = parseStartLine(first, headers);
  for (const line of lines) {
    if (/^[ \t]/.test(line)) {
      headers.continueLast(clean(line));
      continue;
    }
    const colon = line.indexOf(":");
    // Lines without a name are skipped: some firmware prints notes between the fields.
    if (colon > 0) headers.add(line.slice(0, colon).trim(), clean(line.slice(colon + 1)));
  }
  return head;
}

/** The body's length by Content-Length, 0 without one. Fault when it is no length. */
export function contentLength(headers: HeaderFields): number {
  const value = headers.get("Content-Length");
  if (value === null) return 0;
  if (!/^\d{1,9}$/.test(value)) {
    throw new Fault("camera_protocol", `Content-Length is no length: ${printable(value)}`);
  }
  return Number(value);
}

/** A request's bytes. Content-Length is added for a body. */
export function writeRequest(
  method: string,
  uri: string,
  fields: readonly Field[],
  body = "",
): Uint8Array<ArrayBuffer> {
  return writeMessage(`${method} ${uri} RTSP/1.0`, fields, body);
}

/** A response's bytes. Content-Length is added for a body; the usual reason where none is given. */
export function writeResponse(
  status: number,
  fields: readonly Field[],
  body = "",
  reason = reasonOf(status),
): Uint8Array<ArrayBuffer> {
  return writeMessage(`RTSP/1.0 ${status} ${reason}`, fields, body);
}

function writeMessage(first: string, fields: readonly Field[], body: string) {
  const encoder = new TextEncoder();
  const bytes = encoder.encode(body);
  const length: Field[] = bytes.length > 0 ? [["Content-Length", String(bytes.length)]] : [];
  const lines = [first, ...[...fields, ...length].map(([name, value]) => `${name}: ${value}`)];
  for (const line of lines) assert(!/[\r\n]/.test(line), "a header line holds no line break");
  const head = encoder.encode(`${lines.join("\r\n")}\r\n\r\n`);
  const message = new Uint8Array(head.length + bytes.length);
  message.set(head);
  message.set(bytes, head.length);
  return message;
}

/** Control characters would let a peer write headers of ours when its words are sent back. */
function clean(value: string): string {
  return value.replace(/\p{Cc}+/gu, " ").trim();
}

const REASONS: Readonly<Record<number, string>> = {
  100: "Continue",
  200: "OK",
  301: "Moved Permanently",
  302: "Moved Temporarily",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  415: "Unsupported Media Type",
  451: "Parameter Not Understood",
  453: "Not Enough Bandwidth",
  454: "Session Not Found",
  455: "Method Not Valid in This State",
  459: "Aggregate Operation Not Allowed",
  460: "Only Aggregate Operation Allowed",
  461: "Unsupported Transport",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  505: "RTSP Version Not Supported",
  551: "Option Not Supported",
};

/** The phrase for a status code (RFC 2326 section 7.1.1). */
function reasonOf(status: number): string {
  return REASONS[status] ?? "Unknown";
}
