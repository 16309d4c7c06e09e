/**
 * One connection to a camera, from the first SYN to the last packet: drives the RTSP engine over a
 * TCP socket and hands what arrives to the stream.
 *
 * @module
 */
import { isIP } from "node:net";
import type { Socket } from "bun";
import { Fault, faultOf } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import { videoFormat } from "../rtp/track-format.ts";
import type { RtspAddress } from "../rtsp/address.ts";
import { RtspClient } from "../rtsp/client.ts";
import type { ClientEvent } from "../rtsp/client-event.ts";
import type { AgreedTransport, WantedTrack } from "../rtsp/client-track.ts";
import { parameterSets } from "../rtsp/sdp.ts";
import type { Pair } from "../rtsp/transport.ts";
import type { Stream } from "../stream/stream.ts";
import type { Track } from "../stream/track.ts";
import type { Dialer } from "./dialer.ts";
import { hash, token } from "./primitives.ts";
import type { PullTiming } from "./timing.ts";
import { UdpTrack } from "./udp-track.ts";
import { MediaWatch } from "./watch.ts";

/** Why a session is over. */
export type SessionEnd =
  | { readonly kind: "failed"; readonly fault: Fault }
  | { readonly kind: "redirected"; readonly location: string }
  | { readonly kind: "closed" };

/** What a pull counts across its sessions; they only grow. */
export interface PullCounters {
  /** TCP connections tried. */
  attempts: number;
  /** Times that the camera agreed to send. */
  connects: number;
  /** Those after the first. */
  reconnects: number;
  /** Packets of channels and payload types that were not asked for. */
  ignored: number;
  /** UDP packets from addresses that are not the camera's. */
  strangers: number;
  /** Broken assumptions of our own; each cost this camera one connection. */
  bugs: number;
}

/** What a session is made of. */
export interface SessionOptions {
  readonly address: RtspAddress;
  readonly transport: "tcp" | "udp";
  readonly stream: Stream;
  readonly timing: PullTiming;
  readonly counters: PullCounters;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** A viewer gets a picture from now on. */
  readonly onLive: () => void;
}

/** RTP payload types are 7 bits. */
const PAYLOAD_TYPES = 128;
/** How long the wall clock may be off after it was set; also how often it is looked at. */
const WALL_CLOCK_INTERVAL_MS = 1_000;

/** Runs once. Owns its sockets and timers, and frees them whatever ends it. */
export class Session {
  /** Packets of the track that were handed to the stream. */
  packets = 0;
  readonly #options: SessionOptions;
  readonly #watch: MediaWatch;
  readonly #end = Promise.withResolvers<SessionEnd>();
  readonly #aborter = new AbortController();
  #ended = false;
  #closing = false;
  #playing = false;
  #client: RtspClient | null = null;
  #socket: Socket<undefined> | null = null;
  #udp: UdpTrack | null = null;
  #video: Track | null = null;
  #channels: Pair | null = null;
  /** Payload types of the track's other formats: not video that the stream can read. */
  readonly #foreign = new Uint8Array(PAYLOAD_TYPES);
  #timer: Timer | null = null;
  #timerAt: Millis = Number.POSITIVE_INFINITY;
  #reportAt: Millis = Number.POSITIVE_INFINITY;
  #flushing: ReturnType<typeof setImmediate> | null = null;
  /** Read once for everything that a socket read brought. */
  #now: Millis = 0;
  /** Wall clock minus monotonic clock. */
  #wallOffset = 0;
  #wallReadAt: Millis = Number.NEGATIVE_INFINITY;
  /** RTP arrived since the last flush. */
  #arrived = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#watch = new MediaWatch(options.timing, options.address.label);
  }

  /** Connects and pulls until it is over. Never rejects. */
  async run(dialer: Dialer): Promise<SessionEnd> {
    const { address, timing, counters } = this.#options;
    counters.attempts++;
    const handlers = {
      opened: (socket: Socket<undefined>) => this.#guard(() => this.#opened(socket)),
      data: (bytes: Uint8Array) => this.#guard(() => this.#read(bytes)),
      closed: (error: Error | undefined) => this.#lost(error),
    };
    try {
      await dialer.dial(address, handlers, timing.connectMs, this.#aborter.signal);
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

  #opened(socket: Socket<undefined>): void {
    if (this.#ended) {
      socket.terminate();
      return;
    }
    const { address, transport, timing } = this.#options;
    this.#socket = socket;
    this.#now = monotonicMs();
    this.#client = new RtspClient({
      now: this.#now,
      address,
      transport,
      hash,
      cnonce: token,
      replyTimeoutMs: timing.replyMs,
      sink: (channel, buffer, start, end) => this.#packet(channel, buffer, start, end),
    });
    this.#drain();
  }

  #read(bytes: Uint8Array): void {
    if (this.#ended || this.#client === null) return;
    this.#now = monotonicMs();
    this.#client.handle(bytes, this.#now);
    this.#flush();
    this.#drain();
  }

  /** Everything of one socket read goes to the sinks at once. */
  #flush(): void {
    if (!this.#arrived) return;
    this.#arrived = false;
    const { stream, onLive } = this.#options;
    if (this.#now >= this.#wallReadAt + WALL_CLOCK_INTERVAL_MS) {
      this.#wallReadAt = this.#now;
      this.#wallOffset = unixMs() - monotonicMs();
    }
    stream.flush(this.#now, this.#now + this.#wallOffset);
    if (this.#watch.arrived(this.#now, this.#watch.live || stream.keyframe >= 0)) onLive();
  }

  #packet(channel: number, buffer: Uint8Array, start: number, end: number): void {
    if (channel === this.#channels?.[0]) this.#rtp(buffer, start, end);
    else if (channel === this.#channels?.[1]) {
      this.#video?.receiveControl(buffer, start, end);
    } else this.#options.counters.ignored++;
  }

  #rtp(buffer: Uint8Array, start: number, end: number): void {
    if (end - start > 1 && this.#foreign[buffer[start + 1]! & 0x7f] === 1) {
      this.#options.counters.ignored++;
      return;
    }
    this.packets++;
    this.#arrived = true;
    this.#video?.receive(buffer, start, end, this.#now);
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
        const media = this.#closing ? Number.POSITIVE_INFINITY : this.#watch.deadline;
        this.#wake(Math.min(out.until, media, this.#reportAt));
        return;
      }
    }
  }

  #event(event: ClientEvent): void {
    switch (event.kind) {
      case "bind":
        this.#bind();
        return;
      case "track":
        this.#track(event.track, event.transport);
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

  #bind(): void {
    const handlers = {
      rtp: (packet: Uint8Array) => this.#guard(() => this.#datagram(packet)),
      rtcp: (packet: Uint8Array) =>
        this.#guard(() => this.#video?.receiveControl(packet, 0, packet.length)),
    };
    const ssrc = Math.floor(this.#options.random() * 2 ** 32);
    UdpTrack.open(this.#socket?.localAddress ?? "0.0.0.0", handlers, ssrc).then(
      (track) => this.#guard(() => this.#bound(track)),
      (error: unknown) => this.#finish({ kind: "failed", fault: faultOf(error) }),
    );
  }

  #bound(track: UdpTrack): void {
    if (this.#ended) {
      track[Symbol.dispose]();
      return;
    }
    this.#udp = track;
    this.#client?.bound(track.ports, monotonicMs());
    this.#drain();
  }

  #track({ media, format }: WantedTrack, transport: AgreedTransport): void {
    for (const { payloadType } of media.formats) {
      if (payloadType !== format.payloadType) this.#foreign[payloadType % PAYLOAD_TYPES] = 1;
    }
    const [video] = this.#options.stream.describe([videoFormat("h264", parameterSets(format))]);
    this.#video = video ?? null;
    if (transport.lower === "tcp") this.#channels = transport.channels;
    else {
      const { source, serverPort } = transport;
      const remote = this.#socket?.remoteAddress ?? "";
      const hosts = source !== null && isIP(source) > 0 ? [source, remote] : [remote];
      this.#udp?.connect({ hosts: [...new Set(hosts)], ports: serverPort });
    }
  }

  #played(): void {
    const { counters, timing } = this.#options;
    this.#playing = true;
    counters.connects++;
    if (counters.connects > 1) counters.reconnects++;
    this.#watch.played(this.#now);
    if (this.#udp) this.#reportAt = this.#now + timing.reportMs;
  }

  /** The sockets deliver packet by packet; the sinks get what one turn of the loop brought. */
  #datagram(packet: Uint8Array): void {
    if (this.#ended) return;
    if (this.#flushing === null) {
      this.#now = monotonicMs();
      this.#flushing = setImmediate(() => {
        this.#flushing = null;
        this.#guard(() => this.#flush());
      });
    }
    this.#rtp(packet, 0, packet.length);
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
    if (this.#now >= this.#reportAt) {
      this.#reportAt = this.#now + this.#options.timing.reportMs;
      this.#udp?.report(this.#video?.lost ?? 0);
    }
    const fault = this.#closing ? null : this.#watch.check(this.#now);
    this.#client?.handle(null, this.#now);
    if (fault) this.#finish({ kind: "failed", fault });
    else this.#drain();
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

  #finish(end: SessionEnd): void {
    if (this.#ended) return;
    this.#leave();
    this.#ended = true;
    this.#aborter.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    if (this.#udp) this.#options.counters.strangers += this.#udp.strangers;
    this.#udp?.[Symbol.dispose]();
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
