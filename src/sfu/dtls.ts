/**
 * The DTLS server of one viewer: werift's, with what it leaves out. werift 0.25.2 checks neither the
 * client's CertificateVerify nor its Finished, starts anew on a forged ClientHello, ends on a forged
 * alert, and derives wrong keys from repeated or reordered messages. Here every record passes a
 * gate, the client's flight is taken once and in order, and both proofs are verified before werift
 * sees Finished.
 *
 * @module
 */
import { createHash, createHmac, timingSafeEqual, verify, X509Certificate } from "node:crypto";
import {
  CipherContext,
  DtlsServer,
  HashAlgorithm,
  NamedCurveAlgorithm,
  SignatureAlgorithm,
  type SignatureHash,
} from "werift";
import {
  ALERT,
  type DtlsRecord,
  HANDSHAKE,
  handshakeIsSound,
  helloHasCookie,
  RECORD_HEADER_BYTES,
  readRecords,
  writeRecordHeader,
} from "../rtc/dtls-record.ts";
import {
  MASTER_KEY_BYTES,
  type MasterKeys,
  SRTP_PROFILES,
  type SrtpProfile,
  saltBytes,
} from "../rtc/srtp.ts";
import { quickenKeyExchange } from "./x25519.ts";

/** The hub's certificate, made at start-up; viewers know it by its fingerprint. */
export interface DtlsIdentity {
  readonly certPem: string;
  readonly keyPem: string;
  readonly signatureHash: SignatureHash;
  /** SHA-256, upper case with colons, as in `a=fingerprint`. */
  readonly fingerprint: string;
}

/** Makes a self-signed ECDSA certificate (RFC 8827 section 6.5). */
export async function createIdentity(): Promise<DtlsIdentity> {
  quickenKeyExchange();
  const made = await CipherContext.createSelfSignedCertificateWithKey(
    { signature: SignatureAlgorithm.ecdsa_3, hash: HashAlgorithm.sha256_4 },
    NamedCurveAlgorithm.secp256r1_23,
  );
  return { ...made, fingerprint: new X509Certificate(made.certPem).fingerprint256 };
}

/** What a handshake tells its owner. At most one of `connected` and `failed`, once. */
export interface DtlsHandler {
  /** Borrowed until it returns. */
  send(datagram: Uint8Array): void;
  /** Keys by direction: what the hub sends with, and what the viewer does. */
  connected(keys: { readonly local: MasterKeys; readonly remote: MasterKeys }): void;
  failed(reason: string): void;
  /** The viewer said goodbye. */
  closed(): void;
}

const CLIENT_HELLO = 1;
const CERTIFICATE = 11;
const CERTIFICATE_VERIFY = 15;
const CLIENT_KEY_EXCHANGE = 16;
const FINISHED = 20;
/** RFC 5246 section 7.3, with a client certificate. ChangeCipherSpec is no handshake message. */
const CLIENT_FLIGHT: readonly number[] = [
  CERTIFICATE,
  CLIENT_KEY_EXCHANGE,
  CERTIFICATE_VERIFY,
  FINISHED,
];

const ECDSA_SHA256 = 0x0403;
const RSA_SHA256 = 0x0401;
const VERIFY_DATA_BYTES = 12;

const ALERT_WARNING = 1;
const ALERT_FATAL = 2;
const CLOSE_NOTIFY = 0;
const HANDSHAKE_FAILURE = 40;

/** A handshake takes 3 to 7 datagrams; this leaves room for eight repetitions, not for a flood. */
const HANDSHAKE_DATAGRAMS_MAX = 64;
/** As much again as all of them have, in bytes that werift may keep. */
const HANDSHAKE_BYTES_MAX = 65_536;
/** Repetitions of the client's last flight while ours is lost. */
const REPEATED_RECORDS_MAX = 32;

const DTLS_1_2 = 0xfefd;
/** werift's name of the sending side in its record cipher. */
const SERVER_SIDE = 2;

type HandshakeMessage = Parameters<DtlsServer["onHandleHandshakes"]>[0][number];

/** werift's server, taking the client's messages once, in order, and proved. */
class ProvenServer extends DtlsServer {
  readonly #fingerprints: readonly string[];
  readonly #held = new Map<number, HandshakeMessage>();
  #next = 0;
  #finished: Buffer | null = null;

  constructor(
    options: ConstructorParameters<typeof DtlsServer>[0],
    fingerprints: readonly string[],
  ) {
    super(options);
    this.#fingerprints = fingerprints;
    const take = this.onHandleHandshakes;
    this.onHandleHandshakes = (messages) => this.#sort(messages, take);
  }

  /** Takes what is in order at once: the next record may be under keys that these messages make. */
  async #sort(
    messages: readonly HandshakeMessage[],
    take: DtlsServer["onHandleHandshakes"],
  ): Promise<void> {
    await Promise.all(
      messages.map((message) =>
        message.msg_type === CLIENT_HELLO
          ? this.#hello(message, take)
          : this.#flight(message, take),
      ),
    );
  }

  /** A hello may come again until our flight is answered; later it would start anew. */
  async #hello(message: HandshakeMessage, take: DtlsServer["onHandleHandshakes"]): Promise<void> {
    const { flight } = this.dtls;
    if (flight < 4 || (flight === 4 && helloHasCookie(message.fragment))) await take([message]);
  }

  async #flight(message: HandshakeMessage, take: DtlsServer["onHandleHandshakes"]): Promise<void> {
    const position = CLIENT_FLIGHT.indexOf(message.msg_type);
    if (position > this.#next) this.#held.set(message.msg_type, message);
    if (position === this.#next) {
      if (message.msg_type === FINISHED) this.#prove(message);
      this.#next++;
      const taken = take([message]);
      const held = this.#held.get(CLIENT_FLIGHT[this.#next] ?? 0);
      await Promise.all([taken, held && this.#flight(held, take)]);
    } else if (message.msg_type === FINISHED && this.#finished?.equals(message.fragment)) {
      // Ours got lost: werift sends it again.
      await take([message]);
    }
  }

  /** Throws unless the client owns the announced certificate and saw the same handshake. */
  #prove(finished: HandshakeMessage): void {
    const log = this.dtls.sortedHandshakeCache;
    const proof = log.at(-1);
    const certificate = this.remoteCertificate;
    if (!certificate || proof?.msg_type !== CERTIFICATE_VERIFY) {
      throw new Error("the client proved nothing");
    }
    const { fingerprint256, publicKey } = new X509Certificate(certificate);
    if (!this.#fingerprints.includes(fingerprint256)) {
      throw new Error("the certificate is not the one in the offer");
    }
    const algorithm = proof.fragment.readUInt16BE(0);
    const signature = proof.fragment.subarray(4, 4 + proof.fragment.readUInt16BE(2));
    const known = algorithm === ECDSA_SHA256 || algorithm === RSA_SHA256;
    if (!known || !verify("sha256", transcript(log.slice(0, -1)), publicKey, signature)) {
      throw new Error("the client does not own its certificate");
    }
    const expected = verifyData(this.cipher.masterSecret, transcript(log));
    const given = finished.fragment;
    if (given.length !== VERIFY_DATA_BYTES || !timingSafeEqual(expected, given)) {
      throw new Error("the client saw another handshake");
    }
    this.#finished = given;
  }
}

function transcript(messages: readonly HandshakeMessage[]): Buffer {
  return Buffer.concat(messages.map((message) => message.serialize()));
}

/** RFC 5246 section 7.4.9, for the client's side: the first block of P_SHA256. */
function verifyData(masterSecret: Buffer, log: Buffer): Buffer {
  const hash = createHash("sha256").update(log).digest();
  const seed = Buffer.concat([Buffer.from("client finished"), hash]);
  const first = createHmac("sha256", masterSecret).update(seed).digest();
  const block = createHmac("sha256", masterSecret).update(first).update(seed).digest();
  return block.subarray(0, VERIFY_DATA_BYTES);
}

type State =
  | { readonly at: "handshaking"; datagrams: number; bytes: number }
  | { readonly at: "connected"; repeated: number }
  | { readonly at: "closed" };

/** One viewer's DTLS association. */
export class DtlsPeer {
  readonly #server: ProvenServer;
  readonly #handler: DtlsHandler;
  readonly #deliver: (record: Buffer) => void;
  #state: State = { at: "handshaking", datagrams: 0, bytes: 0 };

  /** @param fingerprints SHA-256, upper case with colons: the client's certificate matches one */
  constructor(identity: DtlsIdentity, fingerprints: readonly string[], handler: DtlsHandler) {
    this.#handler = handler;
    const transport = {
      type: "udp",
      address: { address: "", family: "", port: 0 },
      closed: false,
      onData: (_record: Buffer) => {},
      send: async (datagram: Buffer) => this.#send(datagram),
      close: async () => {},
    };
    const { certPem, keyPem, signatureHash } = identity;
    const options = {
      cert: certPem,
      key: keyPem,
      signatureHash,
      transport,
      srtpProfiles: [...SRTP_PROFILES],
      extendedMasterSecret: true,
      certificateRequest: true,
    };
    this.#server = new ProvenServer(options, fingerprints);
    // werift puts its own receiver here while it is constructed.
    this.#deliver = (record) => transport.onData(record);
    this.#server.onConnect.subscribe(() => this.#connect());
    this.#server.onError.subscribe((error) => this.#fail(messageOf(error)));
  }

  /** Takes one datagram from the viewer's address, borrowed. */
  receive(datagram: Uint8Array): void {
    const records = readRecords(datagram);
    if (records === null) return;
    const state = this.#state;
    switch (state.at) {
      case "handshaking":
        state.bytes += datagram.length;
        if (++state.datagrams > HANDSHAKE_DATAGRAMS_MAX || state.bytes > HANDSHAKE_BYTES_MAX) {
          this.#fail("too many handshake messages");
          return;
        }
        for (const record of records) this.#handshake(datagram, record);
        return;
      case "connected":
        for (const record of records) this.#established(datagram, record);
        return;
      case "closed":
        return;
      default:
        state satisfies never;
    }
  }

  /** Says goodbye, if anyone listens, and stops. Idempotent; the handler hears nothing more. */
  close(): void {
    const { at } = this.#state;
    if (at === "connected") this.#alert(ALERT_WARNING, CLOSE_NOTIFY);
    if (at === "handshaking") this.#alert(ALERT_FATAL, HANDSHAKE_FAILURE);
    this.#state = { at: "closed" };
    // werift repeats its flight for 33 s unless it believes that the client went on.
    this.#server.dtls.flight = Number.MAX_SAFE_INTEGER;
  }

  /** Alerts cannot be told from forged ones yet: a client that gave up runs into the deadline. */
  #handshake(datagram: Uint8Array, record: DtlsRecord): void {
    const { type, epoch, start, end } = record;
    if (type !== HANDSHAKE || (epoch === 0 && !handshakeIsSound(datagram, record))) return;
    this.#deliver(Buffer.from(datagram.subarray(start, end)));
  }

  #established(datagram: Uint8Array, record: DtlsRecord): void {
    const state = this.#state;
    if (state.at !== "connected" || record.epoch !== 1) return;
    if (record.type === ALERT) this.#hearAlert(datagram, record);
    if (record.type === HANDSHAKE && ++state.repeated <= REPEATED_RECORDS_MAX) {
      this.#deliver(Buffer.from(datagram.subarray(record.start, record.end)));
    }
  }

  #hearAlert(datagram: Uint8Array, { type, version, epoch, sequence, start, end }: DtlsRecord) {
    const sealed = Buffer.from(datagram.subarray(start + RECORD_HEADER_BYTES, end));
    let alert: Uint8Array;
    try {
      const header = { type, version, epoch, sequenceNumber: sequence };
      alert = this.#server.cipher.cipher.decrypt(SERVER_SIDE, sealed, header);
    } catch {
      // Not authentic: anyone can send that, so it is no fault.
      return;
    }
    if (alert[0] !== ALERT_FATAL && alert[1] !== CLOSE_NOTIFY) return;
    this.#state = { at: "closed" };
    this.#handler.closed();
  }

  #connect(): void {
    if (this.#state.at !== "handshaking") return;
    const profile = SRTP_PROFILES.find((known) => known === this.#server.srtp.srtpProfile);
    if (profile === undefined) {
      this.#fail("the client offers no SRTP profile in common");
      return;
    }
    this.#state = { at: "connected", repeated: 0 };
    this.#handler.connected(this.#keys(profile));
  }

  #keys(profile: SrtpProfile): { local: MasterKeys; remote: MasterKeys } {
    const keys = this.#server.extractSessionKeys(MASTER_KEY_BYTES, saltBytes(profile));
    return {
      local: { profile, key: keys.localKey, salt: keys.localSalt },
      remote: { profile, key: keys.remoteKey, salt: keys.remoteSalt },
    };
  }

  #fail(reason: string): void {
    if (this.#state.at !== "handshaking") return;
    this.close();
    this.#handler.failed(reason);
  }

  #send(datagram: Uint8Array): void {
    if (this.#state.at !== "closed") this.#handler.send(datagram);
  }

  #alert(level: number, description: number): void {
    const { dtls, cipher } = this.#server;
    const epoch = this.#state.at === "connected" ? 1 : 0;
    const sequence = ++dtls.recordSequenceNumber;
    const plain = Buffer.from([level, description]);
    const header = { type: ALERT, version: DTLS_1_2, epoch, sequenceNumber: sequence };
    const body = epoch === 1 ? cipher.cipher.encrypt(SERVER_SIDE, plain, header) : plain;
    const record = Buffer.alloc(RECORD_HEADER_BYTES + body.length);
    writeRecordHeader(record, { type: ALERT, version: DTLS_1_2, epoch, sequence }, body.length);
    record.set(body, RECORD_HEADER_BYTES);
    this.#send(record);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
