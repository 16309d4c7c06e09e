import type { Millis } from "./units.ts";

/** What an engine wants done next. */
export type Output<E> =
  | { readonly kind: "send"; readonly bytes: Uint8Array }
  | { readonly kind: "event"; readonly event: E }
  /** Drained. Call `handle` again when bytes arrive or at this time, whichever is first. */
  | { readonly kind: "wait"; readonly until: Millis };

/**
 * A protocol with no socket, no timer and no clock. The driver calls `handle` once, then `poll`
 * until it says wait.
 */
export interface Engine<E> {
  /** Takes bytes that arrived (borrowed until it returns), or `null` when only time has passed. */
  handle(bytes: Uint8Array | null, now: Millis): void;
  poll(): Output<E>;
}
