/** The Session header (RFC 2326 section 12.37), as a client reads it. */
import type { Millis } from "../core/units.ts";

/** The session timeout of servers that state none. */
const SESSION_TIMEOUT_MS = 60_000;
/** Half, so that one lost response still leaves time for a second request. */
const KEEPALIVE_INTERVAL_MS: Millis = SESSION_TIMEOUT_MS / 2;
/** Cameras that state hours would be asked too seldom to notice that they are gone. */
const KEEPALIVE_INTERVAL_MS_MAX = 60_000;
/** Cameras that state a second, or nonsense, would be asked without a pause. */
const KEEPALIVE_INTERVAL_MS_MIN = 1_000;

/** What a client knows of its session. */
export interface ClientSession {
  /** `null` when the camera named none: requests then go without. */
  readonly id: string | null;
  /** How long to be quiet at most. */
  readonly keepaliveMs: Millis;
}

/** No session yet, or a camera that names none. */
export const NO_SESSION: ClientSession = { id: null, keepaliveMs: KEEPALIVE_INTERVAL_MS };

/**
 * Reads the header of a response, `null` for one without. Later responses may leave out what the
 * first one stated, `known`.
 */
export function readSession(header: string | null, known: ClientSession): ClientSession {
  if (header === null) return known;
  const id = known.id ?? (header.split(";")[0]?.trim() || null);
  const timeout = /;\s*timeout\s*=\s*"?(\d+)/i.exec(header)?.[1];
  if (timeout === undefined && known.id !== null) return { ...known, id };
  const seconds = Number(timeout ?? 0);
  const half = (seconds > 0 ? seconds * 1000 : SESSION_TIMEOUT_MS) / 2;
  const atMost = Math.min(half, KEEPALIVE_INTERVAL_MS_MAX);
  return { id, keepaliveMs: Math.max(atMost, KEEPALIVE_INTERVAL_MS_MIN) };
}
