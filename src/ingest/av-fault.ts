/**
 * What an error of libav means for a person. libav's own words may hold addresses with passwords, so
 * they are passed on only where nothing in them can be a secret.
 *
 * @module
 */
import { Fault, type FaultCode, faultOf } from "../core/fault.ts";
import { AvError } from "../native/av-demux.ts";
import type { AvSource } from "../source/av-source.ts";

/** libav's tags: four bytes of text, the last first, negative (libavutil/error.h). */
function tag(text: string): number {
  const [a = 0, b = 0, c = 0, d = 0] = [...text].map((letter) => letter.charCodeAt(0));
  return -(a | (b << 8) | (c << 16) | (d << 24));
}
/** An HTTP or RTSP status, as libav writes it. */
const status = (digits: string): number => tag(`\xf8${digits}`);

interface Meaning {
  readonly code: FaultCode;
  /** Goes on after the name of the source. */
  readonly says: string;
}

const MEANINGS: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  [
    status("401"),
    {
      code: "camera_unauthorized",
      says: "rejects the user name or password: mend them in `source`",
    },
  ],
  [
    status("403"),
    {
      code: "camera_unauthorized",
      says: "forbids this user to watch (403): use another user, or permit it there",
    },
  ],
  [
    status("404"),
    { code: "camera_not_found", says: "does not exist there (404): check the path in `source`" },
  ],
  [
    status("400"),
    { code: "camera_protocol", says: "calls the request bad (400): check the path in `source`" },
  ],
  [status("429"), { code: "camera_protocol", says: "is asked too often (429)" }],
  [status("4XX"), { code: "camera_not_found", says: "refuses (4xx): check the path in `source`" }],
  [status("5XX"), { code: "camera_protocol", says: "has an error of its own (5xx)" }],
  [tag("INDA"), { code: "camera_protocol", says: "sends what libav cannot read as video" }],
  [tag("EOF "), { code: "camera_closed", says: "closed the connection before the stream began" }],
  [
    tag("\xf8PRO"),
    { code: "request_invalid", says: "is of a kind that the installed libav cannot open" },
  ],
  [
    tag("\xf8DEM"),
    { code: "request_invalid", says: "is of a kind that the installed libav cannot open" },
  ],
  [tag("EXIT"), { code: "camera_timeout", says: "was given up" }],
  [-2, { code: "camera_not_found", says: "does not exist: check the path in `source`" }],
  [-13, { code: "camera_not_found", says: "may not be read by the hub: check its permissions" }],
  [-16, { code: "camera_unreachable", says: "is in use by another program" }],
  [-19, { code: "camera_unreachable", says: "is no device that works" }],
  [-22, { code: "request_invalid", says: "is not valid for libav" }],
  [-32, { code: "camera_closed", says: "closed the connection" }],
  [
    -101,
    { code: "camera_unreachable", says: "cannot be reached: there is no way to that network" },
  ],
  [-104, { code: "camera_closed", says: "closed the connection (ECONNRESET)" }],
  [
    -110,
    {
      code: "camera_unreachable",
      says: "does not answer in time: is it on, and is its address right?",
    },
  ],
  [
    -111,
    {
      code: "camera_unreachable",
      says: "refuses connections on that port: is the service enabled?",
    },
  ],
  [-113, { code: "camera_unreachable", says: "cannot be reached: is it on, and on this network?" }],
]);

/** Where the code says little, the words that libav logged say more. */
const SPOKEN: readonly (readonly [RegExp, Meaning])[] = [
  [
    /resolve hostname/i,
    { code: "camera_unreachable", says: "has a host name that is not known here" },
  ],
  [
    /certificate verify failed/i,
    {
      code: "camera_untrusted",
      says: "shows a certificate that is not trusted here: to trust any, set `tls.verify: false`",
    },
  ],
  [
    /not on whitelist/i,
    { code: "request_invalid", says: "leads to a protocol that is not allowed" },
  ],
  [
    /not ?found|no such stream/i,
    { code: "camera_not_found", says: "has no such stream: check the path in `source`" },
  ],
  [
    /unauthori[sz]ed|authentication|access denied|badauth/i,
    { code: "camera_unauthorized", says: "rejects the user name, password or key" },
  ],
  [
    /connection .*(refused|rejected)/i,
    { code: "camera_unreachable", says: "refuses the connection" },
  ],
  [/timed? ?out/i, { code: "camera_unreachable", says: "does not answer in time" }],
];

/** Anything thrown while libav read `source`, as a Fault. */
export function avFault(thrown: unknown, source: Pick<AvSource, "label" | "url">): Fault {
  if (!(thrown instanceof AvError)) return faultOf(thrown);
  const spoken = SPOKEN.find(([pattern]) => thrown.lines.some((line) => pattern.test(line)));
  const vague = [-5, -22, -1, tag("UNKN"), tag("INDA")].includes(thrown.code);
  const known = MEANINGS.get(thrown.code);
  const meaning = (vague ? spoken?.[1] : undefined) ?? known ?? spoken?.[1];
  const words = scrubbed(thrown, source.url);
  const { code, says } = meaning ?? { code: "camera_protocol", says: "could not be read" };
  return new Fault(code, `${source.label} ${says}${words}`);
}

/** libav's newest words in parentheses, when there is nothing in them that might be a secret. */
function scrubbed({ lines, message }: AvError, url: string): string {
  const secrets = secretsOf(url);
  const harmless = (line: string): boolean =>
    !line.includes("://") && !secrets.some((secret) => line.includes(secret));
  const line = lines.findLast((text) => text.length > 0 && harmless(text));
  return ` (libav: ${(line ?? message).slice(0, WORDS_LENGTH_MAX)})`;
}

/** One line on a screen. */
const WORDS_LENGTH_MAX = 160;

/** Everything in an address that may be one: credentials, parts of the query, a stream's key. */
function secretsOf(url: string): string[] {
  const [, userinfo = "", , rest = ""] =
    /^[a-z0-9+.-]+:\/\/(?:([^/]*)@)?([^/?#]*)(.*)$/is.exec(url) ?? [];
  const parts = [...userinfo.split(":"), ...rest.split(/[?&=/#]/)];
  const decoded = parts.map((part) => decodeURIComponentSafely(part));
  return [...new Set([...parts, ...decoded])].filter((part) => part.length > 0);
}

function decodeURIComponentSafely(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return part;
    throw error;
  }
}
