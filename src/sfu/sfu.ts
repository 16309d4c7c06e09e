/**
 * Viewers by WHEP: one media port, one session per viewer, packets from the streams' rings. The HTTP
 * around `offer` and `end` is the API's.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { Fault } from "../core/fault.ts";
import type { Millis, UnixMs } from "../core/units.ts";
import { monotonicMs, unixMs } from "../native/clock.ts";
import type { BatchCounters } from "../native/udp.ts";
import type { Latency } from "../rtc/playout-delay.ts";
import { looksLikeStun, readStun } from "../rtc/stun.ts";
import { writeAnswer } from "../rtc/whep-answer.ts";
import { type Choice, canPlay, chooseTracks } from "../rtc/whep-choice.ts";
import { readOffer, type WhepOffer } from "../rtc/whep-offer.ts";
import type { Track } from "../stream/track.ts";
import type { Log } from "../telemetry/log.ts";
import { createIdentity, type DtlsIdentity } from "./dtls.ts";
import { kindOf } from "./egress.ts";
import { drawSources, peerOf, type SessionSources, sendableOf, senderOptions } from "./plan.ts";
import { openProtection, type Protection } from "./protect.ts";
import { BURST_INTERVAL_MS, Room } from "./room.ts";
import { type MediaSocket, openSockets, type Path, pathKey } from "./sockets.ts";
import type { SfuStats, SfuTotals } from "./stats.ts";
import { type EndReason, type PromisedTrack, Viewer, type ViewerHost } from "./viewer.ts";

/** At 400 packets a second and 2.5 us each, a core is full. */
const VIEWERS_MAX = 1_000;
/** Handshakes cost milliseconds of this thread each; who comes now waits rather than the media. */
const CONNECTING_MAX = 64;
/** Deadlines are tens of seconds, reports one: a quarter of that is often enough. */
const TICK_INTERVAL_MS = 250;
/** RFC 3711 section 3.3.1: a first number below 2^15 is never taken for a wrapped one. */
const FIRST_SEQUENCE_MAX = 0x8000;
const CNAME = "onepull";

export interface SfuOptions {
  /** IP addresses of this machine to announce, best first, at least one; each gets a socket. */
  readonly addresses: readonly string[];
  /** Media port on all of them; 0 for any. */
  readonly port: number;
  readonly log: Log;
  /** False sends by Bun's socket, whatever the system has. */
  readonly batches?: boolean;
  /** How packets are protected; the fastest way that works here unless given. */
  readonly protection?: Protection;
  /** Cryptographically random bytes. */
  readonly random?: (length: number) => Uint8Array;
  readonly now?: () => Millis;
  readonly wall?: () => UnixMs;
}

/** What a viewer gets. */
export interface ViewerRequest {
  /** Names the camera in statistics and in `endCamera`. */
  readonly camera: string;
  /** The camera's own track or a rendition of it; `null` while there is none. */
  readonly video: Track | null;
  readonly audio: Track | null;
  readonly latency: Latency;
  /** Called once, when the session has ended for whatever reason: releases what was taken for it. */
  readonly ended?: () => void;
}

export class Sfu implements AsyncDisposable {
  readonly #log: Log;
  readonly #random: (length: number) => Uint8Array;
  readonly #now: () => Millis;
  readonly #wall: () => UnixMs;
  readonly #identity: DtlsIdentity;
  readonly #protection: Protection;
  readonly #totals: SfuTotals = {
    handshakes: 0,
    handshakeFailures: 0,
    nacks: 0,
    retransmitted: 0,
    pictureLosses: 0,
    bugs: 0,
  };
  readonly #host: ViewerHost;
  readonly #sessions = new Map<string, Viewer>();
  readonly #byUfrag = new Map<string, Viewer>();
  readonly #byPath = new Map<string, Viewer>();
  readonly #rooms = new Map<Track, Room>();
  #sockets: readonly MediaSocket[] = [];
  #ticks: Timer | null = null;
  #bursts: Timer | null = null;

  private constructor(options: SfuOptions, identity: DtlsIdentity) {
    this.#log = options.log;
    this.#random = options.random ?? randomBytes;
    this.#now = options.now ?? monotonicMs;
    this.#wall = options.wall ?? unixMs;
    this.#identity = identity;
    this.#protection = options.protection ?? openProtection();
    this.#host = {
      identity,
      protection: this.#protection,
      totals: this.#totals,
      log: this.#log,
      now: this.#now,
      wall: this.#wall,
      moved: (viewer, from, to) => this.#moved(viewer, from, to),
      ended: (viewer) => this.#forget(viewer),
    };
  }

  /**
   * Opens the media port. Whoever opens closes.
   * @throws Fault config_invalid when the port cannot be had
   */
  static async open(options: SfuOptions): Promise<Sfu> {
    const sfu = new Sfu(options, await createIdentity());
    const { addresses, port, batches = true } = options;
    sfu.#sockets = await openSockets({ addresses, port, batches }, (socket, datagram, from, port) =>
      sfu.#receive(socket, datagram, from, port),
    );
    sfu.#ticks = setInterval(() => sfu.#tick(), TICK_INTERVAL_MS);
    sfu.#report();
    return sfu;
  }

  /** The media port. */
  get port(): number {
    return this.#sockets[0]?.port ?? 0;
  }

  /**
   * Reads a viewer's offer; nothing begins.
   * @throws Fault offer_invalid
   */
  read(sdp: string): WhepOffer {
    return readOffer(sdp);
  }

  /** Whether the viewer can play the track as it is. */
  canPlay(offer: WhepOffer, track: Track): boolean {
    return canPlay(offer, sendableOf(track));
  }

  /**
   * Answers a viewer's offer. The session lives until its viewer leaves or is not heard of, until
   * one of its tracks ends, or until someone ends it. When this throws, `ended` is not called.
   * @throws Fault codec_mismatch, limit_reached
   */
  answer(
    offer: WhepOffer,
    request: ViewerRequest,
  ): { readonly session: string; readonly sdp: string } {
    this.#admit();
    const { video, audio, camera, latency, ended } = request;
    const choice = chooseTracks(offer, {
      video: video && sendableOf(video),
      audio: audio && sendableOf(audio),
    });
    const sources = drawSources(this.#number32());
    const session = this.#hex(16);
    const ice = { ufrag: this.#hex(8), password: this.#hex(16) };
    const tracks = this.#promised(choice, request, sources);
    const viewer = new Viewer(this.#host, {
      session,
      camera,
      ice,
      ...peerOf(choice),
      tracks,
      cname: CNAME,
      since: this.#wall(),
      ended,
    });
    this.#sessions.set(session, viewer);
    this.#byUfrag.set(ice.ufrag, viewer);
    const sdp = writeAnswer(offer, choice, {
      ice,
      fingerprint: this.#identity.fingerprint,
      addresses: this.#sockets.map(({ address }) => address),
      port: this.port,
      ...sources,
      cname: CNAME,
      stream: CNAME,
      sessionId: String(this.#number32()),
      playoutDelay: latency !== "default",
    });
    return { session, sdp };
  }

  /** Ends one session (WHEP DELETE). False when there is none of this name. */
  end(session: string): boolean {
    const viewer = this.#sessions.get(session);
    viewer?.end("deleted");
    return viewer !== undefined;
  }

  /** Ends all sessions of a camera that is removed. */
  endCamera(camera: string): void {
    this.#endAll("camera removed", (viewer) => viewer.camera === camera);
  }

  /** Ends all sessions that are sent this track as it is: browsers cannot show it. */
  endTrack(track: Track): void {
    const room = this.#rooms.get(track);
    if (room) this.#endAll("track cannot be shown", (viewer) => viewer.uses(room));
  }

  stats(): SfuStats {
    const egresses = this.#sockets.map(({ egress }) => egress);
    const first = egresses[0];
    const sum = (key: keyof BatchCounters) =>
      egresses.reduce((total, { counters }) => total + counters[key], 0);
    return {
      ...this.#totals,
      crypto: this.#protection.kind,
      send: first === undefined ? "bun" : kindOf(first),
      packets: sum("packets"),
      bytes: sum("bytes"),
      refused: sum("refused"),
      dropped: this.#sockets.reduce((total, socket) => total + socket.sendErrors, sum("dropped")),
      systemCalls: sum("systemCalls"),
      viewers: [...this.#sessions.values()].map((viewer) => viewer.stats()),
    };
  }

  /** Ends all sessions and gives the port back. Idempotent. */
  async close(): Promise<void> {
    this.#endAll("shut down", () => true);
    if (this.#ticks !== null) clearInterval(this.#ticks);
    this.#stopBursts();
    for (const socket of this.#sockets) socket.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #admit(): void {
    if (this.#sessions.size >= VIEWERS_MAX) {
      throw new Fault("limit_reached", `There are ${VIEWERS_MAX} viewers already; try later.`);
    }
    let connecting = 0;
    for (const viewer of this.#sessions.values()) if (!viewer.connected) connecting++;
    if (connecting >= CONNECTING_MAX) {
      throw new Fault("limit_reached", "Too many viewers are connecting; try in a few seconds.");
    }
  }

  /** Video first. */
  #promised(choice: Choice, request: ViewerRequest, sources: SessionSources): PromisedTrack[] {
    const promised: PromisedTrack[] = [];
    for (const kind of ["video", "audio"] as const) {
      const chosen = choice[kind];
      const track = request[kind];
      if (chosen === null || track === null) continue;
      const firsts = [this.#firstSequence(), this.#firstSequence()] as const;
      const numbers = senderOptions(chosen, sources[kind], firsts, request.latency);
      promised.push({ room: this.#room(track), numbers });
    }
    return promised;
  }

  #firstSequence(): number {
    return this.#number32() % FIRST_SEQUENCE_MAX;
  }

  #room(track: Track): Room {
    let room = this.#rooms.get(track);
    if (room === undefined) {
      const host = {
        flush: () => this.#flush(),
        behind: () => this.#startBursts(),
        ended: (ended: Room) => this.#endAll("track ended", (viewer) => viewer.uses(ended)),
      };
      room = new Room(track, host, this.#now());
      this.#rooms.set(track, room);
    }
    return room;
  }

  /** RFC 7983 section 7: the first byte says which protocol a datagram is. */
  #receive(socket: MediaSocket, datagram: Uint8Array, address: string, port: number): void {
    const first = datagram[0] ?? 255;
    if (looksLikeStun(datagram)) {
      const message = readStun(datagram);
      const ufrag = message?.username.split(":", 1)[0] ?? "";
      if (message) this.#byUfrag.get(ufrag)?.check(socket, datagram, message, { address, port });
      return;
    }
    const viewer = this.#byPath.get(pathKey(socket, address, port));
    if (first >= 20 && first <= 63) viewer?.handshake(datagram);
    else if (first >= 128 && first <= 191) viewer?.control(datagram);
  }

  #moved(viewer: Viewer, from: Path | null, to: Path): void {
    if (from !== null && this.#byPath.get(from.key) === viewer) this.#byPath.delete(from.key);
    this.#byPath.set(to.key, viewer);
  }

  #forget(viewer: Viewer): void {
    const { path } = viewer;
    this.#sessions.delete(viewer.session);
    this.#byUfrag.delete(viewer.ufrag);
    if (path !== null && this.#byPath.get(path.key) === viewer) this.#byPath.delete(path.key);
    const others = [...this.#sessions.values()];
    for (const room of [...this.#rooms.values()]) {
      if (!viewer.uses(room) || others.some((other) => other.uses(room))) continue;
      room.close();
      this.#rooms.delete(room.track);
    }
  }

  #endAll(reason: EndReason, which: (viewer: Viewer) => boolean): void {
    for (const viewer of [...this.#sessions.values()]) if (which(viewer)) viewer.end(reason);
  }

  #tick(): void {
    const now = this.#now();
    for (const viewer of [...this.#sessions.values()]) viewer.tick(now);
  }

  #startBursts(): void {
    this.#bursts ??= setInterval(() => {
      let behind = false;
      for (const room of this.#rooms.values()) if (room.advance()) behind = true;
      if (!behind) this.#stopBursts();
    }, BURST_INTERVAL_MS);
  }

  #stopBursts(): void {
    if (this.#bursts !== null) clearInterval(this.#bursts);
    this.#bursts = null;
  }

  #flush(): void {
    for (const { egress } of this.#sockets) egress.flush();
  }

  /** Says once, at the start, what media goes out by. */
  #report(): void {
    const { crypto, send } = this.stats();
    const fields = { port: this.port, crypto, send };
    if (crypto === "ffi" && send !== "bun") this.#log.info("media port open", fields);
    else this.#log.warn("media port open without the fast path: several times the CPU", fields);
  }

  #number32(): number {
    return new DataView(Uint8Array.from(this.#random(4)).buffer).getUint32(0);
  }

  #hex(bytes: number): string {
    return Uint8Array.from(this.#random(bytes)).toHex();
  }
}
