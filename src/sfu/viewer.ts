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
import type { WhepOffer } from "../rtc/whep-offer.ts";
import type { Log } from "../telemetry/log.ts";
import { Conversation, UNHEARD } from "./conversation.ts";
import { type DtlsIdentity, DtlsPeer } from "./dtls.ts";
import { aesBlock, hmacSha1 } from "./primitives.ts";
import type { Protection } from "./protect.ts";
import type { Room } from "./room.ts";
import { Sender, type SenderOptions } from "./sender.ts";
import { type MediaPort, type Path, pathKey } from "./sockets.ts";
import { SrtcpReceiver, SrtcpSender } from "./srtcp.ts";
import type { SfuTotals, ViewerStats } from "./stats.ts";

/** From the first check to the end of the handshake: a second or two over the worst network. */
const HANDSHAKE_TIMEOUT_MS = 15_000;

/** What a session needs of the part it belongs to. */
export interface ViewerHost {
  readonly identity: DtlsIdentity;
  readonly protection: Protection;
  readonly totals: SfuTotals;
  readonly log: Log;
  now(): Millis;
  /** The viewer is reached another way; `null` before the first. */
  moved(viewer: Viewer, from: Path | null, to: Path): void;
  ended(viewer: Viewer): void;
}

export interface ViewerOptions {
  readonly session: string;
  readonly camera: string;
  readonly offer: WhepOffer;
  readonly ice: IceCredentials;
  readonly numbers: SenderOptions;
  readonly cname: string;
  readonly since: UnixMs;
}

/** Why a session ended, for people. */
export type EndReason =
  | "deleted"
  | "camera removed"
  | "track ended"
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
  | { readonly at: "playing"; readonly sender: Sender; readonly conversation: Conversation }
  | { readonly at: "ended" };

export class Viewer {
  readonly session: string;
  readonly camera: string;
  readonly ufrag: string;
  readonly room: Room;
  readonly #host: ViewerHost;
  readonly #options: ViewerOptions;
  readonly #ice: IceLite;
  readonly #dtls: DtlsPeer;
  readonly #started: Millis;
  #path: Path | null = null;
  #state: State = { at: "connecting", handshakeDeadline: Number.POSITIVE_INFINITY };
  #firstMediaMs: number | null = null;

  constructor(host: ViewerHost, room: Room, options: ViewerOptions) {
    const now = host.now();
    this.session = options.session;
    this.camera = options.camera;
    this.ufrag = options.ice.ufrag;
    this.room = room;
    this.#host = host;
    this.#options = options;
    this.#started = now;
    this.#ice = new IceLite(options.ice, options.offer.iceUfrag, hmacSha1, now);
    this.#dtls = new DtlsPeer(host.identity, options.offer.fingerprints, {
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

  /** Packets up to but without `to` are there. Commits; the room flushes and settles. */
  media(to: number, now: Millis): void {
    const state = this.#state;
    if (state.at !== "playing") return;
    try {
      state.sender.media(to);
    } catch (error) {
      this.#crash(error);
      return;
    }
    if (this.#firstMediaMs === null && state.sender.counters.packets > 0) {
      this.#firstMediaMs = now - this.#started;
      state.conversation.report(now);
    }
  }

  /** Catches up by about `bytes`. Commits; the room flushes and settles. */
  advance(to: number, bytes: number): void {
    const state = this.#state;
    if (state.at !== "playing") return;
    try {
      state.sender.advance(to, bytes);
    } catch (error) {
      this.#crash(error);
    }
  }

  /** What was committed was flushed. True while the viewer is behind, and wants to be advanced. */
  settle(): boolean {
    const state = this.#state;
    if (state.at !== "playing") return false;
    state.sender.settle();
    return state.sender.state === "burst";
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
    this.room.leave(this);
    try {
      if (state.at === "playing") {
        state.conversation.bye();
        state.sender.free();
      }
      this.#dtls.close();
    } catch (error) {
      // Whoever ends a viewer may be looking after all of them.
      this.#noteBug(error);
    }
    this.#host.log.info("viewer ended", { camera: this.camera, viewer: this.ufrag, reason });
    this.#host.ended(this);
  }

  /** What is known of the session now. */
  stats(): ViewerStats {
    const state = this.#state;
    const playing = state.at === "playing";
    return {
      session: this.session,
      camera: this.camera,
      connected: playing,
      state: playing ? state.sender.state : "connecting",
      since: this.#options.since,
      firstMediaMs: this.#firstMediaMs,
      packets: playing ? state.sender.counters.packets : 0,
      bytes: playing ? state.sender.counters.payloadBytes : 0,
      retransmitted: playing ? state.sender.counters.retransmitted : 0,
      ...(playing ? state.conversation.facts : UNHEARD),
    };
  }

  #move(path: Path): void {
    const state = this.#state;
    const from = this.#path;
    if (state.at === "ended") return;
    this.#path = path;
    if (state.at === "playing") state.sender.path = path;
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
    const { numbers, cname } = this.#options;
    const path = this.#path;
    if (this.#state.at !== "connecting" || path === null) return;
    const { track } = this.room;
    const protector = protection.protector(rtpSessionKeys(local, aesBlock));
    const sender = new Sender(track, path, protector, numbers);
    const conversation = new Conversation({
      sender,
      room: this.room,
      ssrc: numbers.ssrc,
      cname,
      totals,
      outgoing: new SrtcpSender(rtcpSessionKeys(local, aesBlock)),
      incoming: new SrtcpReceiver(rtcpSessionKeys(remote, aesBlock)),
      now: () => this.#host.now(),
      left: () => this.end("viewer left"),
    });
    this.#state = { at: "playing", sender, conversation };
    totals.handshakes++;
    log.info("viewer connected", {
      camera: this.camera,
      viewer: this.ufrag,
      address: path.to.address,
    });
    this.room.join(this, this.#host.now());
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
