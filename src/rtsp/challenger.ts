/** The server's side of Basic and Digest authentication (RFC 7617, RFC 7616). */
import type { Secret } from "../core/secret.ts";
import type { Millis } from "../core/units.ts";
import { decodeBase64 } from "./base64.ts";
import { digestResponse, type Hash, type HashAlgorithm, parseSchemes } from "./digest.ts";
import type { Field } from "./message.ts";

/** A nonce seen on the wire is of use this long. Answers to an older one are asked for again. */
const NONCE_LIFETIME_MS = 300_000;

/** Why a request is not let in, or who it is from. */
export type Verdict =
  | { readonly kind: "granted"; readonly user: string }
  /** No credentials: ordinary, every client asks first. */
  | { readonly kind: "absent" }
  /** The nonce is too old; the client asks the same again by itself. */
  | { readonly kind: "stale" }
  | { readonly kind: "denied" };

/** How a server authenticates. */
export interface ChallengerOptions {
  readonly realm: string;
  /** The user's password, `null` for an unknown user. */
  readonly passwordOf: (user: string) => Secret | null;
  readonly hash: Hash;
  /** A new unpredictable text of hex digits per call. */
  readonly nonce: () => string;
  /** Strongest first, as clients shall prefer them. All three unless stated. */
  readonly schemes?: readonly ("SHA-256" | "MD5" | "basic")[];
}

/** Challenges and checks the requests of one connection. */
export class Challenger {
  readonly #options: ChallengerOptions;
  #nonce: string;
  #expires: Millis = Number.NEGATIVE_INFINITY;

  constructor(options: ChallengerOptions) {
    this.#options = options;
    this.#nonce = options.nonce();
  }

  get #schemes() {
    return this.#options.schemes ?? ["SHA-256", "MD5", "basic"];
  }

  /** The headers of a 401. */
  challenge(stale: boolean, now: Millis): Field[] {
    if (now >= this.#expires) {
      this.#nonce = this.#options.nonce();
      this.#expires = now + NONCE_LIFETIME_MS;
    }
    const realm = `realm="${this.#options.realm}"`;
    const staleness = stale ? ", stale=true" : "";
    return this.#schemes.map((scheme): Field => {
      if (scheme === "basic") return ["WWW-Authenticate", `Basic ${realm}`];
      // RFC 2617 clients know no algorithm but MD5, and may stumble over its name.
      const algorithm = scheme === "MD5" ? "" : `, algorithm=${scheme}`;
      const digest = `Digest ${realm}, nonce="${this.#nonce}", qop="auth"`;
      return ["WWW-Authenticate", `${digest}${algorithm}${staleness}`];
    });
  }

  /** Judges the Authorization header of a request; `null` when it has none. */
  check(authorization: string | null, method: string, uri: string, now: Millis): Verdict {
    if (authorization === null) return { kind: "absent" };
    const scheme = /^\s*(\w+)/.exec(authorization)?.[1]?.toLowerCase();
    if (scheme === "basic" && this.#schemes.includes("basic")) return this.#basic(authorization);
    if (scheme === "digest") return this.#digest(authorization, method, uri, now);
    return { kind: "denied" };
  }

  #basic(authorization: string): Verdict {
    const [user = "", ...rest] = decodeBasic(authorization).split(":");
    const password = this.#options.passwordOf(user)?.reveal();
    if (password === undefined || !sameText(password, rest.join(":"))) return { kind: "denied" };
    return { kind: "granted", user };
  }

  #digest(authorization: string, method: string, uri: string, now: Millis): Verdict {
    const parameters = parseSchemes(authorization)[0]?.parameters ?? new Map<string, string>();
    const value = (name: string) => parameters.get(name) ?? "";
    const algorithm = algorithmOf(value("algorithm"));
    const user = value("username").replace(/\\(.)/g, "$1");
    const password = this.#options.passwordOf(user);
    if (algorithm === null || !this.#schemes.includes(algorithm)) return { kind: "denied" };
    if (password === null || !covers(value("uri"), uri)) return { kind: "denied" };
    const cnonce = value("cnonce");
    const expected = digestResponse(
      {
        algorithm,
        session: false,
        user,
        realm: this.#options.realm,
        password,
        nonce: value("nonce"),
        method,
        uri: value("uri"),
        counted: parameters.has("qop") ? { nc: value("nc"), cnonce } : null,
        cnonce,
      },
      this.#options.hash,
    );
    if (!sameText(expected, value("response").toLowerCase())) return { kind: "denied" };
    // Only who knows the password learns that its nonce is old.
    const fresh = value("nonce") === this.#nonce && now < this.#expires;
    return fresh ? { kind: "granted", user } : { kind: "stale" };
  }
}

function algorithmOf(name: string): HashAlgorithm | null {
  if (name === "" || name.toUpperCase() === "MD5") return "MD5";
  return name.toUpperCase() === "SHA-256" ? "SHA-256" : null;
}

/**
 * True when an answer computed for `uri` may serve `requested`. Players built on live555 (VLC)
 * compute the answer for a track's SETUP with the address of the whole stream.
 */
function covers(uri: string, requested: string): boolean {
  const base = uri.endsWith("/") ? uri.slice(0, -1) : uri;
  return requested === uri || requested === base || requested.startsWith(`${base}/`);
}

function decodeBasic(authorization: string): string {
  const encoded = authorization.trim().split(/\s+/)[1] ?? "";
  return new TextDecoder().decode(decodeBase64(encoded) ?? new Uint8Array(0));
}

/** Takes as long for a wrong first character as for a wrong last one. */
function sameText(expected: string, given: string): boolean {
  let difference = expected.length ^ given.length;
  for (let i = 0; i < given.length; i++) {
    difference |= given.charCodeAt(i) ^ expected.charCodeAt(i % Math.max(1, expected.length));
  }
  return difference === 0;
}
