/** SDP (RFC 8866) as WebRTC uses it: session attributes, then media sections in order. */

/** One `a=` line; the value is empty for a flag such as `a=recvonly`. */
export interface SdpAttribute {
  readonly name: string;
  readonly value: string;
}

/** One `m=` line with its attributes. */
export interface MediaSection {
  readonly media: string;
  readonly port: number;
  readonly protocol: string;
  readonly formats: readonly string[];
  readonly attributes: readonly SdpAttribute[];
}

export interface SessionDescription {
  readonly attributes: readonly SdpAttribute[];
  readonly media: readonly MediaSection[];
}

/** Lines longer or descriptions larger than any browser's are an attack on memory. */
const DESCRIPTION_CHARACTERS_MAX = 65_536;

/** Reads a description, or `null` when it is none. Lines it does not know are skipped. */
export function readDescription(text: string): SessionDescription | null {
  if (text.length > DESCRIPTION_CHARACTERS_MAX || !text.startsWith("v=0")) return null;
  const attributes: SdpAttribute[] = [];
  const media: MediaSection[] = [];
  let current = attributes;
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("m=")) {
      current = [];
      const section = readMediaLine(line.slice(2), current);
      if (section === null) return null;
      media.push(section);
    } else if (line.startsWith("a=")) {
      current.push(readAttribute(line.slice(2)));
    }
  }
  return { attributes, media };
}

function readMediaLine(line: string, attributes: SdpAttribute[]): MediaSection | null {
  const [media, port, protocol, ...formats] = line.trim().split(/ +/);
  if (!media || !port || !protocol || formats.length === 0 || !/^\d{1,5}/.test(port)) return null;
  return { media, port: Number.parseInt(port, 10), protocol, formats, attributes };
}

function readAttribute(line: string): SdpAttribute {
  const colon = line.indexOf(":");
  if (colon < 0) return { name: line.trim(), value: "" };
  return { name: line.slice(0, colon), value: line.slice(colon + 1).trim() };
}

/** The first value of an attribute; `undefined` when it is not there. */
export function attribute(attributes: readonly SdpAttribute[], name: string): string | undefined {
  return attributes.find((other) => other.name === name)?.value;
}

/** All values of an attribute, in order. */
export function attributeValues(attributes: readonly SdpAttribute[], name: string): string[] {
  return attributes.filter((other) => other.name === name).map(({ value }) => value);
}

/** The value behind `key ` of the first attribute that starts so, as in `a=rtpmap:<key> <value>`. */
export function keyedValue(
  attributes: readonly SdpAttribute[],
  name: string,
  key: string,
): string | undefined {
  const prefix = `${key} `;
  const found = attributes.find((other) => other.name === name && other.value.startsWith(prefix));
  return found?.value.slice(prefix.length).trim();
}

/** The parameters of an `a=fmtp` value, names in lower case. */
export function formatParameters(fmtp: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const part of fmtp.split(";")) {
    const equals = part.indexOf("=");
    if (equals > 0) {
      parameters.set(part.slice(0, equals).trim().toLowerCase(), part.slice(equals + 1).trim());
    }
  }
  return parameters;
}
