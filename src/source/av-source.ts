/**
 * Sources for libav: which puller an address is for, and what libav is told about it.
 *
 * libav opens whatever an address or a playlist names, files of this machine included. So each kind
 * of source is given the protocols that it needs and no others.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { parseAddress, withoutSecrets } from "../rtsp/address.ts";

/** What to open, and how. */
export interface AvInputOptions {
  /** As libav takes it; holds credentials. */
  readonly url: string;
  /** The demuxer's name, `null` to find out from the contents. */
  readonly format: string | null;
  /** Of libav's protocols and demuxers, by their names. */
  readonly options: Readonly<Record<string, string>>;
  /**
   * Demuxers whose packets are whole units by themselves: libav's parsers, which wait for the start
   * of the next unit, are left out.
   */
  readonly wholeUnits: readonly string[];
}

/** A source as libav is to open it. */
export interface AvSource extends AvInputOptions {
  /** Names the source in messages, without anything that may be a secret. */
  readonly label: string;
  /** Units come faster than they are to be shown, and are held until their time. */
  readonly paced: boolean;
  /** Played again from its start at its end. */
  readonly looped: boolean;
}

/** How a source that speaks TLS proves who it is. */
interface AvTls {
  /** Its certificate must be signed by one of `authorities`, for its host name. */
  readonly verify: boolean;
  /** Libav cannot look for one: sources with TLS are refused while this is not `null`. */
  readonly fingerprint: string | null;
  /** File of certificates in PEM form; `null` for none, and then nobody is trusted. */
  readonly authorities: string | null;
}

/** What can be chosen about a source for libav. */
export interface AvSourceSettings {
  readonly tls: AvTls;
  /** RTSP only. */
  readonly transport: "auto" | "tcp" | "udp";
  /** For the connection, and for each read, as far as the protocol has such a thing. */
  readonly timeoutMs: number;
}

/** Packets of MPEG-TS are whole access units; libav would wait for the next one to be sure. */
const WHOLE_UNITS = ["mpegts"];
const USER_AGENT = "onepull";

/** What libav is told of each scheme: the protocols that it may use, and more. */
const SCHEMES: Readonly<Record<string, (settings: AvSourceSettings) => Record<string, string>>> = {
  rtsp: rtspOptions,
  rtsps: (settings) => ({ ...rtspOptions(settings), ...tlsOptions(settings) }),
  rtmp: (settings) => streaming(settings, "rtmp,tcp"),
  rtmps: (settings) => ({ ...streaming(settings, "rtmps,tls,tcp"), ...tlsOptions(settings) }),
  http: httpOptions,
  https: (settings) => ({ ...httpOptions(settings), ...tlsOptions(settings) }),
  srt: ({ timeoutMs }) => ({
    protocol_whitelist: "srt",
    connect_timeout: String(timeoutMs),
    timeout: microseconds(timeoutMs),
  }),
  tcp: (settings) => streaming(settings, "tcp"),
  // What is not read in time is lost, and no reason to end.
  udp: () => ({ protocol_whitelist: "udp", overrun_nonfatal: "1" }),
  rtp: () => ({ protocol_whitelist: "rtp,udp" }),
};

/** Which puller an address is for unless the configuration says otherwise. */
export function pullerFor(source: string): "native" | "ffmpeg" {
  return /^\s*rtsp(s|\+https?)?:/i.test(source) ? "native" : "ffmpeg";
}

/** Whether a source is a file or device of this machine: not for everyone to name. */
export function isLocalFile(source: string): boolean {
  const text = source.trim();
  return text.startsWith("/") || /^file:/i.test(text);
}

/**
 * Reads an address for libav. Files are looped, unless `#once` stands behind them.
 *
 * @throws Fault `request_invalid`, which never repeats the address
 */
export function avSource(source: string, settings: AvSourceSettings): AvSource {
  const text = source.trim();
  if (/\p{Cc}/u.test(text)) throw invalid("holds a control character or line break");
  if (isLocalFile(text)) return localSource(text);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase() ?? "";
  const optionsOf = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
  if (optionsOf === undefined) {
    const known = [...Object.keys(SCHEMES).map((name) => `${name}://`), "file:"].join(", ");
    throw invalid(`is of no kind that can be pulled: it must begin with one of ${known}`);
  }
  const network = { format: null, options: optionsOf(settings), wholeUnits: WHOLE_UNITS };
  const live = { ...network, looped: false, paced: false };
  if (scheme === "rtsp" || scheme === "rtsps") return { ...live, ...rtspAddress(text, scheme) };
  const url = parsed(text);
  const playlist = /\.m3u8$/i.test(url.pathname);
  return { ...live, url: text, label: labelOf(url), paced: playlist };
}

function localSource(text: string): AvSource {
  const once = text.endsWith("#once");
  const path = text.replace(/#once$/, "").replace(/^file:(?:\/\/(?=\/))?/i, "");
  if (!path.startsWith("/")) throw invalid("names a file without its whole path");
  const common = { url: path, label: path, wholeUnits: WHOLE_UNITS };
  if (path.startsWith("/dev/video")) {
    // Compressed pictures, from cameras that have them; raw ones are of no use here.
    const options = { input_format: "mjpeg", protocol_whitelist: "file" };
    return { ...common, format: "v4l2", options, paced: false, looped: false };
  }
  const options = { protocol_whitelist: "file" };
  return { ...common, format: null, url: `file:${path}`, options, paced: true, looped: !once };
}

/** As libav wants it: passwords encoded, however they were written. */
function rtspAddress(text: string, scheme: string): Pick<AvSource, "url" | "label"> {
  const { requestUri, user, password, label } = parseAddress(text);
  const rest = requestUri.replace(/^rtsps?:\/\//, "");
  if (user === null) return { url: `${scheme}://${rest}`, label };
  const secret = encodeURIComponent(password?.reveal() ?? "");
  return { url: `${scheme}://${encodeURIComponent(user)}:${secret}@${rest}`, label };
}

function rtspOptions({ transport, timeoutMs }: AvSourceSettings): Record<string, string> {
  const either = { rtsp_transport: "tcp+udp", rtsp_flags: "prefer_tcp" };
  return {
    protocol_whitelist: "rtsp,rtsps,rtp,tcp,udp,tls",
    user_agent: USER_AGENT,
    timeout: microseconds(timeoutMs),
    ...(transport === "auto" ? either : { rtsp_transport: transport }),
  };
}

function httpOptions(settings: AvSourceSettings): Record<string, string> {
  return {
    ...streaming(settings, "http,https,httpproxy,tls,tcp,crypto"),
    user_agent: USER_AGENT,
    // Of playlists: as near to now as they can be read without running dry.
    live_start_index: "-2",
  };
}

/**
 * libav trusts everyone unless told otherwise. It compares no address in figures with the
 * certificate, and passes nothing of this on to the segments of a playlist.
 */
function tlsOptions({ tls }: AvSourceSettings): Record<string, string> {
  const { verify, fingerprint, authorities } = tls;
  if (fingerprint !== null) {
    throw invalid("is one for the ffmpeg puller, which knows no `tls.fingerprint`: use rtsps://");
  }
  if (!verify) return { tls_verify: "0" };
  return { tls_verify: "1", ...(authorities !== null && { ca_file: authorities }) };
}

function streaming({ timeoutMs }: AvSourceSettings, protocols: string): Record<string, string> {
  return { protocol_whitelist: protocols, rw_timeout: microseconds(timeoutMs) };
}

function microseconds(ms: number): string {
  return String(Math.round(ms * 1_000));
}

function parsed(text: string): URL {
  const url = URL.parse(text);
  if (url !== null) return url;
  const hint = "if the user name or password has one of : / ? # @ % in it, write that as";
  throw invalid(`names no valid host and port: ${hint} %3A %2F %3F %23 %40 %25`);
}

/** Stream keys and tokens stand in the last part of the path or in the query. */
function labelOf({ protocol, host, pathname }: URL): string {
  const path = protocol.startsWith("rtmp") ? pathname.replace(/[^/]+$/, "…") : pathname;
  return `${protocol}//${host}${withoutSecrets(path)}`;
}

function invalid(reason: string): Fault {
  return new Fault("request_invalid", `the source's address ${reason}`);
}
