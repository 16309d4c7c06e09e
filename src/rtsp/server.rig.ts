/** A server connection under test: a client that writes requests, an owner that answers events. */
import { type Response, writeRequest } from "./message.ts";
import { RtspReader } from "./reader.ts";
import { h264Format, writeSdp } from "./sdp.ts";
import { ServerConnection } from "./server.ts";
import type { ServerEvent, ServerOptions } from "./server-event.ts";

const format = h264Format(96, new Uint8Array([0x67, 0x42, 0xc0, 0x1e]), new Uint8Array([0x68, 1]));
export const sdp = writeSdp("cam", [
  { kind: "video", control: "video", format },
  { kind: "audio", control: "audio", format },
]);
export const URI = "rtsp://127.0.0.1:8554/lobby";
export const TCP = "RTP/AVP/TCP;unicast;interleaved=0-1";

/** A connection with a client that writes requests and an owner that answers what it is told to. */
export class Rig {
  now = 0;
  readonly events: ServerEvent[] = [];
  readonly responses: Response[] = [];
  readonly controls: string[] = [];
  readonly engine: ServerConnection;
  /** When false the test answers by itself. */
  answering = true;
  #cseq = 0;
  readonly #reader = new RtspReader(
    () => {},
    (message) => message.kind === "response" && this.responses.push(message),
  );

  constructor(options: Partial<ServerOptions> = {}) {
    let tokens = 0;
    this.engine = new ServerConnection({
      now: 0,
      token: () => `token${tokens++}`,
      sink: (channel, b, start, end) =>
        this.controls.push(`${channel}:${b.subarray(start, end).toHex()}`),
      ...options,
    });
  }

  drain(): number {
    for (;;) {
      const out = this.engine.poll();
      if (out.kind === "wait") return out.until;
      if (out.kind === "send") this.#reader.push(out.bytes.slice());
      else this.#event(out.event);
    }
  }

  #event(event: ServerEvent): void {
    this.events.push(event);
    if (!this.answering) return;
    if (event.kind === "describe") {
      if (event.path === "/lobby") this.engine.describe(sdp);
      else this.engine.refuse(404);
    } else if (event.kind === "setup") {
      const known = ["video", "audio"].includes(event.control);
      if (known && event.transport.lower === "udp") this.engine.setup({ serverPort: [6000, 6001] });
      else if (known) this.engine.setup({ ssrc: 0xabcdef });
      else this.engine.refuse(event.control === "" ? 459 : 404);
    } else if (event.kind === "play") {
      this.engine.play([{ control: "video", sequence: 5, timestamp: 9000 }]);
    }
  }

  push(bytes: Uint8Array): number {
    this.engine.handle(bytes, this.now);
    return this.drain();
  }

  at(now: number): number {
    this.now = now;
    this.engine.handle(null, now);
    return this.drain();
  }

  /** Sends a request and returns the response to it. */
  ask(method: string, uri: string, fields: [string, string][] = [], body = ""): Response {
    this.push(writeRequest(method, uri, [["CSeq", String(++this.#cseq)], ...fields], body));
    const response = this.responses.at(-1);
    if (response?.headers.get("CSeq") !== String(this.#cseq)) throw new Error("no response");
    return response;
  }

  status(method: string, uri: string, fields: [string, string][] = [], body = ""): number {
    return this.ask(method, uri, fields, body).status;
  }

  /** Sends text as it is and returns the status of the first response. */
  raw(text: string): number {
    this.push(new TextEncoder().encode(text));
    return this.responses[0]?.status ?? 0;
  }

  described(): this {
    this.ask("DESCRIBE", URI);
    return this;
  }

  /** Describes and sets the video up. Returns the Session header to use. */
  ready(transport = TCP): [string, string] {
    this.ask("DESCRIBE", URI);
    const setup = this.ask("SETUP", `${URI}/video`, [["Transport", transport]]);
    return ["Session", setup.headers.get("Session")?.split(";")[0] ?? ""];
  }

  playing(transport = TCP): [string, string] {
    const session = this.ready(transport);
    if (this.status("PLAY", `${URI}/`, [session]) !== 200) throw new Error("PLAY was refused");
    return session;
  }

  get kinds(): string[] {
    return this.events.map((event) => event.kind);
  }
}
