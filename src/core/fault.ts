/**
 * Faults: everything that can go wrong outside our own code. A broken assumption of our own is not
 * a fault; it is `assert`, and ends the pipeline it happened in, never the process.
 *
 * @module
 */

/** Every fault the hub can report. Adding one without a problem entry does not compile. */
export type FaultCode = keyof typeof PROBLEMS;

/** RFC 9457 title and HTTP status, one per code: the only place that knows HTTP status. */
const PROBLEMS = {
  camera_unreachable: { status: 502, title: "Camera does not answer" },
  camera_unauthorized: { status: 502, title: "Camera rejected its credentials" },
  camera_untrusted: { status: 502, title: "Camera's certificate is not trusted" },
  camera_not_found: { status: 502, title: "Camera has no such stream" },
  camera_protocol: { status: 502, title: "Camera broke RTSP" },
  camera_timeout: { status: 504, title: "Camera stopped answering" },
  camera_closed: { status: 502, title: "Camera closed the connection" },
  camera_stalled: { status: 504, title: "Camera stopped sending video" },
  track_unsupported: { status: 415, title: "Codec cannot be forwarded" },
  camera_unknown: { status: 404, title: "No such camera" },
  camera_exists: { status: 409, title: "Camera exists already" },
  camera_configured: { status: 409, title: "Camera belongs to the configuration file" },
  camera_not_live: { status: 409, title: "Camera is not live" },
  session_unknown: { status: 404, title: "No such session" },
  offer_invalid: { status: 400, title: "Offer cannot be answered" },
  codec_mismatch: { status: 406, title: "No codec in common" },
  media_type: { status: 415, title: "Wrong content type" },
  method_not_allowed: { status: 405, title: "Method not allowed" },
  request_invalid: { status: 400, title: "Request is not valid" },
  route_unknown: { status: 404, title: "No such address" },
  limit_reached: { status: 503, title: "A limit is reached" },
  process_down: { status: 503, title: "A part of the hub is restarting" },
  config_invalid: { status: 500, title: "Configuration is not valid" },
  native_unavailable: { status: 500, title: "A system library is missing" },
  decode_failed: { status: 500, title: "Decoder failed" },
  encode_failed: { status: 500, title: "Encoder failed" },
  shared_memory: { status: 507, title: "Shared memory is full" },
  port_taken: { status: 500, title: "Port is taken" },
  already_running: { status: 500, title: "Another hub uses this instance" },
  internal: { status: 500, title: "The hub has a bug" },
} as const satisfies Record<string, { status: number; title: string }>;

export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: FaultCode;
  /** `message` says what happened and, where anything can be done, what to do. No secrets. */
  constructor(code: FaultCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** An RFC 9457 problem detail. */
export interface Problem {
  readonly type: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
}

export function problemOf(fault: Fault): Problem {
  return {
    type: `urn:onepull:fault:${fault.code}`,
    ...PROBLEMS[fault.code],
    detail: fault.message,
  };
}

/** True for a code that this build knows; codes cross process boundaries as plain strings. */
export function isFaultCode(code: string): code is FaultCode {
  return Object.hasOwn(PROBLEMS, code);
}

/** Anything thrown, as a Fault: one of ours unchanged, everything else as a bug (`internal`). */
export function faultOf(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new Fault("internal", message, { cause: thrown });
}

/** States what our own code guarantees. `invariant` completes the sentence "it holds that …". */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${invariant}`);
}
