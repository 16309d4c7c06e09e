/**
 * A viewer without a decoder: WHEP, ICE, DTLS and SRTP for real, then it only counts. Cheap enough
 * to run a hundred beside the hub they load.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { DtlsClient } from "werift";
import { monotonicMs } from "../../src/native/clock.ts";
import { findDescriptor, prepareDescriptor } from "../../src/native/udp.ts";
import {
  MASTER_KEY_BYTES,
  rtcpSessionKeys,
  rtpSessionKeys,
  type SrtpProfile,
  saltBytes,
} from "../../src/rtc/srtp.ts";
import { BINDING_SUCCESS, readStun, writeBindingRequest } from "../../src/rtc/stun.ts";
import { readU32, writeU16, writeU32 } from "../../src/rtp/header.ts";
import { RTCP_BYE, RTCP_RTPFB } from "../../src/rtp/rtcp.ts";
import { createIdentity, type DtlsIdentity } from "../../src/sfu/dtls.ts";
import { aesBlock, hmacSha1 } from "../../src/sfu/primitives.ts";
import { SrtcpReceiver, SrtcpSender } from "../../src/sfu/srtcp.ts";
import { type AnswerFacts, readLightAnswer, writeLightOffer } from "./offer.ts";
import { type OpenedPacket, SrtpReceiver } from "./srtp-receiver.ts";

/** Sends the offer wherever it belongs; resolves to the answer. */
export type Exchange = (offer: string) => Promise<string> | string;

export interface LightViewerOptions {
  /** Offered to DTLS, in this order of preference of the server. */
  readonly profiles?: readonly SrtpProfile[];
  readonly retransmission?: boolean;
  readonly audio?: boolean;
  /** Open and check one packet of so many; 1 checks all. */
  readonly verifyEvery?: number;
  /** Gets every packet that was checked. */
  readonly onPacket?: (packet: OpenedPacket) => void;
  /** Gets every RTCP compound packet. */
  readonly onControl?: (packet: Uint8Array) => void;
  /** Gets arrival time (CLOCK_MONOTONIC, ms) and RTP timestamp of packets with the marker bit. */
  readonly onMarker?: (timestamp: number, arrived: number) => void;
  /** True throws the datagram away, as if the network had lost it. */
  readonly lose?: (datagram: Uint8Array) => boolean;
  readonly identity?: DtlsIdentity;
}

/** What arrived so far. */
export interface LightCounters {
  packets: number;
  bytes: number;
  /** Sequence numbers that were skipped. */
  gaps: number;
  verified: number;
  notAuthentic: number;
}

const CHECK_RETRY_MS = 100;
const CONSENT_CHECK_MS = 2_500;
const CONNECT_TIMEOUT_MS = 20_000;
/** RFC 8445 section 5.1.2.1: a peer-reflexive candidate. */
const PRIORITY = 0x6effffff;

interface Keys {
  readonly media: SrtpReceiver;
  readonly incoming: SrtcpReceiver;
  readonly outgoing: SrtcpSender;
}

let shared: Promise<DtlsIdentity> | null = null;

export class LightViewer {
  readonly counters: LightCounters = {
    packets: 0,
    bytes: 0,
    gaps: 0,
    verified: 0,
    notAuthentic: 0,
  };
  /** From the offer to the end of the handshake, in milliseconds; 0 before. */
  connectMs = 0;
  /** From the offer to the first packet, in milliseconds; 0 before. */
  firstPacketMs = 0;
  answer: AnswerFacts | null = null;

  readonly #options: LightViewerOptions;
  readonly #verifyEvery: number;
  readonly #started = monotonicMs();
  readonly #ufrag = randomBytes(4).toString("hex");
  readonly #tieBreaker = randomBytes(8);
  readonly #checked = Promise.withResolvers<void>();
  #socket: Bun.udp.Socket<"buffer"> | null = null;
  #checks: Timer | null = null;
  #deliver: (record: Buffer) => void = () => {};
  #client: DtlsClient | null = null;
  #keys: Keys | null = null;
  #lastSequence = -1;

  private constructor(options: LightViewerOptions) {
    this.#options = options;
    this.#verifyEvery = options.verifyEvery ?? 500;
  }

  /** Connects; the video comes from then on. Throws after 20 s. */
  static async connect(exchange: Exchange, options: LightViewerOptions = {}): Promise<LightViewer> {
    shared ??= createIdentity();
    const viewer = new LightViewer(options);
    try {
      await viewer.#connect(exchange, options.identity ?? (await shared));
    } catch (error) {
      viewer.close();
      throw error;
    }
    return viewer;
  }

  /** Asks for packets of a track, the video unless told, to be sent again (RFC 4585 section 6.2.1). */
  nack(sequences: readonly number[], ssrc = this.answer?.ssrc ?? 0): void {
    const b = new Uint8Array(12 + 4 * sequences.length);
    b[0] = 0x81;
    b[1] = RTCP_RTPFB;
    writeU16(b, 2, b.length / 4 - 1);
    writeU32(b, 8, ssrc);
    for (const [i, sequence] of sequences.entries()) writeU16(b, 12 + 4 * i, sequence);
    this.control(b);
  }

  /** Sends an RTCP packet. */
  control(packet: Uint8Array): void {
    if (this.#keys) this.#send(this.#keys.outgoing.protect(packet));
  }

  /** Sends raw bytes from the viewer's address. */
  inject(datagram: Uint8Array): void {
    this.#send(datagram);
  }

  /** Goes on from another port, as after a change of network. */
  async move(): Promise<void> {
    const before = this.#socket;
    this.#socket = await this.#open(this.answer?.address ?? "");
    before?.close();
    this.#check();
  }

  /** Says goodbye, then stops. */
  leave(): void {
    this.control(Uint8Array.of(0x81, RTCP_BYE, 0, 1, 0, 0, 0, 0));
    this.close();
  }

  /** Stops at once, without a word to the other side. Idempotent. */
  close(): void {
    if (this.#checks !== null) clearInterval(this.#checks);
    this.#checks = null;
    this.#socket?.close();
    this.#socket = null;
    // werift repeats its flights for 33 s unless it believes that the server went on.
    if (this.#client) this.#client.dtls.flight = Number.MAX_SAFE_INTEGER;
  }

  async #connect(exchange: Exchange, identity: DtlsIdentity): Promise<void> {
    const password = randomBytes(16).toString("hex");
    const { fingerprint } = identity;
    const { retransmission = true, audio = false } = this.#options;
    const ufrag = this.#ufrag;
    const offer = writeLightOffer({ ufrag, password, fingerprint, retransmission, audio });
    const answer = readLightAnswer(await exchange(offer));
    this.answer = answer;
    this.#socket = await this.#open(answer.address);
    const deadline = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => deadline.reject(new Error("the hub does not answer")),
      CONNECT_TIMEOUT_MS,
    );
    try {
      this.#check();
      this.#checks = setInterval(() => this.#check(), CHECK_RETRY_MS);
      await Promise.race([this.#checked.promise, deadline.promise]);
      clearInterval(this.#checks);
      this.#checks = setInterval(() => this.#check(), CONSENT_CHECK_MS);
      await Promise.race([this.#handshake(identity), deadline.promise]);
    } finally {
      clearTimeout(timer);
    }
    this.connectMs = monotonicMs() - this.#started;
  }

  /** A socket that reaches the hub's address, on this machine. */
  async #open(hub: string): Promise<Bun.udp.Socket<"buffer">> {
    const hostname = hub.includes(":") ? "::1" : "127.0.0.1";
    const socket = await Bun.udpSocket({
      hostname,
      port: 0,
      socket: { data: (_socket, datagram) => this.#receive(datagram), error() {} },
    });
    const descriptor = findDescriptor(hostname, socket.port);
    if (descriptor >= 0) prepareDescriptor(descriptor);
    return socket;
  }

  #check(): void {
    if (this.answer === null) return;
    const check = {
      transaction: randomBytes(12),
      username: `${this.answer.ufrag}:${this.#ufrag}`,
      priority: PRIORITY,
      tieBreaker: this.#tieBreaker,
      useCandidate: true,
    };
    const key = new TextEncoder().encode(this.answer.password);
    this.#send(writeBindingRequest(check, key, hmacSha1));
  }

  async #handshake({ certPem, keyPem, signatureHash }: DtlsIdentity): Promise<void> {
    const transport = {
      type: "udp",
      address: { address: "", family: "", port: 0 },
      closed: false,
      onData: (_record: Buffer) => {},
      send: async (datagram: Buffer) => this.#send(datagram),
      close: async () => {},
    };
    const client = new DtlsClient({
      cert: certPem,
      key: keyPem,
      signatureHash,
      transport,
      srtpProfiles: [...(this.#options.profiles ?? [7, 1])],
      extendedMasterSecret: true,
    });
    this.#client = client;
    this.#deliver = (datagram) => transport.onData(datagram);
    const done = Promise.withResolvers<void>();
    client.onConnect.once(() => done.resolve());
    client.onError.subscribe((error) => done.reject(error));
    client.connect().catch((error) => done.reject(error));
    await done.promise;
    this.#keys = keysOf(client);
  }

  #send(datagram: Uint8Array): void {
    if (this.answer === null || this.#socket === null || this.#socket.closed) return;
    this.#socket.send(datagram, this.answer.port, this.answer.address);
  }

  #receive(b: Buffer): void {
    const first = b[0]!;
    if (first >= 128) {
      if (b[1]! >= 192 && b[1]! <= 223) this.#control(b);
      else this.#media(b);
    } else if (first < 4) {
      if (readStun(b)?.type === BINDING_SUCCESS) this.#checked.resolve();
    } else this.#deliver(Buffer.from(b));
  }

  #control(b: Buffer): void {
    const packet = this.#keys?.incoming.unprotect(b);
    if (packet) this.#options.onControl?.(packet);
  }

  #media(b: Buffer): void {
    const { counters } = this;
    if (this.#options.lose?.(b)) return;
    if (counters.packets === 0) this.firstPacketMs = monotonicMs() - this.#started;
    counters.packets++;
    counters.bytes += b.length;
    if ((b[1]! & 0x80) !== 0) this.#options.onMarker?.(readU32(b, 4), monotonicMs());
    const ssrc = readU32(b, 8);
    const sequence = (b[2]! << 8) | b[3]!;
    if (ssrc === this.answer?.ssrc) {
      const step = ((sequence - this.#lastSequence) << 16) >> 16;
      if (this.#lastSequence >= 0 && step > 1) counters.gaps += step - 1;
      if (this.#lastSequence < 0 || step > 0) this.#lastSequence = sequence;
    }
    if (counters.packets % this.#verifyEvery === 0) this.#verify(b);
    else if ((sequence & 0x3fff) === 0) this.#keys?.media.pass(ssrc, sequence);
  }

  #verify(b: Buffer): void {
    const packet = this.#keys?.media.open(b);
    if (packet) {
      this.counters.verified++;
      this.#options.onPacket?.(packet);
    } else this.counters.notAuthentic++;
  }
}

function keysOf(client: DtlsClient): Keys {
  const profile = client.srtp.srtpProfile;
  if (profile === undefined) throw new Error("the hub took no SRTP profile");
  const keys = client.extractSessionKeys(MASTER_KEY_BYTES, saltBytes(profile));
  const local = { profile, key: keys.localKey, salt: keys.localSalt };
  const remote = { profile, key: keys.remoteKey, salt: keys.remoteSalt };
  return {
    media: new SrtpReceiver(rtpSessionKeys(remote, aesBlock)),
    incoming: new SrtcpReceiver(rtcpSessionKeys(remote, aesBlock)),
    outgoing: new SrtcpSender(rtcpSessionKeys(local, aesBlock)),
  };
}
