/** What an RTSP camera says of itself before it is asked for a stream: no password is sent. */
import type { Socket } from "bun";
import { Fault } from "../core/fault.ts";
import { parseAddress, type RtspAddress } from "../rtsp/address.ts";
import { parseSchemes } from "../rtsp/digest.ts";
import { type Response, writeRequest } from "../rtsp/message.ts";
import { RtspReader } from "../rtsp/reader.ts";
import { Dialer } from "./dialer.ts";
import { PULL_TIMING } from "./timing.ts";
import type { TlsSettings } from "./tls.ts";

/** What is known after OPTIONS and DESCRIBE. */
export interface RtspSurvey {
  /** The Server header, `null` when there was none. */
  readonly server: string | null;
  /** Methods of the Public header; empty when there was none. */
  readonly methods: readonly string[];
  /** Schemes of the challenge, such as `digest SHA-256`; empty when DESCRIBE needs no password. */
  readonly authentication: readonly string[];
}

/** @throws Fault when the camera cannot be reached, or does not speak RTSP */
export async function surveyRtsp(source: string, tls: TlsSettings): Promise<RtspSurvey> {
  const address = parseAddress(source);
  const conversation = new Conversation(address);
  try {
    await conversation.open(tls);
    const options = await conversation.ask("OPTIONS");
    const described = await conversation.ask("DESCRIBE");
    return {
      server: options.headers.get("Server") ?? described.headers.get("Server"),
      methods: (options.headers.get("Public") ?? "").split(/[\s,]+/).filter(Boolean),
      authentication: described.headers.all("WWW-Authenticate").flatMap(schemesOf),
    };
  } finally {
    conversation.close();
  }
}

function schemesOf(challenge: string): string[] {
  return parseSchemes(challenge).map(({ scheme, parameters }) =>
    scheme === "digest" ? `digest ${parameters.get("algorithm") ?? "MD5"}` : scheme,
  );
}

/** One connection, one request at a time. */
class Conversation {
  readonly #address: RtspAddress;
  #socket: Socket<undefined> | null = null;
  #answered = Promise.withResolvers<Response>();
  #cseq = 0;
  readonly #reader = new RtspReader(
    () => {},
    (message) => {
      if (message.kind === "response") this.#answered.resolve(message);
    },
  );

  constructor(address: RtspAddress) {
    this.#address = address;
    // Nobody may be waiting when the connection ends.
    this.#answered.promise.catch(() => {});
  }

  async open(tls: TlsSettings): Promise<void> {
    const { host, port, secure } = this.#address;
    const handlers = {
      opened: (socket: Socket<undefined>) => {
        this.#socket = socket;
      },
      data: (bytes: Uint8Array) => this.#read(bytes),
      closed: () => this.#answered.reject(this.#fault("camera_closed", "closed the connection")),
    };
    const never = new AbortController().signal;
    const target = { host, port, tls: secure ? tls : null };
    await new Dialer().dial(target, handlers, PULL_TIMING.connectMs, never);
  }

  async ask(method: "OPTIONS" | "DESCRIBE"): Promise<Response> {
    this.#answered = Promise.withResolvers();
    const { promise, reject } = this.#answered;
    const late = this.#fault("camera_timeout", `did not answer ${method}`);
    const timer = setTimeout(() => reject(late), PULL_TIMING.replyMs);
    const fields = [
      ["CSeq", String(++this.#cseq)] as const,
      ["Accept", "application/sdp"] as const,
    ];
    this.#socket?.write(writeRequest(method, this.#address.requestUri, fields));
    return promise.finally(() => clearTimeout(timer));
  }

  close(): void {
    this.#socket?.end();
  }

  #read(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes);
    } catch (thrown) {
      this.#answered.reject(thrown);
    }
  }

  #fault(code: "camera_closed" | "camera_timeout", what: string): Fault {
    return new Fault(code, `${this.#address.label} ${what}`);
  }
}
