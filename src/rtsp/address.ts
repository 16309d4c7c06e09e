/** RTSP addresses as people write them (RFC 2326 section 3.2, RFC 3986 section 3). */
import { Fault } from "../core/fault.ts";
import { Secret } from "../core/secret.ts";

/** Where a camera is and what is asked of it. */
export interface RtspAddress {
  /** Name or address, an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte on: `rtsps:`, `rtsp+https:`. */
  readonly secure: boolean;
  /** RTSP inside of HTTP: `rtsp+http:`, `rtsp+https:`. */
  readonly tunnel: boolean;
  /** Decoded; `null` when the address names no user. */
  readonly user: string | null;
  /** Decoded; empty when the address names a user alone, `null` when it names none. */
  readonly password: Secret | null;
  /** The address as requests carry it: without credentials and fragment. */
  readonly requestUri: string;
  /** Host and path for messages, without what may be a secret. */
  readonly label: string;
}

/** RFC 2326 section 3.2. */
const RTSP_PORT = 554;
/** RFC 7826 section 4.2. */
const RTSPS_PORT = 322;

/** How each scheme is spoken. */
const SCHEMES: Readonly<Record<string, Pick<RtspAddress, "port" | "secure" | "tunnel">>> = {
  "rtsp://": { port: RTSP_PORT, secure: false, tunnel: false },
  "rtsps://": { port: RTSPS_PORT, secure: true, tunnel: false },
  "rtsp+http://": { port: 80, secure: false, tunnel: true },
  "rtsp+https://": { port: 443, secure: true, tunnel: true },
};

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//;
// Host names are wider than DNS allows: underscores are common in home networks.
const HOST_PORT = /^(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\p{L}\p{N}._-]+)(?::(\d{1,5}))?$/u;

/**
 * Reads an RTSP address. Fault `request_invalid`, which says what to change and never repeats the
 * address, since a password may be anywhere in it.
 */
export function parseAddress(text: string): RtspAddress {
  const address = text.trim();
  const scheme = SCHEME.exec(address)?.[0] ?? "";
  const way = SCHEMES[scheme.toLowerCase()];
  if (way === undefined) {
    invalid("is no RTSP address: it must look like rtsp://user:password@host:554/path");
  }
  if (/[\p{Cc}]/u.test(address)) invalid("holds a control character or line break");
  const { userinfo, hostPort, rest } = split(address.slice(scheme.length));
  const [, host = "", port] = HOST_PORT.exec(hostPort) ?? [];
  const portNumber = port ? Number(port) : way.port;
  if (portNumber < 1 || portNumber > 65_535) invalid("names a port outside 1 to 65535");
  const path = encodePath(rest.replace(/#.*$/s, ""));
  return {
    ...way,
    host: host.replace(/^\[|\]$/g, ""),
    port: portNumber,
    ...credentialsOf(userinfo),
    requestUri: `${way.secure && !way.tunnel ? "rtsps" : "rtsp"}://${hostPort}${path}`,
    label: hostPort + withoutSecrets(path),
  };
}

interface Parts {
  readonly userinfo: string | null;
  readonly hostPort: string;
  readonly rest: string;
}

function split(address: string): Parts {
  const regular = splitAt(address, authorityEnd(address, 0));
  if (HOST_PORT.test(regular.hostPort)) return regular;
  const mended = splitUnencoded(address);
  if (mended) return mended;
  if (regular.hostPort === "") invalid("names no host");
  const hint = "if the user name or password has one of : / ? # @ % in it, write that as";
  return invalid(`names no valid host and port: ${hint} %3A %2F %3F %23 %40 %25`);
}

/** Where the authority ends (RFC 3986 section 3.2). */
function authorityEnd(address: string, from: number): number {
  const length = address.slice(from).search(/[/?#]/);
  return length < 0 ? address.length : from + length;
}

/** No host holds an `@`: the last one ends the credentials, whatever they hold. */
function splitAt(address: string, end: number): Parts {
  const authority = address.slice(0, end);
  const at = authority.lastIndexOf("@");
  return {
    userinfo: at < 0 ? null : authority.slice(0, at),
    hostPort: authority.slice(at + 1),
    rest: address.slice(end),
  };
}

/**
 * People paste passwords as they are. One with `/`, `?` or `#` in it leaves what is no host and port
 * in front of that character; when just one `@` further on is followed by a host, that one is meant.
 */
function splitUnencoded(address: string): Parts | null {
  const candidates: Parts[] = [];
  for (let at = address.indexOf("@"); at >= 0; at = address.indexOf("@", at + 1)) {
    const parts = splitAt(address, authorityEnd(address, at));
    if (HOST_PORT.test(parts.hostPort)) candidates.push(parts);
  }
  const [only] = candidates;
  return candidates.length === 1 && only ? only : null;
}

function credentialsOf(userinfo: string | null): Pick<RtspAddress, "user" | "password"> {
  if (userinfo === null) return { user: null, password: null };
  const colon = userinfo.indexOf(":");
  const user = colon < 0 ? userinfo : userinfo.slice(0, colon);
  const password = colon < 0 ? "" : userinfo.slice(colon + 1);
  return { user: decode(user), password: new Secret(decode(password)) };
}

/** Percent signs that encode nothing stand for themselves: people forget to encode those too. */
function decode(text: string): string {
  return text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch (error) {
      if (error instanceof URIError) return encoded;
      throw error;
    }
  });
}

/** Blanks and other characters that a request line cannot carry are encoded; the rest is kept. */
function encodePath(path: string): string {
  return path.replace(/[^\x21-\x7e]+/gu, (characters) => encodeURIComponent(characters));
}

/**
 * A path as it may be shown: without its query, and without what some cameras take in the path
 * (`/user=admin_password=…`).
 */
export function withoutSecrets(path: string): string {
  return path.replace(/\?.*$/s, "").replace(/(pass\w*?|pwd|token|auth|key|secret)=.*$/is, "$1=…");
}

function invalid(reason: string): never {
  throw new Fault("request_invalid", `the camera's address ${reason}`);
}
