/** Which address a request about a session or a track goes to (RFC 2326 appendix C.1.1). */
import type { HeaderFields } from "./message.ts";

const AUTHORITY = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/;
const ABSOLUTE = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//;

/**
 * What control attributes are relative to: Content-Base, then Content-Location, then a session
 * control that is an address itself, then the address that was asked for.
 */
export function baseUri(
  headers: HeaderFields,
  sessionControl: string | null,
  requestUri: string,
): string {
  const stated = headers.get("Content-Base") || headers.get("Content-Location");
  if (stated) return onSameHost(stated, requestUri);
  if (sessionControl !== null && ABSOLUTE.test(sessionControl)) return sessionControl;
  return requestUri;
}

/**
 * The address that a control attribute names. Relative ones are appended, after the query too: that
 * is what servers and players do, where RFC 3986 would replace the last part of the path.
 */
export function controlUri(base: string, control: string | null): string {
  if (control === null || control === "" || control === "*") return base;
  const encoded = control.replaceAll(" ", "%20");
  if (ABSOLUTE.test(encoded)) return encoded;
  const joined = base.endsWith("/") || /^[?/]/.test(encoded);
  if (base.endsWith("/") && encoded.startsWith("/")) return base + encoded.slice(1);
  return joined ? base + encoded : `${base}/${encoded}`;
}

/**
 * The same address on the host of `uri`: cameras behind a NAT write the address that they have
 * there, into controls too; who asked knows a better one.
 */
export function onSameHost(address: string, uri: string): string {
  return onHostOf(uri, address.replace(AUTHORITY, ""));
}

/** Some cameras state a base that is only a path. */
function onHostOf(uri: string, path: string): string {
  const root = AUTHORITY.exec(uri)?.[0] ?? "";
  return path === "" || /^[/?]/.test(path) ? root + path : `${root}/${path}`;
}
