/** One client's RTSP connection: drives the protocol engine for a reader or a publisher. */
import { assert } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import { Outbox } from "../rtsp/outbox.ts";
import { ServerConnection } from "../rtsp/server.ts";
import type { ServerEvent } from "../rtsp/server-event.ts";
import type { Pair } from "../rtsp/transport.ts";
import { TcpCarrier, UdpCarrier } from "./carriers.ts";
import type { PublishEnd } from "./publisher.ts";
import { Reader } from "./reader.ts";
import { acquireReady } from "./ready.ts";
import { Recording } from "./recording.ts";
import type { Site } from "./site.ts";
import type { UdpPair } from "./udp.ts";

type Event<K extends ServerEvent["kind"]> = Extract<ServerEvent, { readonly kind: K }>;

/** What a connection needs of its socket; Bun's has it. */
export interface ClientSocket {
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** Returns how many of the bytes, borrowed, it took; negative when it is closed. */
  write(bytes: Uint8Array): number;
  /** Closes once everything is sent. */
  end(): void;
  /** Closes at once. */
  terminate(): void;
}

/** Owned by the socket: `closed` frees everything. */
export class Connection {
  readonly address: string;
  readonly #socket: ClientSocket;
  readonly #site: Site;
  readonly #engine: ServerConnection;
  readonly #outbox: Outbox;
  readonly #aborter = new AbortController();
  #now: Millis = monotonicMs();
  #deadline: Millis = Number.POSITIVE_INFINITY;
  #closed = false;
  #reader: Reader | null = null;
  #gop = true;
  /** The response to PLAY is on its way: packets may follow it. */
  #joining = false;
  #playing = false;
  #recording: Recording | null = null;
  /** What the outbox had written, and when that last changed. */
  #written = 0;
  #progressAt: Millis = monotonicMs();

  constructor(socket: ClientSocket, site: Site) {
    this.#socket = socket;
    this.#site = site;
    this.address = plainAddress(socket.remoteAddress);
    this.#outbox = new Outbox((bytes) => socket.write(bytes));
    this.#engine = new ServerConnection({
      now: this.#now,
      token: () => crypto.getRandomValues(new Uint8Array(16)).toHex(),
      sink: (channel, b, start, end) => this.#recording?.packet(channel, b, start, end, this.#now),
      publishing: true,
      ...(site.authentication && { authentication: site.authentication }),
    });
    this.#pump();
  }

  /** True while it is counted as a reader. */
  get isReading(): boolean {
    return this.#reader?.isSetUp ?? false;
  }

  /** The session's path; `null` while it does not play. */
  get playing(): string | null {
    return this.#playing && this.#reader !== null ? this.#reader.path : null;
  }

  /** What it reads or publishes, or is about to; `null` for neither. */
  get path(): string | null {
    return this.#reader?.path ?? this.#recording?.publisher.path ?? null;
  }

  /** Brings the counters of the path up to now. */
  count(): void {
    this.#reader?.count();
  }

  /** Takes bytes from the socket, borrowed. */
  receive(bytes: Uint8Array): void {
    this.#guard(() => {
      this.#now = monotonicMs();
      this.#engine.handle(bytes, this.#now);
      this.#recording?.publisher.flush(this.#now);
      this.#pump();
    });
  }

  /** The socket takes bytes again. */
  drain(): void {
    this.#outbox.drain();
  }

  /** Time has passed. */
  tick(now: Millis): void {
    this.#guard(() => {
      this.#recording?.publisher.tick(now);
      this.#watchOutbox(now);
      if (this.#closed || now < this.#deadline) return;
      this.#now = now;
      this.#engine.handle(null, now);
      this.#pump();
    });
  }

  /** The stream is taken away: a player is told, and whoever goes on asks or announces again. */
  endStream(): void {
    this.#guard(() => this.#streamEnded());
  }

  /** Ends the connection at once, without a word. */
  drop(): void {
    this.#socket.terminate();
    this.closed();
  }

  /** The socket is gone. Idempotent. */
  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#aborter.abort();
    this.#endSession("lost");
  }

  /** A reader that takes nothing is disconnected; one that reads on is alive, whatever it says. */
  #watchOutbox(now: Millis): void {
    if (this.#outbox.written !== this.#written || this.#outbox.waiting === 0) {
      const reads = this.#outbox.written !== this.#written && this.#outbox.waiting === 0;
      this.#written = this.#outbox.written;
      this.#progressAt = now;
      if (reads && this.#playing) this.#engine.alive(now);
    } else if (now - this.#progressAt >= this.#site.timing.stalledMs) {
      this.#site.counters.stalled++;
      this.drop();
    }
  }

  #pump(): void {
    while (!this.#closed) {
      const out = this.#engine.poll();
      if (out.kind === "send") {
        if (!this.#outbox.message(out.bytes)) this.drop();
      } else if (out.kind === "event") this.#onEvent(out.event);
      else {
        this.#deadline = out.until;
        this.#join();
        return;
      }
    }
  }

  #onEvent(event: ServerEvent): void {
    switch (event.kind) {
      case "describe":
        void this.#guarded(this.#describe(event));
        break;
      case "announce":
        this.#announce(event);
        break;
      case "setup":
        void this.#guarded(event.mode === "play" ? this.#setup(event) : this.#setupRecord(event));
        break;
      case "play":
        this.#play();
        break;
      case "record":
        this.#record();
        break;
      case "pause":
        this.#playing = false;
        this.#reader?.pause();
        break;
      case "teardown":
        this.#endSession("finished");
        break;
      case "closed":
        this.#end();
        break;
      default:
        event satisfies never;
    }
  }

  async #describe({ path, query, user }: Event<"describe">): Promise<void> {
    const reader = await this.#readerOf(path, query, user);
    if (reader === null) return;
    this.#engine.describe(reader.describe());
    this.#pump();
  }

  /** A reader of the stream under this path; `null` when there is none, and the client knows. */
  async #readerOf(path: string, query: string, user: string | null): Promise<Reader | null> {
    const name = path.slice(1);
    if (this.#playing || this.#recording !== null) return this.#refuse(455);
    this.#gop = new URLSearchParams(query).get("gop") !== "0";
    if (this.#reader?.path === name && this.#reader.isCurrent) return this.#reader;
    this.#endSession("finished");
    const { options, timing } = this.#site;
    const { signal } = this.#aborter;
    const lease = await acquireReady(options, { path: name, user }, timing.readyMs, signal);
    if ("status" in lease) return this.#refuse(lease.status, lease.reason);
    if (this.#closed) {
      lease.release();
      return null;
    }
    this.#reader = new Reader({
      path: name,
      lease,
      audiences: this.#site.audiences,
      counters: this.#site.countersOf(name),
      onEnd: () => this.#streamEnded(),
      onBug: (error) => this.#bug(error),
    });
    return this.#reader;
  }

  async #setup(event: Event<"setup">): Promise<void> {
    const { path, query, control, transport, user } = event;
    const reader = await this.#readerOf(path, query, user);
    if (reader === null) return;
    if (!reader.offers(control)) this.#refuse(control === "" ? 459 : 404);
    else if (!reader.isSetUp && !this.#site.admits(this.address)) {
      this.#refuse(453, "Too Many Readers");
    } else if (transport.lower === "tcp") {
      const broken = () => this.drop();
      const { image } = this.#site;
      const carrier = new TcpCarrier(this.#outbox, image, transport.channels, broken);
      this.#engine.setup({ ssrc: reader.setup(control, carrier, () => undefined) });
      this.#pump();
    } else {
      const pair = await this.#pair();
      if (pair !== null) this.#setupUdp(reader, control, pair, transport.clientPort);
    }
  }

  #setupUdp(reader: Reader, control: string, pair: UdpPair, ports: Pair): void {
    const alive = (): void => this.#engine.alive(monotonicMs());
    // Players open their firewalls with packets to the RTP port, too.
    const leave = pair.admit({ address: this.address, ports, rtp: alive, rtcp: alive });
    const ssrc = reader.setup(control, new UdpCarrier(pair, this.address, ports), leave);
    this.#engine.setup({ ssrc, serverPort: pair.ports });
    this.#pump();
  }

  /** The pair of ports on the address that the client connected to. */
  async #pair(): Promise<UdpPair | null> {
    const pair = await this.#site.pairs.on(plainAddress(this.#socket.localAddress));
    if (this.#closed) return null;
    return pair ?? this.#refuse(461);
  }

  #play(): void {
    const reader = this.#reader;
    assert(reader !== null, "what is played was set up");
    if (!reader.isCurrent) {
      this.#refuse(503, "Stream Has Changed");
      return;
    }
    this.#engine.play(reader.start(this.#gop));
    this.#joining = true;
  }

  #join(): void {
    if (!this.#joining) return;
    this.#joining = false;
    this.#playing = true;
    this.#reader?.join();
  }

  #announce({ path, description, user }: Event<"announce">): void {
    this.#endSession("finished");
    const asked = { path: path.slice(1), user };
    const recording = Recording.begin(this.#site, asked, description, {
      arrived: (step) =>
        this.#guard(() => {
          this.#engine.alive(monotonicMs());
          step();
        }),
      replaced: () => this.#end(),
    });
    if ("status" in recording) {
      this.#refuse(recording.status, recording.reason);
      return;
    }
    this.#recording = recording;
    this.#engine.announce();
  }

  async #setupRecord({ path, control, transport }: Event<"setup">): Promise<void> {
    const recording = this.#recording;
    const track = recording?.publisher.find(control) ?? null;
    if (recording === null || recording.publisher.path !== path.slice(1)) this.#refuse(455);
    else if (track === null || track.isSetUp) this.#refuse(404);
    else if (transport.lower === "tcp") {
      recording.takeInterleaved(track, transport.channels);
      this.#engine.setup({});
      this.#pump();
    } else {
      const pair = await this.#pair();
      // Another publisher may have taken the place meanwhile.
      if (pair === null || this.#recording !== recording) return;
      const from = { address: this.address, ports: transport.clientPort };
      recording.takeDatagrams(track, pair, from);
      this.#engine.setup({ serverPort: pair.ports });
      this.#pump();
    }
  }

  #record(): void {
    assert(this.#recording !== null, "what is recorded was announced");
    const refused = this.#recording.record();
    if (refused === null) this.#engine.record();
    else this.#refuse(refused.status, refused.reason);
  }

  /** The camera sends another codec, or nothing for good: players find out by asking again. */
  #streamEnded(): void {
    this.#reader?.goodbye();
    this.#end();
  }

  #endSession(how: PublishEnd): void {
    this.#playing = false;
    this.#joining = false;
    this.#reader?.close();
    this.#reader = null;
    const recording = this.#recording;
    this.#recording = null;
    recording?.end(how);
  }

  /** Closes the connection once everything is sent. */
  #end(): void {
    this.#endSession("lost");
    if (this.#outbox.waiting > 0) this.drop();
    else this.#socket.end();
  }

  #refuse(status: number, reason?: string): null {
    if (this.#closed) return null;
    this.#engine.refuse(status, reason);
    this.#pump();
    return null;
  }

  /** What throws here is a bug of ours; it ends this connection and nothing else. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#bug(error);
    }
  }

  #guarded(step: Promise<void>): Promise<void> {
    return step.catch((error: unknown) => this.#bug(error));
  }

  #bug(error: unknown): void {
    const stack = error instanceof Error ? error.stack : String(error);
    this.#site.counters.bugs++;
    this.#site.options.log.error("bug in an RTSP connection", { stack });
    this.drop();
  }
}

/** An IPv4 address as such, also when it came by a socket for both families. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}
