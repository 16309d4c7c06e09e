/**
 * One connection to a camera, from the first SYN to the last packet: drives the RTSP engine over a
 * TCP socket and hands what arrives to the stream.
 *
 * @module
 */
import { isIP } from "node:net";
import { Fault, faultOf } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import type { RtspAddress } from "../rtsp/address.ts";
import { RtspClient } from "../rtsp/client.ts";
import type { ClientEvent } from "../rtsp/client-event.ts";
import type { AgreedTrack } from "../rtsp/client-track.ts";
import { INTERLEAVED_HEADER_BYTES, writeInterleavedHeader } from "../rtsp/interleaved.ts";
import type { Lower } from "../rtsp/transport.ts";
import type { Connection, Dialer } from "./dialer.ts";
import { SessionMedia } from "./media.ts";
import { hash, token } from "./primitives.ts";
import type { SessionContext } from "./puller.ts";
import type { TlsSettings } from "./tls.ts";
import { dialTunnel } from "./tunnel.ts";
import { UdpTrack } from "./udp-track.ts";

/** Why a connection is over. */
export type ConnectionEnd =
  | { readonly kind: "failed"; readonly fault: Fault }
  | { readonly kind: "redirected"; readonly location: string }
  | { readonly kind: "closed" };

/** What a session is made of. */
export interface SessionOptions extends Omit<SessionContext, "camera" | "source"> {
  readonly address: RtspAddress;
  readonly tls: TlsSettings;
  readonly transport: Lower;
  /** The other transport may be tried, here and after: UDP is given less time to begin. */
  readonly mayFallBack: boolean;
  /** False to leave the audio alone. */
  readonly audio: boolean;
}

/** Runs once. Owns its sockets and timers, and frees them whatever ends it. */
export class Session {
  readonly #options: SessionOptions;
  readonly #media: SessionMedia;
  readonly #ssrc: number;
  readonly #end = Promise.withResolvers<ConnectionEnd>();
  readonly #aborter = new AbortController();
  #ended = false;
  #closing = false;
  #lower: Lower;
  #playing = false;
  #client: RtspClient | null = null;
  #socket: Connection | null = null;
  /** By track. */
  readonly #udp = new Map<number, UdpTrack>();
  #timer: Timer | null = null;
  #timerAt: Millis = Number.POSITIVE_INFINITY;
  #flushing: ReturnType<typeof setImmediate> | null = null;
  /** Read once for everything that a socket read brought. */
  #now: Millis = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#ssrc = Math.floor(options.random() * 2 ** 32);
    this.#lower = options.transport;
    this.#media = new SessionMedia({ ...options, label: options.address.label, ssrc: this.#ssrc });
  }

  /** Packets that were handed to the stream. */
  get packets(): number {
    return this.#media.packets;
  }

  /** What carries the packets. */
  get lower(): Lower {
    return this.#lower;
  }

  /** True when UDP was agreed on and brought nothing, and TCP may be tried instead. */
  get wantsTcp(): boolean {
    const silent = this.#lower === "udp" && this.#playing && this.packets === 0;
    return silent && this.#options.mayFallBack;
  }

  /** Some cameras hang up, or say nothing more, where a second track is asked for. */
  get brokeOnAudio(): boolean {
    return this.#client?.wantsMore === true;
  }

  /** Connects and pulls until it is over. Never rejects. */
  async run(dialer: Dialer): Promise<ConnectionEnd> {
    const { address, tls, timing, counters } = this.#options;
    counters.attempts++;
    const handlers = {
      opened: (socket: Connection) => this.#guard(() => this.#opened(socket)),
      data: (bytes: Uint8Array) => this.#guard(() => this.#read(bytes)),
      closed: (error: Error | undefined) => this.#lost(error),
    };
    const target = { ...address, tls: address.secure ? tls : null };
    const dial = address.tunnel ? dialTunnel(dialer) : dialer.dial.bind(dialer);
    try {
      await dial(target, handlers, timing.connectMs, this.#aborter.signal);
    } catch (error) {
      this.#finish({ kind: "failed", fault: faultOf(error) });
    }
    return this.#end.promise;
  }

  /** Takes leave of the camera, in half a second at most. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#client === null) this.#finish({ kind: "closed" });
    else {
      this.#client.close(monotonicMs());
      this.#guard(() => this.#drain());
    }
    await this.#end.promise;
  }

  #opened(socket: Connection): void {
    if (this.#ended) {
      socket.terminate();
      return;
    }
    const { address, transport, mayFallBack, audio, timing } = this.#options;
    this.#socket = socket;
    this.#now = monotonicMs();
    this.#client = new RtspClient({
      now: this.#now,
      address,
      transport,
      mayFallBack,
      audio,
      hash,
      cnonce: token,
      replyTimeoutMs: timing.replyMs,
      sink: (channel, buffer, start, end) =>
        this.#media.packet(channel, buffer, start, end, this.#now),
    });
    this.#drain();
  }

  #read(bytes: Uint8Array): void {
    if (this.#ended || this.#client === null) return;
    this.#now = monotonicMs();
    this.#client.handle(bytes, this.#now);
    this.#media.flush(this.#now);
    this.#drain();
  }

  /** Does what the engine wants done, and comes back in time. */
  #drain(): void {
    const client = this.#client;
    if (client === null) return;
    for (;;) {
      const out = client.poll();
      if (out.kind === "send") this.#write(out.bytes);
      else if (out.kind === "event") this.#event(out.event);
      else {
        const media = this.#closing ? Number.POSITIVE_INFINITY : this.#media.deadline;
        this.#wake(Math.min(out.until, media));
        return;
      }
    }
  }

  #event(event: ClientEvent): void {
    switch (event.kind) {
      case "bind":
        this.#bind(event.index);
        return;
      case "tracks":
        this.#tracks(event.tracks);
        return;
      case "playing":
        this.#played();
        return;
      case "redirected":
      case "failed":
      case "closed":
        this.#finish(event);
        return;
      default:
        event satisfies never;
    }
  }

  #bind(index: number): void {
    const handlers = {
      rtp: (packet: Uint8Array) => this.#guard(() => this.#datagram(index, packet)),
      rtcp: (packet: Uint8Array) => this.#guard(() => this.#media.controlDatagram(index, packet)),
    };
    UdpTrack.open(this.#socket?.localAddress ?? "0.0.0.0", handlers, this.#ssrc).then(
      (track) => this.#guard(() => this.#bound(index, track)),
      (error: unknown) => this.#finish({ kind: "failed", fault: faultOf(error) }),
    );
  }

  #bound(index: number, track: UdpTrack): void {
    if (this.#ended) {
      track[Symbol.dispose]();
      return;
    }
    this.#udp.set(index, track);
    this.#client?.bound(track.ports, monotonicMs());
    this.#drain();
  }

  #tracks(tracks: readonly AgreedTrack[]): void {
    this.#media.begin(tracks);
    this.#lower = tracks[0]?.transport.lower ?? this.#lower;
    if (this.#lower !== this.#options.transport) this.#options.counters.fallbacks++;
    for (const { index, transport } of tracks) {
      if (transport.lower === "tcp") continue;
      const { source, serverPort } = transport;
      const remote = this.#socket?.remoteAddress ?? "";
      const hosts = source !== null && isHost(source) ? [source, remote] : [remote];
      this.#udp.get(index)?.connect({ hosts: [...new Set(hosts)], ports: serverPort });
    }
  }

  #played(): void {
    this.#playing = true;
    const { timing, mayFallBack } = this.#options;
    const hurried = this.#lower === "udp" && mayFallBack;
    this.#media.played(this.#now, hurried ? timing.firstDatagramMs : timing.firstPacketMs);
    this.#options.onPlaying();
  }

  /** The sockets deliver packet by packet; the sinks get what one turn of the loop brought. */
  #datagram(index: number, packet: Uint8Array): void {
    if (this.#ended) return;
    if (this.#flushing === null) {
      this.#now = monotonicMs();
      this.#flushing = setImmediate(() => {
        this.#flushing = null;
        this.#client?.heard(this.#now);
        this.#guard(() => this.#media.flush(this.#now));
        // A packet that overtook another is waited for, but not for long.
        this.#wake(this.#media.deadline);
      });
    }
    this.#media.datagram(index, packet, this.#now);
  }

  #wake(at: Millis): void {
    // A timer that fires too early costs one look; moving it with every packet would cost more.
    if (this.#ended || (this.#timer !== null && this.#timerAt <= at)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.max(0, Math.ceil(at - monotonicMs()));
    this.#timer = setTimeout(() => this.#guard(() => this.#tick()), waitMs);
  }

  #tick(): void {
    this.#timer = null;
    this.#now = monotonicMs();
    const fault = this.#closing
      ? null
      : this.#media.check(this.#now, (agreed, packet) => this.#report(agreed, packet));
    this.#client?.handle(null, this.#now);
    if (fault) this.#finish({ kind: "failed", fault });
    else this.#drain();
  }

  /** Over TCP as well: some cameras take nothing else for a sign of life. */
  #report({ index, transport }: AgreedTrack, packet: Uint8Array): void {
    if (transport.lower === "udp") {
      this.#udp.get(index)?.report(packet);
      return;
    }
    const framed = new Uint8Array(INTERLEAVED_HEADER_BYTES + packet.length);
    const at = writeInterleavedHeader(framed, 0, transport.channels[1], packet.length);
    framed.set(packet, at);
    this.#write(framed);
  }

  #write(bytes: Uint8Array): void {
    const written = this.#socket?.write(bytes) ?? 0;
    if (written === bytes.length || this.#ended) return;
    // Requests are small: a send buffer full of them is one that the camera does not empty.
    const message = `${this.#options.address.label} does not read what it is sent`;
    this.#finish({ kind: "failed", fault: new Fault("camera_timeout", message) });
  }

  #lost(error: Error | undefined): void {
    if (this.#closing) {
      this.#finish({ kind: "closed" });
      return;
    }
    const when = this.#playing ? "" : " before the stream began";
    const why = error && "code" in error ? ` (${error.code})` : "";
    const message = `${this.#options.address.label} closed the connection${when}${why}`;
    const fault = new Fault("camera_closed", message, { cause: error });
    this.#finish({ kind: "failed", fault });
  }

  /** What throws here is a bug of ours; it ends this session and nothing else. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#options.counters.bugs++;
      this.#finish({ kind: "failed", fault: faultOf(error) });
    }
  }

  #finish(end: ConnectionEnd): void {
    if (this.#ended) return;
    this.#leave();
    this.#ended = true;
    this.#aborter.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    this.#media.close();
    for (const track of this.#udp.values()) {
      this.#options.counters.strangers += track.strangers;
      track[Symbol.dispose]();
    }
    this.#socket?.end();
    this.#end.resolve(this.#closing ? { kind: "closed" } : end);
  }

  /** A camera that still listens is told that its stream is not wanted any more. */
  #leave(): void {
    this.#client?.close(monotonicMs());
    for (let out = this.#client?.poll(); out && out.kind !== "wait"; out = this.#client?.poll()) {
      if (out.kind === "send") this.#socket?.write(out.bytes);
    }
  }
}

/** Some cameras state a name, or an address of theirs that is none, as where packets come from. */
function isHost(source: string): boolean {
  return isIP(source) > 0 && source !== "0.0.0.0" && source !== "::";
}
