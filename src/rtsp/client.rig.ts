/** A client under test: a scripted camera that answers requests, and time that jumps. */
import type { Millis } from "../core/units.ts";
import { parseAddress } from "./address.ts";
import { RtspClient } from "./client.ts";
import type { ClientEvent, ClientOptions } from "./client-event.ts";
import type { Hash } from "./digest.ts";
import type { Field, Message, Request } from "./message.ts";
import { writeResponse } from "./message.ts";
import { RtspReader } from "./reader.ts";

/** What the camera sends for a request: nothing, or bytes as they are. */
export type Script = (request: Request, rig: ClientRig) => Uint8Array | null;

/** Stands for a hash where none is checked; it shows what went in. */
const showHash: Hash = (algorithm, text) => `${algorithm}(${text})`;

export const SDP =
  "v=0\r\ns=cam\r\na=control:*\r\nm=audio 0 RTP/AVP 8\r\na=control:audio\r\n" +
  "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n";

/** A camera's challenge, and an address with what answers it. */
export const digest = 'Digest realm="cam", nonce="n1", qop="auth"';
export const source = "rtsp://user:p%40ss@cam:8554/stream?x=1";

export class ClientRig {
  now: Millis = 0;
  readonly events: ClientEvent[] = [];
  readonly requests: Request[] = [];
  /** What the client answered to requests of the camera. */
  readonly answers: Message[] = [];
  readonly packets: string[] = [];
  readonly client: RtspClient;
  #inbound: Uint8Array[] = [];
  readonly #script: Script;
  readonly #reader = new RtspReader(
    () => {},
    (message) => this.#sent(message),
  );

  constructor(script: Script, options: Partial<ClientOptions> & { source?: string } = {}) {
    this.#script = script;
    this.client = new RtspClient({
      now: 0,
      address: parseAddress(options.source ?? "rtsp://cam/stream"),
      transport: "tcp",
      hash: showHash,
      cnonce: () => "cnonce",
      sink: (channel, b, start, end) =>
        this.packets.push(`${channel}:${b.subarray(start, end).toHex()}`),
      ...options,
    });
  }

  /** The camera sends this of its own accord. */
  inject(bytes: Uint8Array): void {
    this.#inbound.push(bytes);
  }

  /** Runs until nothing happens before `until`. */
  run(until: Millis): this {
    for (let turns = 0; turns < 10_000; turns++) {
      const deadline = this.drain();
      const bytes = this.#inbound.shift() ?? null;
      if (bytes === null && deadline > until) return this;
      if (bytes === null) this.now = Math.max(this.now, deadline);
      this.client.handle(bytes, this.now);
    }
    throw new Error("the client never rests");
  }

  drain(): Millis {
    for (;;) {
      const out = this.client.poll();
      if (out.kind === "wait") return out.until;
      if (out.kind === "send") this.#reader.push(out.bytes.slice());
      else {
        this.events.push(out.event);
        if (out.event.kind === "bind") this.client.bound([5000, 5001], this.now);
      }
    }
  }

  #sent(message: Message): void {
    if (message.kind === "response") {
      this.answers.push(message);
      return;
    }
    this.requests.push(message);
    const bytes = this.#script(message, this);
    if (bytes) this.#inbound.push(bytes);
  }

  get kinds(): string[] {
    return this.events.map((event) => event.kind);
  }
  get methods(): string[] {
    return this.requests.map((request) => request.method);
  }
  /** Code and message of the fault that ended it. */
  get fault(): { code: string; message: string } | null {
    const last = this.events.at(-1);
    return last?.kind === "failed" ? { code: last.fault.code, message: last.fault.message } : null;
  }
}

/** A response to this request. */
export function reply(request: Request, status = 200, fields: readonly Field[] = [], body = "") {
  return writeResponse(status, [["CSeq", request.headers.get("CSeq") ?? "0"], ...fields], body);
}

/** A camera that does everything right. */
export function goodCamera(request: Request): Uint8Array {
  switch (request.method) {
    case "OPTIONS":
      return reply(request, 200, [["Public", "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER"]]);
    case "DESCRIBE":
      return reply(request, 200, [["Content-Base", "rtsp://cam/stream/"]], SDP);
    case "SETUP":
      return reply(request, 200, [
        ["Transport", request.headers.get("Transport") ?? ""],
        ["Session", "42;timeout=60"],
      ]);
    default:
      return reply(request, 200, [["Session", "42"]]);
  }
}

/** The good camera, but for what `odd` answers. */
export function camera(odd: (request: Request, rig: ClientRig) => Uint8Array | null | undefined) {
  return (request: Request, rig: ClientRig): Uint8Array | null => {
    const answer = odd(request, rig);
    return answer === undefined ? goodCamera(request) : answer;
  };
}
