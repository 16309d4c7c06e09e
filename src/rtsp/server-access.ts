/** Who a connection's requests are from, and whether they are let in. */
import type { Millis } from "../core/units.ts";
import { Challenger } from "./challenger.ts";
import type { Request } from "./message.ts";
import type { ServerOptions } from "./server-event.ts";
import type { Refusal } from "./server-request.ts";

/** Wrong passwords on one connection, before it is closed: guessing shall cost a handshake each. */
const DENIALS_MAX = 5;

/** One connection's. */
export class ServerAccess {
  /** Who the last request that was let in is from; `null` where nobody is asked. */
  user: string | null = null;
  readonly #challenger: Challenger | null;
  #denials = 0;

  constructor({ authentication, token }: Pick<ServerOptions, "authentication" | "token">) {
    this.#challenger = authentication ? new Challenger({ ...authentication, nonce: token }) : null;
  }

  /** True when the connection is to be closed. */
  get exhausted(): boolean {
    return this.#denials >= DENIALS_MAX;
  }

  /** Why the request is not let in; `null` when it is. */
  check(request: Request, now: Millis): Refusal | null {
    // Clients ask for the methods before they know that a password is wanted.
    if (this.#challenger === null || request.method === "OPTIONS") return null;
    const authorization = request.headers.get("Authorization");
    const verdict = this.#challenger.check(authorization, request.method, request.uri, now);
    if (verdict.kind === "granted") {
      this.user = verdict.user;
      return null;
    }
    if (verdict.kind === "denied") this.#denials++;
    return { status: 401, fields: this.#challenger.challenge(verdict.kind === "stale", now) };
  }
}
