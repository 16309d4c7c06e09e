/**
 * Basic (RFC 7617) and Digest (RFC 2617, RFC 7616) authentication: what both sides compute, and the
 * client's side of it. The server's is in challenger.ts.
 *
 * @module
 */
import type { Secret } from "../core/secret.ts";

/** What Digest is spoken with. */
export type HashAlgorithm = "MD5" | "SHA-256";

/** Digest of the text's UTF-8 bytes, in lower-case hex. */
export type Hash = (algorithm: HashAlgorithm, text: string) => string;

/** What a server asks for. Texts as written between the quotes. */
export type Challenge =
  | { readonly scheme: "basic"; readonly realm: string }
  | {
      readonly scheme: "digest";
      readonly realm: string;
      readonly nonce: string;
      readonly opaque: string | null;
      readonly algorithm: HashAlgorithm;
      /** The `-sess` variant: the nonces enter the first hash. */
      readonly session: boolean;
      /** As the challenge spelt it, to be repeated; `null` when it named none. */
      readonly algorithmName: string | null;
      /** True when the server takes `qop=auth`; without, RFC 2069's shorter response is meant. */
      readonly qop: boolean;
      /** The password is right, only the nonce is too old. */
      readonly stale: boolean;
    };

/** What goes into a Digest response. */
export interface DigestInput {
  readonly algorithm: HashAlgorithm;
  readonly session: boolean;
  readonly user: string;
  readonly realm: string;
  readonly password: Secret;
  readonly nonce: string;
  readonly method: string;
  readonly uri: string;
  /** `null` where no qop is used. */
  readonly counted: { readonly nc: string; readonly cnonce: string } | null;
  /** Needed by the `-sess` variants, qop or not. */
  readonly cnonce: string;
}

/** The response directive (RFC 7616 section 3.4.1) in hex. */
export function digestResponse(input: DigestInput, hash: Hash): string {
  const h = (text: string) => hash(input.algorithm, text);
  const plain = h(`${input.user}:${input.realm}:${input.password.reveal()}`);
  const first = input.session ? h(`${plain}:${input.nonce}:${input.cnonce}`) : plain;
  const second = h(`${input.method}:${input.uri}`);
  if (input.counted === null) return h(`${first}:${input.nonce}:${second}`);
  const { nc, cnonce } = input.counted;
  return h(`${first}:${input.nonce}:${nc}:${cnonce}:auth:${second}`);
}

// A name alone is a scheme; with `=` it is a parameter of the scheme before it.
const WORD = /([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/g;

/** One scheme with its parameters, names in lower case, values without quotes but as written. */
export interface SchemeParameters {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Reads what WWW-Authenticate and Authorization have in common (RFC 7235 section 2.1). */
export function parseSchemes(value: string): SchemeParameters[] {
  const schemes: { scheme: string; parameters: Map<string, string> }[] = [];
  for (const [word, name = "", quoted, token] of value.matchAll(WORD)) {
    if (!word.includes("=")) schemes.push({ scheme: name.toLowerCase(), parameters: new Map() });
    else schemes.at(-1)?.parameters.set(name.toLowerCase(), quoted ?? token ?? "");
  }
  return schemes;
}

/** Reads every WWW-Authenticate header of a response; what this client does not speak is left out. */
export function parseChallenges(values: readonly string[]): Challenge[] {
  return values
    .flatMap(parseSchemes)
    .map(challengeOf)
    .filter((challenge) => challenge !== null);
}

function challengeOf({ scheme, parameters }: SchemeParameters): Challenge | null {
  const realm = parameters.get("realm") ?? "";
  if (scheme === "basic") return { scheme, realm };
  const nonce = parameters.get("nonce");
  if (scheme !== "digest" || nonce === undefined) return null;
  const algorithmName = parameters.get("algorithm") ?? null;
  const variant = /^(MD5|SHA-256)(-sess)?$/i.exec(algorithmName ?? "MD5");
  if (!variant) return null;
  const qop = parameters.get("qop");
  // An integrity-only server (auth-int) is none that cameras are known to be.
  if (qop && !/(^|[\s,])auth([\s,]|$)/i.test(qop)) return null;
  return {
    scheme,
    realm,
    nonce,
    opaque: parameters.get("opaque") ?? null,
    algorithm: variant[1]?.toUpperCase() === "MD5" ? "MD5" : "SHA-256",
    session: variant[2] !== undefined,
    algorithmName,
    qop: Boolean(qop),
    stale: parameters.get("stale")?.toLowerCase() === "true",
  };
}

function strengthOf(challenge: Challenge): number {
  if (challenge.scheme === "basic") return 0;
  return challenge.algorithm === "SHA-256" ? 2 : 1;
}

/** The strongest of the challenges, the first of equals; `null` when there is none. */
export function strongest(challenges: readonly Challenge[]): Challenge | null {
  let best: Challenge | null = null;
  for (const challenge of challenges) {
    if (best === null || strengthOf(challenge) > strengthOf(best)) best = challenge;
  }
  return best;
}

/** Who the client is, and the primitives it cannot have of its own. */
export interface AuthorizerOptions {
  readonly user: string;
  readonly password: Secret;
  readonly hash: Hash;
  /** A new unpredictable text of hex digits per call. */
  readonly cnonce: () => string;
}

/** The client's side: keeps the last challenge and answers it, request by request. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  #challenge: Challenge | null = null;
  /** Requests that used the current nonce. */
  #uses = 0;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** Takes a 401's WWW-Authenticate headers. Returns the challenge to be answered from now on. */
  challenged(values: readonly string[]): Challenge | null {
    this.#challenge = strongest(parseChallenges(values));
    this.#uses = 0;
    return this.#challenge;
  }

  /** The Authorization header's value for a request; `null` while nothing was asked. */
  authorize(method: string, uri: string): string | null {
    const challenge = this.#challenge;
    if (challenge === null) return null;
    const { user, password } = this.#options;
    if (challenge.scheme === "digest") return this.#digest(challenge, method, uri);
    return `Basic ${new TextEncoder().encode(`${user}:${password.reveal()}`).toBase64()}`;
  }

  #digest(challenge: Challenge & { scheme: "digest" }, method: string, uri: string): string {
    const { user, password, hash } = this.#options;
    const { realm, nonce, opaque, algorithm, session, algorithmName, qop } = challenge;
    const nc = (++this.#uses).toString(16).padStart(8, "0");
    const cnonce = this.#options.cnonce();
    const counted = qop ? { nc, cnonce } : null;
    const input = {
      algorithm,
      session,
      user,
      realm,
      password,
      nonce,
      method,
      uri,
      counted,
      cnonce,
    };
    const fields = [
      `username="${user.replace(/["\\]/g, "\\$&")}"`,
      `realm="${realm}"`,
      `nonce="${nonce}"`,
      `uri="${uri}"`,
      `response="${digestResponse(input, hash)}"`,
      ...(algorithmName === null ? [] : [`algorithm=${algorithmName}`]),
      ...(opaque === null ? [] : [`opaque="${opaque}"`]),
      ...(qop ? ["qop=auth", `nc=${nc}`] : []),
      ...(qop || session ? [`cnonce="${cnonce}"`] : []),
    ];
    return `Digest ${fields.join(", ")}`;
  }
}
