/** The Transport header (RFC 2326 section 12.39). */

/** What carries RTP: the RTSP connection itself, or UDP beside it. */
export type Lower = "tcp" | "udp";

/** Two numbers that belong together: RTP and its RTCP. */
export type Pair = readonly [rtp: number, rtcp: number];

/** One way to carry a track, as offered or as agreed. What the header does not say is `null`. */
export interface Transport {
  /** As written, upper case: `RTP/AVP` but for encrypted or feedback profiles. */
  readonly profile: string;
  readonly lower: Lower;
  readonly delivery: "unicast" | "multicast";
  /** Channels on the RTSP connection. */
  readonly interleaved: Pair | null;
  readonly clientPort: Pair | null;
  readonly serverPort: Pair | null;
  /** Host that sends the packets, when it is not the one that was asked. */
  readonly source: string | null;
  readonly ssrc: number | null;
  /** `play` or `record`, lower case. */
  readonly mode: string | null;
}

/** A transport of which nothing but its kind is said. */
export function plainTransport(lower: Lower): Transport {
  return {
    profile: "RTP/AVP",
    lower,
    delivery: "unicast",
    interleaved: null,
    clientPort: null,
    serverPort: null,
    source: null,
    ssrc: null,
    mode: null,
  };
}

/** Reads the alternatives of a Transport header, best first. What is not understood is left out. */
export function parseTransports(value: string): Transport[] {
  return value
    .split(",")
    .map((alternative) => parseTransport(alternative))
    .filter((transport) => transport !== null);
}

function parseTransport(text: string): Transport | null {
  const [specification = "", ...parameters] = text.split(";").map((part) => part.trim());
  const match = /^(\w+\/\w+)(?:\/(TCP|UDP))?$/i.exec(specification);
  if (!match) return null;
  const values = new Map(parameters.map(parameterOf));
  const ssrc = values.get("ssrc");
  return {
    profile: (match[1] ?? "").toUpperCase(),
    lower: match[2]?.toUpperCase() === "TCP" ? "tcp" : "udp",
    delivery: values.has("multicast") ? "multicast" : "unicast",
    interleaved: pairOf(values.get("interleaved"), 255),
    clientPort: pairOf(values.get("client_port"), 65_535),
    serverPort: pairOf(values.get("server_port"), 65_535),
    source: values.get("source") || null,
    ssrc: ssrc && /^(0x)?[0-9a-f]{1,8}$/i.test(ssrc) ? Number.parseInt(ssrc, 16) : null,
    mode: values.get("mode")?.toLowerCase() ?? null,
  };
}

function parameterOf(text: string): [name: string, value: string] {
  const equals = text.indexOf("=");
  if (equals < 0) return [text.toLowerCase(), ""];
  const value = text.slice(equals + 1).trim();
  return [text.slice(0, equals).trim().toLowerCase(), value.replace(/^"(.*)"$/s, "$1")];
}

/** `4-5`, or a lone `4` for both: servers that do no RTCP write that. */
function pairOf(value: string | undefined, max: number): Pair | null {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(value ?? "");
  if (!match) return null;
  const rtp = Number(match[1]);
  const rtcp = match[2] === undefined ? rtp + 1 : Number(match[2]);
  return rtp <= max && rtcp <= max ? [rtp, rtcp] : null;
}

/** Writes one transport as a header value. */
export function writeTransport(transport: Transport): string {
  const pair = (name: string, value: Pair | null) =>
    value === null ? [] : [`${name}=${value[0]}-${value[1]}`];
  return [
    transport.lower === "tcp" ? `${transport.profile}/TCP` : transport.profile,
    transport.delivery,
    ...(transport.source === null ? [] : [`source=${transport.source}`]),
    ...pair("interleaved", transport.interleaved),
    ...pair("client_port", transport.clientPort),
    ...pair("server_port", transport.serverPort),
    ...(transport.ssrc === null ? [] : [`ssrc=${transport.ssrc.toString(16).padStart(8, "0")}`]),
    ...(transport.mode === null ? [] : [`mode=${transport.mode}`]),
  ].join(";");
}
