/** What a camera's pull is doing; what the API shows. */
import type { FaultCode } from "../core/fault.ts";
import type { UnixMs } from "../core/units.ts";

/** Why the camera is not live, in words that say what to do. Never holds a secret. */
export interface Cause {
  readonly code: FaultCode;
  readonly message: string;
}

export type CameraState =
  /** Nobody asked for it to run. */
  | { readonly at: "idle"; readonly since: UnixMs }
  /** First attempt; nothing has failed yet. */
  | { readonly at: "connecting"; readonly since: UnixMs }
  | { readonly at: "live"; readonly since: UnixMs }
  /** Connected, but no video comes, whatever else does: connected anew at `nextAttempt`. */
  | {
      readonly at: "stalled";
      readonly since: UnixMs;
      readonly cause: Cause;
      readonly attempt: number;
      readonly nextAttempt: UnixMs;
    }
  /** Lost or not reached; tried again, forever. */
  | {
      readonly at: "reconnecting";
      readonly since: UnixMs;
      readonly cause: Cause;
      readonly attempt: number;
      /** When the next attempt starts; in the past while one is under way. */
      readonly nextAttempt: UnixMs;
    }
  /** The camera said no (credentials, path, codec): tried again, slowly, until someone mends it. */
  | {
      readonly at: "refused";
      readonly since: UnixMs;
      readonly cause: Cause;
      readonly attempt: number;
      readonly nextAttempt: UnixMs;
    }
  /** The source is finite and came to its end: a file that is not looped. */
  | { readonly at: "ended"; readonly since: UnixMs };
