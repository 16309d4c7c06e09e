/**
 * The lite side of ICE (RFC 8445 section 2.5): answers checks, never sends any. The viewer is the
 * controlling agent; what it nominates is where media goes. One instance per session; bytes and
 * `now` in, answers and a deadline out.
 *
 * @module
 */
import type { Millis } from "../core/units.ts";
import type { TransportAddress } from "./address.ts";
import {
  BINDING_REQUEST,
  type HmacSha1,
  integrityHolds,
  ROLE_CONFLICT,
  type StunMessage,
  UNKNOWN_ATTRIBUTE,
  writeBindingError,
  writeBindingSuccess,
} from "./stun.ts";

/** RFC 7675 section 5.1: consent to send expires 30 s after the peer's last sign of it. */
export const CONSENT_TIMEOUT_MS = 30_000;
/** A browser sends its first check within a second of the answer; no peer after this is coming. */
export const FIRST_CHECK_TIMEOUT_MS = 15_000;

/** One side's ICE credentials, as in `a=ice-ufrag` and `a=ice-pwd`. */
export interface IceCredentials {
  readonly ufrag: string;
  readonly password: string;
}

/** What one datagram came to. */
export type IceReply =
  /** Not authenticated, or no request: an answer would serve scans and reflection only. */
  | { readonly kind: "silence" }
  /** Send `bytes` back to where the request came from. */
  | { readonly kind: "answer"; readonly bytes: Uint8Array }
  /** The same, and the peer is from now on reached the way this request came. */
  | { readonly kind: "selected"; readonly bytes: Uint8Array };

type State =
  | { readonly at: "waiting"; readonly deadline: Millis }
  | { readonly at: "connected"; readonly path: string; readonly deadline: Millis };

const SILENCE: IceReply = { kind: "silence" };

export class IceLite {
  readonly #username: string;
  readonly #key: Uint8Array;
  readonly #hmac: HmacSha1;
  #state: State;

  /** @param remoteUfrag the viewer's, from its offer */
  constructor(local: IceCredentials, remoteUfrag: string, hmac: HmacSha1, now: Millis) {
    this.#username = `${local.ufrag}:${remoteUfrag}`;
    this.#key = new TextEncoder().encode(local.password);
    this.#hmac = hmac;
    this.#state = { at: "waiting", deadline: now + FIRST_CHECK_TIMEOUT_MS };
  }

  /** When the session ends unless an authenticated check comes first. */
  get deadline(): Millis {
    return this.#state.deadline;
  }

  /** False until the first authenticated check. */
  get connected(): boolean {
    return this.#state.at === "connected";
  }

  /**
   * Takes one STUN message.
   * @param datagram the bytes `message` was read from, borrowed
   * @param from where it came from, for XOR-MAPPED-ADDRESS
   * @param path names local socket and remote address; equal for equal pairs
   */
  handle(
    datagram: Uint8Array,
    message: StunMessage,
    from: TransportAddress,
    path: string,
    now: Millis,
  ): IceReply {
    if (message.type !== BINDING_REQUEST || message.username !== this.#username) return SILENCE;
    if (!integrityHolds(datagram, message, this.#key, this.#hmac)) return SILENCE;
    if (message.unknown.length > 0) return this.#refuse(message, UNKNOWN_ATTRIBUTE);
    // RFC 8445 section 7.3.1.1: a lite agent facing a full one is always the controlled one.
    if (message.controlled) return this.#refuse(message, ROLE_CONFLICT);
    const bytes = writeBindingSuccess(message.transaction, from, this.#key, this.#hmac);
    return { kind: this.#note(message, path, now) ? "selected" : "answer", bytes };
  }

  /** True when `path` becomes the way to the peer. */
  #note(message: StunMessage, path: string, now: Millis): boolean {
    const state = this.#state;
    const deadline = now + CONSENT_TIMEOUT_MS;
    switch (state.at) {
      case "waiting":
        // RFC 8445 section 12.1: any valid pair may carry data until one is nominated.
        this.#state = { at: "connected", path, deadline };
        return true;
      case "connected":
        if (path !== state.path && !message.useCandidate) return false;
        // Consent is given for the path it came by, not for another one (RFC 7675 section 5.1).
        this.#state = { at: "connected", path, deadline };
        return path !== state.path;
      default:
        return state satisfies never;
    }
  }

  #refuse(message: StunMessage, code: number): IceReply {
    const { transaction, unknown } = message;
    const about = code === UNKNOWN_ATTRIBUTE ? unknown : [];
    return {
      kind: "answer",
      bytes: writeBindingError(transaction, code, about, this.#key, this.#hmac),
    };
  }
}
