/** What a server reads out of a request before it decides anything. */
import { Fault } from "../core/fault.ts";
import type { Field, Request } from "./message.ts";
import { parseSdp, type SessionDescription } from "./sdp.ts";
import { type Pair, parseTransports, plainTransport, type Transport } from "./transport.ts";

/** Methods that a server of live streams has a use for. */
const PLAY_METHODS = [
  "OPTIONS",
  "DESCRIBE",
  "SETUP",
  "PLAY",
  "PAUSE",
  "GET_PARAMETER",
  "SET_PARAMETER",
  "TEARDOWN",
] as const;
/** Those of clients that send a stream. */
const PUBLISH_METHODS = ["ANNOUNCE", "RECORD"] as const;
/** A method that may be served. */
export type ServedMethod = (typeof PLAY_METHODS | typeof PUBLISH_METHODS)[number];

/** Methods that RTSP knows and this server does not take. */
const REFUSED_METHODS: readonly string[] = [...PUBLISH_METHODS, "REDIRECT", "SETUP_REVERSE"];

/** Which way the packets of a session go: to the client, or from it. */
export type SessionMode = "play" | "record";

/** Why a request cannot be served, as the response says it. */
export interface Refusal {
  readonly status: number;
  readonly fields?: readonly Field[];
}

/** The methods that are served. Names mind case (RFC 2326 section 6.1). */
export function servedMethods(publishing: boolean): readonly ServedMethod[] {
  return publishing ? [...PLAY_METHODS, ...PUBLISH_METHODS] : PLAY_METHODS;
}

/** What is wrong with a request whatever its method; `null` when nothing is. */
export function objectionTo(request: Request, served: readonly ServedMethod[]): Refusal | null {
  if (request.version !== "1.0") return { status: 505 };
  if (!/^\d{1,10}$/.test(request.headers.get("CSeq") ?? "")) return { status: 400 };
  const required = [...request.headers.all("Require"), ...request.headers.all("Proxy-Require")];
  // RFC 2326 section 12.32: what this server does not know it must refuse; it knows none.
  if (required.length > 0) return { status: 551, fields: [["Unsupported", required.join(", ")]] };
  if (served.some((method) => method === request.method)) return null;
  const known = REFUSED_METHODS.includes(request.method);
  return { status: known ? 405 : 501, fields: [["Allow", served.join(", ")]] };
}

/** True when the client takes a session description for an answer. */
export function acceptsSdp(request: Request): boolean {
  const accept = request.headers.get("Accept");
  return accept === null || /application\/(sdp|\*)|\*\/\*/i.test(accept);
}

/** What an ANNOUNCE describes: `foreign` when not in SDP, `null` when it makes no sense. */
export function announced(request: Request): SessionDescription | "foreign" | null {
  const type = request.headers.get("Content-Type") ?? "application/sdp";
  if (!/^application\/sdp\b/i.test(type)) return "foreign";
  try {
    return parseSdp(new TextDecoder().decode(request.body));
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
}

/** A resource as clients name it. */
export interface Place {
  /** Decoded, with its leading slash, without a trailing one; `/` for the root. */
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly query: string;
}

/** The resource an address names; host and port do not matter. `null` for what names none. */
export function placeOf(uri: string): Place | null {
  const match = /^(?:rtspu?:\/\/[^/?#]*)?([/?].*)?$/is.exec(uri);
  if (!match) return null;
  const [path = "", ...query] = (match[1] ?? "/").split("?");
  return { path: `/${decodePath(path).replace(/^\/+|\/+$/g, "")}`, query: query.join("?") };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    if (error instanceof URIError) return path;
    throw error;
  }
}

/** A track as clients name it: the stream, and what they appended for the track. */
export interface TrackPlace extends Place {
  /** Empty when the address is the stream's own. */
  readonly control: string;
}

/**
 * Splits the address of a SETUP. Clients append a track's control attribute to the address that was
 * described, behind the query too; without a description the last part of the path is the track.
 */
export function trackPlaceOf(uri: string, described: string | null): TrackPlace | null {
  const base = described?.replace(/\/+$/, "");
  if (base !== undefined && (uri === base || uri.startsWith(`${base}/`))) {
    const place = placeOf(base);
    return place && { ...place, control: uri.slice(base.length).replace(/^\/+|\/+$/g, "") };
  }
  const trimmed = uri.replace(/\/+$/, "");
  const slash = trimmed.lastIndexOf("/");
  const place = placeOf(trimmed.slice(0, Math.max(0, slash)));
  return place && { ...place, control: trimmed.slice(slash + 1) };
}

/** How a track goes to the client. */
export type TrackTransport =
  | { readonly lower: "tcp"; readonly channels: Pair }
  | { readonly lower: "udp"; readonly clientPort: Pair };

/**
 * The first of the client's alternatives that can be served, or `null`. Packets only ever go to
 * where the request came from: `destination` would let anyone aim a stream at a stranger.
 */
export function chooseTransport(
  header: string | null,
  { mode, allowed, used }: TransportChoice,
): TrackTransport | null {
  for (const offer of parseTransports(header ?? "")) {
    if (!servable(offer, mode) || !allowed.includes(offer.lower)) continue;
    if (offer.lower === "tcp") return { lower: "tcp", channels: freeChannels(offer, used) };
    if (offer.clientPort) return { lower: "udp", clientPort: offer.clientPort };
  }
  return null;
}

/** What a transport is chosen by. */
interface TransportChoice {
  readonly mode: SessionMode;
  readonly allowed: readonly ("tcp" | "udp")[];
  /** Channels of tracks set up before. */
  readonly used: readonly number[];
}

function servable({ profile, delivery, mode }: Transport, wanted: SessionMode): boolean {
  // Publishers of before RFC 2326 say `receive`; only `play` is surely another thing.
  const asked = (mode ?? wanted) === "play" ? "play" : "record";
  return profile === "RTP/AVP" && delivery === "unicast" && asked === wanted;
}

function freeChannels({ interleaved }: Transport, used: readonly number[]): Pair {
  if (interleaved && interleaved[0] !== interleaved[1]) {
    if (!interleaved.some((channel) => used.includes(channel))) return interleaved;
  }
  let even = 0;
  while (used.includes(even) || used.includes(even + 1)) even += 2;
  return [even, even + 1];
}

/** What the owner says of a track it agreed to send. */
export interface TrackAnswer {
  readonly ssrc?: number;
  /** The pair that packets come from; UDP only. */
  readonly serverPort?: Pair;
}

/** The Transport header that agrees to a track. */
export function agreedTransport(
  { transport, mode }: { readonly transport: TrackTransport; readonly mode: SessionMode },
  answer: TrackAnswer,
): Transport {
  const plain = { ...plainTransport(transport.lower), mode: mode === "play" ? null : mode };
  const ssrc = answer.ssrc ?? null;
  if (transport.lower === "tcp") return { ...plain, interleaved: transport.channels, ssrc };
  const serverPort = answer.serverPort ?? null;
  return { ...plain, clientPort: transport.clientPort, serverPort, ssrc };
}
