/**
 * The native puller: RTSP by our own client. Follows redirects, and tries the other transport where
 * the settings leave the choice; what worked is tried first the next time.
 *
 * @module
 */
import { Fault, faultOf } from "../core/fault.ts";
import { parseAddress, type RtspAddress } from "../rtsp/address.ts";
import type { Lower } from "../rtsp/transport.ts";
import { Dialer } from "./dialer.ts";
import type { PullSession, SessionContext, SessionEnd } from "./puller.ts";
import { type ConnectionEnd, Session } from "./session.ts";
import type { TlsSettings } from "./tls.ts";

/** RFC 2326 names no bound; a camera that points back at itself must not be followed for ever. */
const REDIRECTS_MAX = 3;
/** Once without audio, once away from UDP that brings nothing. */
const FALLBACKS_MAX = 2;
/** A camera that restarts may hang up at any request: once is no proof that it is the audio. */
const HANG_UPS_MAX = 2;

/** What can be chosen about RTSP cameras. */
export interface RtspSettings {
  /** `auto`: TCP, or UDP where the camera refuses TCP. */
  readonly transport: "auto" | Lower;
  /** For `rtsps:` addresses. */
  readonly tls: TlsSettings;
}

/** What holds where nothing else is said. */
const DEFAULTS: RtspSettings = { transport: "auto", tls: { verify: true, fingerprint: null } };

/** Serves one camera for as long as it is pulled. */
export class RtspPuller {
  readonly #settings: RtspSettings;
  readonly #dialer = new Dialer();
  readonly #way: Way;

  constructor({ transport = DEFAULTS.transport, tls = DEFAULTS.tls }: Partial<RtspSettings>) {
    this.#settings = { transport, tls };
    this.#way = { lower: transport === "udp" ? "udp" : "tcp", audio: true, hangUps: 0 };
  }

  /** The next session: see OpenSession. */
  open(context: SessionContext): PullSession {
    return new RtspSession(context, this.#settings, this.#dialer, this.#way);
  }
}

/** How the camera is asked; what it does not take is not asked for again. */
interface Way {
  lower: Lower;
  audio: boolean;
  /** Times in a row that it hung up where audio was asked for, and sent video without. */
  hangUps: number;
}

/** Connections to one camera after another, until one has an end that is not another address. */
class RtspSession implements PullSession {
  packets = 0;
  readonly #context: SessionContext;
  readonly #settings: RtspSettings;
  readonly #dialer: Dialer;
  readonly #way: Way;
  #connection: Session | null = null;
  #played = false;
  #closed = false;

  constructor(context: SessionContext, settings: RtspSettings, dialer: Dialer, way: Way) {
    this.#context = context;
    this.#settings = settings;
    this.#dialer = dialer;
    this.#way = way;
  }

  get transport(): Lower | null {
    return this.#connection?.lower ?? null;
  }

  async run(): Promise<SessionEnd> {
    try {
      return await this.#follow(parseAddress(this.#context.source.reveal()));
    } catch (error) {
      return { kind: "failed", fault: faultOf(error) };
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#connection?.close();
  }

  async #follow(address: RtspAddress): Promise<SessionEnd> {
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
      const end = await this.#withFallback(address);
      if (this.#closed) return { kind: "closed" };
      if (end.kind !== "redirected") return end;
      address = redirectedTo(end.location, address);
    }
    const message = `${address.label}: redirected more than ${REDIRECTS_MAX} times in a row`;
    throw new Fault("camera_protocol", message);
  }

  async #withFallback(address: RtspAddress): Promise<ConnectionEnd> {
    for (let fallbacks = 0; ; fallbacks++) {
      const connection = this.#open(address);
      const end = await connection.run(this.#dialer);
      this.#connection = null;
      this.packets += connection.packets;
      if (connection.packets > 0 && !address.tunnel) this.#way.lower = connection.lower;
      if (connection.packets > 0) this.#way.hangUps = this.#way.audio ? 0 : this.#way.hangUps + 1;
      this.#way.audio = this.#way.hangUps < HANG_UPS_MAX;
      if (this.#closed || fallbacks === FALLBACKS_MAX || !this.#learns(connection, end)) return end;
      this.#context.counters.fallbacks++;
    }
  }

  #open(address: RtspAddress): Session {
    const { transport, tls } = this.#settings;
    const { audio } = this.#way;
    // Nothing but the tunnel goes through what a tunnel is for.
    const lower = address.tunnel ? "tcp" : this.#way.lower;
    const mayFallBack = transport === "auto" && !address.tunnel;
    // A connection after a fallback is no reconnect.
    const onPlaying = () => {
      if (!this.#played) this.#context.onPlaying();
      this.#played = true;
    };
    const way = { address, tls, transport: lower, mayFallBack, audio };
    const options = { ...this.#context, ...way, onPlaying };
    this.#connection = new Session(options);
    return this.#connection;
  }

  /** Finds another way for a camera that did not take this one. False when there is none. */
  #learns(connection: Session, end: ConnectionEnd): boolean {
    if (end.kind !== "failed") return false;
    if (connection.brokeOnAudio && this.#way.audio) {
      this.#way.audio = false;
      return true;
    }
    if (connection.wantsTcp) this.#way.lower = "tcp";
    return connection.wantsTcp;
  }
}

/** Where a camera sends its clients. The credentials are for the configured host only. */
function redirectedTo(location: string, from: RtspAddress): RtspAddress {
  try {
    const to = parseAddress(absolute(location, from));
    // What was to be encrypted is not told to a redirection that is not.
    const trusted = to.host === from.host && (to.secure || !from.secure);
    if (to.user !== null || !trusted) return to;
    return { ...to, user: from.user, password: from.password };
  } catch (cause) {
    throw new Fault("camera_protocol", `${from.label} redirects to what is no RTSP address`, {
      cause,
    });
  }
}

/** Some cameras name only the path that they moved to. */
function absolute(location: string, { requestUri }: RtspAddress): string {
  if (!location.startsWith("/")) return location;
  return (/^[a-z]+:\/\/[^/?#]*/i.exec(requestUri)?.[0] ?? "") + location;
}
