/**
 * One WHEP session: ICE, then DTLS, then media, until someone ends it. Whatever goes wrong inside
 * ends this session and no other.
 *
 * @module
 */
import type { Millis, UnixMs } from "../core/units.ts";
import { Destination } from "../native/udp.ts";
import type { TransportAddress } from "../rtc/address.ts";
import { type IceCredentials, IceLite } from "../rtc/ice-lite.ts";
import { type MasterKeys, rtcpSessionKeys, rtpSessionKeys } from "../rtc/srtp.ts";
import type { StunMessage } from "../rtc/stun.ts";
import type { Log } from "../telemetry/log.ts";
import { Conversation, UNHEARD } from "./conversation.ts";
import { type DtlsIdentity, DtlsPeer } from "./dtls.ts";
import { aesBlock, hmacSha1 } from "./primitives.ts";
import type { Protection, Protector } from "./protect.ts";
import type { Room } from "./room.ts";
import { Sender, type SenderOptions } from "./sender.ts";
import { type MediaPort, type Path, pathKey } from "./sockets.ts";
import { SrtcpReceiver, SrtcpSender } from "./srtcp.ts";
import type { SfuTotals, ViewerStats } from "./stats.ts";
import { ViewerTrack } from "./viewer-track.ts";

/** From the first check to the end of the handshake: a second or two over the worst network. */
const HANDSHAKE_TIMEOUT_MS = 15_000;

/** What a session needs of the part it belongs to. */
export interface ViewerHost {
  readonly identity: DtlsIdentity;
  readonly protection: Protection;
  readonly totals: SfuTotals;
  readonly log: Log;
  now(): Millis;
  wall(): UnixMs;
  /** The viewer is reached another way; `null` before the first. */
  moved(viewer: Viewer, from: Path | null, to: Path): void;
  ended(viewer: Viewer): void;
}

/** A track that the answer promised. */
export interface PromisedTrack {
  readonly room: Room;
  readonly numbers: SenderOptions;
}

export interface ViewerOptions {
  readonly session: string;
  readonly camera: string;
  /** Our credentials. */
  readonly ice: IceCredentials;
  /** The viewer's. */
  readonly remoteUfrag: string;
  /** One of them is its certificate's; see ReceivingSection. */
  readonly fingerprints: readonly string[];
  /** At least one, video first. */
  readonly tracks: readonly PromisedTrack[];
  readonly cname: string;
  readonly since: UnixMs;
  /** Called once, when the session has ended for whatever reason. */
  readonly ended?: (() => void) | undefined;
}

/** Why a session ended, for people. */
export type EndReason =
  | "deleted"
  | "camera removed"
  | "track ended"
  | "track cannot be shown"
  | "shut down"
  | "viewer left"
  | "no connectivity check came"
  | "consent expired"
  | "handshake timed out"
  | "handshake failed"
  | "bug";

type State =
  /** `handshakeDeadline` is infinite until the first check. */
  | { readonly at: "connecting"; readonly handshakeDeadline: Millis }
  | {
      readonly at: "playing";
      readonly tracks: readonly ViewerTrack[];
      readonly protector: Protector;
      readonly conversation: Conversation;
    }
  | { readonly at: "ended" };

export class Viewer {
  readonly session: string;
  readonly camera: string;
  readonly ufrag: string;
  readonly #host: ViewerHost;
  readonly #options: ViewerOptions;
  readonly #ice: IceLite;
  readonly #dtls: DtlsPeer;
  readonly #started: Millis;
  #path: Path | null = null;
  #state: State = { at: "connecting", handshakeDeadline: Number.POSITIVE_INFINITY };
  #firstMediaMs: number | null = null;

  constructor(host: ViewerHost, options: ViewerOptions) {
    const now = host.now();
    this.session = options.session;
    this.camera = options.camera;
    this.ufrag = options.ice.ufrag;
    this.#host = host;
    this.#options = options;
    this.#started = now;
    this.#ice = new IceLite(options.ice, options.remoteUfrag, hmacSha1, now);
    this.#dtls = new DtlsPeer(host.identity, options.fingerprints, {
      send: (datagram) => this.#reply(datagram),
      connected: (keys) => this.#guard(() => this.#play(keys)),
      failed: (reason) => this.#handshakeFailed(reason),
      closed: () => this.end("viewer left"),
    });
  }

  /** False while ICE or DTLS is under way. */
  get connected(): boolean {
    return this.#state.at === "playing";
  }

  /** How the viewer is reached; `null` before its first check. */
  get path(): Path | null {
    return this.#path;
  }

  /** Takes a STUN message whose username names this session. */
  check(
    socket: MediaPort,
    datagram: Uint8Array,
    message: StunMessage,
    from: TransportAddress,
  ): void {
    this.#guard(() => {
      const key = pathKey(socket, from.address, from.port);
      const reply = this.#ice.handle(datagram, message, from, key, this.#host.now());
      if (reply.kind === "silence") return;
      socket.send(reply.bytes, from);
      if (reply.kind === "selected") {
        this.#move({ socket, to: new Destination(from.address, from.port), key });
      }
    });
  }

  /** Takes a DTLS datagram from the viewer's path. */
  handshake(datagram: Uint8Array): void {
    this.#guard(() => this.#dtls.receive(datagram));
  }

  /** Takes an SRTCP datagram from the viewer's path. */
  control(datagram: Uint8Array): void {
    const state = this.#state;
    if (state.at === "playing") this.#guard(() => state.conversation.receive(datagram));
  }

  /** Whether this session plays, or will play, the room's track. */
  uses(room: Room): boolean {
    return this.#options.tracks.some((track) => track.room === room);
  }

  /** Time has passed: ends what is overdue, reports what is due. */
  tick(now: Millis): void {
    const state = this.#state;
    if (state.at === "ended") return;
    if (now >= this.#ice.deadline) {
      this.end(this.#ice.connected ? "consent expired" : "no connectivity check came");
    } else if (state.at === "connecting" && now >= state.handshakeDeadline) {
      this.#host.totals.handshakeFailures++;
      this.end("handshake timed out");
    } else if (state.at === "playing") {
      this.#guard(() => state.conversation.tick(now));
    }
  }

  /** Ends the session, says goodbye where that may be heard. Idempotent. */
  end(reason: EndReason): void {
    const state = this.#state;
    if (state.at === "ended") return;
    this.#state = { at: "ended" };
    // Whoever ends a viewer may be looking after all of them: what goes wrong here is noted only.
    this.#attempt(() => {
      if (state.at !== "playing") return;
      for (const track of state.tracks) track.room.leave(track);
      state.conversation.bye();
      state.protector.free();
    });
    this.#attempt(() => this.#dtls.close());
    this.#host.log.info("viewer ended", { camera: this.camera, viewer: this.ufrag, reason });
    this.#host.ended(this);
    this.#attempt(() => this.#options.ended?.());
  }

  /** What is known of the session now. */
  stats(): ViewerStats {
    const state = this.#state;
    const playing = state.at === "playing" ? state : null;
    const tracks = playing?.tracks.map(({ stats }) => stats) ?? [];
    const sum = (key: "packets" | "bytes" | "retransmitted") =>
      tracks.reduce((total, track) => total + track[key], 0);
    return {
      session: this.session,
      camera: this.camera,
      connected: playing !== null,
      state: playing?.tracks[0]?.sender.state ?? "connecting",
      since: this.#options.since,
      firstMediaMs: this.#firstMediaMs,
      packets: sum("packets"),
      bytes: sum("bytes"),
      retransmitted: sum("retransmitted"),
      lostFraction: tracks[0]?.lostFraction ?? null,
      ...(playing?.conversation.facts ?? UNHEARD),
      tracks,
    };
  }

  #move(path: Path): void {
    const state = this.#state;
    const from = this.#path;
    if (state.at === "ended") return;
    this.#path = path;
    if (state.at === "playing") for (const { sender } of state.tracks) sender.path = path;
    if (state.at === "connecting" && from === null) {
      this.#state = {
        at: "connecting",
        handshakeDeadline: this.#host.now() + HANDSHAKE_TIMEOUT_MS,
      };
    }
    this.#host.moved(this, from, path);
  }

  #reply(datagram: Uint8Array): void {
    this.#path?.socket.send(datagram, this.#path.to);
  }

  #play({ local, remote }: { readonly local: MasterKeys; readonly remote: MasterKeys }): void {
    const { protection, totals, log } = this.#host;
    const path = this.#path;
    if (this.#state.at !== "connecting" || path === null) return;
    const protector = protection.protector(rtpSessionKeys(local, aesBlock));
    const tracks = this.#options.tracks.map(
      ({ room, numbers }) =>
        new ViewerTrack(room, numbers.ssrc, new Sender(room.track, path, protector, numbers), {
          began: (now) => this.#began(now),
          crashed: (error) => this.#crash(error),
        }),
    );
    const conversation = new Conversation({
      tracks,
      cname: this.#options.cname,
      totals,
      outgoing: new SrtcpSender(rtcpSessionKeys(local, aesBlock)),
      incoming: new SrtcpReceiver(rtcpSessionKeys(remote, aesBlock)),
      now: () => this.#host.now(),
      wall: () => this.#host.wall(),
      path: () => this.#path ?? path,
      left: () => this.end("viewer left"),
    });
    this.#state = { at: "playing", tracks, protector, conversation };
    totals.handshakes++;
    log.info("viewer connected", {
      camera: this.camera,
      viewer: this.ufrag,
      address: path.to.address,
    });
    // Joining sends, and what goes wrong there ends the session.
    for (const track of tracks) if (this.connected) track.room.join(track, this.#host.now());
  }

  /** A track has begun: the viewer is told at once which capture time its timestamps stand for. */
  #began(now: Millis): void {
    this.#firstMediaMs ??= now - this.#started;
    if (this.#state.at === "playing") this.#state.conversation.report(now);
  }

  #handshakeFailed(reason: string): void {
    this.#host.totals.handshakeFailures++;
    this.#host.log.warn("viewer handshake failed", { camera: this.camera, reason });
    this.end("handshake failed");
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#crash(error);
    }
  }

  #crash(error: unknown): void {
    this.#noteBug(error);
    this.end("bug");
  }

  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#noteBug(error);
    }
  }

  #noteBug(error: unknown): void {
    this.#host.totals.bugs++;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#host.log.error("viewer crashed", {
      camera: this.camera,
      viewer: this.ufrag,
      error: text,
    });
  }
}
