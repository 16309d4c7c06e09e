/** What an RTSP server connection and its owner say to each other. */
import type { Millis } from "../core/units.ts";
import type { ChallengerOptions } from "./challenger.ts";
import type { PacketSink } from "./interleaved.ts";
import type { SessionDescription } from "./sdp.ts";
import type { SessionMode, TrackTransport } from "./server-request.ts";

/** What a server connection asks or tells its owner. Paths are decoded, without trailing slash. */
export type ServerEvent =
  /** Answer with `describe` or `refuse`. */
  | {
      readonly kind: "describe";
      readonly path: string;
      readonly query: string;
      readonly user: string | null;
    }
  /** Someone wants to send this. Answer with `announce` or `refuse`. */
  | {
      readonly kind: "announce";
      readonly path: string;
      readonly query: string;
      readonly description: SessionDescription;
      readonly user: string | null;
    }
  /** Answer with `setup` or `refuse`. `control` is empty when the stream itself is set up. */
  | {
      readonly kind: "setup";
      readonly path: string;
      readonly query: string;
      readonly control: string;
      readonly mode: SessionMode;
      readonly transport: TrackTransport;
      readonly user: string | null;
    }
  /** Answer with `play` or `refuse`; packets may go out after the response. */
  | { readonly kind: "play"; readonly path: string; readonly user: string | null }
  /** Answer with `record` or `refuse`; what comes by the agreed ways is meant from then on. */
  | { readonly kind: "record"; readonly path: string; readonly user: string | null }
  /** Stop sending until the next `play`, or taking until the next `record`. */
  | { readonly kind: "pause" }
  /** The session is over, the connection is not. */
  | { readonly kind: "teardown" }
  /** Close the connection once everything is sent. Nothing comes after this. */
  | {
      readonly kind: "closed";
      readonly reason: "timeout" | "protocol" | "unauthorized" | "unanswered";
      readonly message: string;
    };

/** Events that want an answer. */
export type Question = Extract<
  ServerEvent,
  { readonly kind: "describe" | "announce" | "setup" | "play" | "record" }
>;

/** True when the question is of this kind. */
export function isKind<K extends Question["kind"]>(
  question: Question,
  kind: K,
): question is Extract<Question, { kind: K }> {
  return question.kind === kind;
}

/** What a server connection is made of. */
export interface ServerOptions {
  /** When the connection was accepted. */
  readonly now: Millis;
  /** A new unpredictable text of at least 16 hex digits per call: session ids and nonces. */
  readonly token: () => string;
  /** Takes what the client sends on interleaved channels: its receiver reports, or its stream. */
  readonly sink: PacketSink;
  /** Transports that may be set up; both unless stated. */
  readonly transports?: readonly ("tcp" | "udp")[];
  /** Whether clients may send streams (ANNOUNCE, RECORD); not unless stated. */
  readonly publishing?: boolean;
  /** Everyone may do anything when left out. */
  readonly authentication?: Omit<ChallengerOptions, "nonce">;
}
