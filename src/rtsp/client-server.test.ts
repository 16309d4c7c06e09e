import { describe, expect, test } from "bun:test";
import { Secret } from "../core/secret.ts";
import type { Millis } from "../core/units.ts";
import { parseAddress } from "./address.ts";
import { RtspClient } from "./client.ts";
import type { ClientEvent, ClientOptions } from "./client-event.ts";
import type { Hash } from "./digest.ts";
import { h264Format, writeSdp } from "./sdp.ts";
import { ServerConnection } from "./server.ts";
import type { ServerEvent, ServerOptions } from "./server-event.ts";

const hash: Hash = (algorithm, text) =>
  new Bun.CryptoHasher(algorithm === "MD5" ? "md5" : "sha256").update(text).digest("hex");
const password = new Secret("p@ss:/#%word");
const authentication = {
  realm: "cam",
  passwordOf: (user: string) => (user === "user" ? password : null),
  hash,
};
const sdp = writeSdp("cam", [
  {
    kind: "video",
    control: "video",
    format: h264Format(96, new Uint8Array([0x67, 1, 2, 3]), new Uint8Array([0x68])),
  },
]);

/** Both engines on one wire that carries `chunk` bytes at a time and takes no time. */
class Wire {
  now: Millis = 0;
  readonly clientEvents: ClientEvent[] = [];
  readonly serverEvents: ServerEvent[] = [];
  readonly client: RtspClient;
  readonly server: ServerConnection;
  readonly #chunk: number;

  constructor(
    client: Partial<ClientOptions> & { source?: string },
    server: Partial<ServerOptions>,
    chunk = 7,
  ) {
    this.#chunk = chunk;
    let tokens = 0;
    const token = () => `0123456789abcde${tokens++}`;
    const sink = () => {};
    const address = parseAddress(client.source ?? "rtsp://127.0.0.1/cam");
    const transport = "tcp";
    this.client = new RtspClient({
      now: 0,
      address,
      transport,
      hash,
      cnonce: token,
      sink,
      ...client,
    });
    this.server = new ServerConnection({ now: 0, token, sink, ...server });
  }

  run(until: Millis): this {
    for (let turns = 0; turns < 100_000; turns++) {
      const deadline = Math.min(this.#drainClient(), this.#drainServer());
      if (this.#quiet && deadline > until) return this;
      if (this.#quiet) this.now = deadline;
      this.client.handle(null, this.now);
      this.server.handle(null, this.now);
    }
    throw new Error("the engines never rest");
  }

  #quiet = false;

  #drainClient(): Millis {
    this.#quiet = true;
    for (;;) {
      const out = this.client.poll();
      if (out.kind === "wait") return out.until;
      this.#quiet = false;
      if (out.kind === "event") {
        this.clientEvents.push(out.event);
        if (out.event.kind === "bind") this.client.bound([5000, 5001], this.now);
      } else this.#carry(out.bytes, (bytes) => this.server.handle(bytes, this.now));
    }
  }

  #drainServer(): Millis {
    for (;;) {
      const out = this.server.poll();
      if (out.kind === "wait") return out.until;
      this.#quiet = false;
      if (out.kind === "event") this.#own(out.event);
      else this.#carry(out.bytes, (bytes) => this.client.handle(bytes, this.now));
    }
  }

  #own(event: ServerEvent): void {
    this.serverEvents.push(event);
    if (event.kind === "describe") {
      if (event.path === "/cam") this.server.describe(sdp);
      else this.server.refuse(404);
    } else if (event.kind === "setup") {
      const udp = event.transport.lower === "udp";
      this.server.setup(udp ? { ssrc: 1, serverPort: [7000, 7001] } : { ssrc: 1 });
    } else if (event.kind === "play") {
      this.server.play([{ control: "video", sequence: 1, timestamp: 2 }]);
    }
  }

  #carry(bytes: Uint8Array, to: (bytes: Uint8Array) => void): void {
    for (let at = 0; at < bytes.length; at += this.#chunk) to(bytes.slice(at, at + this.#chunk));
  }

  get kinds(): [client: string[], server: string[]] {
    return [this.clientEvents.map((e) => e.kind), this.serverEvents.map((e) => e.kind)];
  }
}

describe("client and server", () => {
  const source = `rtsp://user:${encodeURIComponent(password.reveal())}@127.0.0.1/cam`;
  const variants: [name: string, client: object, server: object][] = [
    ["without a password", {}, {}],
    ["SHA-256", { source }, { authentication }],
    ["MD5", { source }, { authentication: { ...authentication, schemes: ["MD5"] } }],
    ["Basic", { source }, { authentication: { ...authentication, schemes: ["basic"] } }],
    ["trailing slash", { source: "rtsp://127.0.0.1/cam/" }, {}],
    ["a query", { source: "rtsp://127.0.0.1/cam?a=b" }, {}],
  ];
  test.each(variants)("play ten minutes over TCP: %s", (_name, client, server) => {
    const wire = new Wire(client, server).run(600_000);
    expect(wire.kinds).toEqual([
      ["tracks", "playing"],
      ["describe", "setup", "play"],
    ]);
    wire.client.close(wire.now);
    wire.run(wire.now);
    expect(wire.kinds).toEqual([
      ["tracks", "playing", "closed"],
      ["describe", "setup", "play", "teardown"],
    ]);
  });

  test("an hour with nonces that run out", () => {
    const wire = new Wire({ source }, { authentication }, 1000).run(3_600_000);
    expect(wire.kinds[0]).toEqual(["tracks", "playing"]);
  });

  test("over UDP", () => {
    const wire = new Wire({ transport: "udp" }, {}).run(0);
    expect(wire.clientEvents).toMatchObject([
      { kind: "bind" },
      {
        kind: "tracks",
        tracks: [{ transport: { lower: "udp", serverPort: [7000, 7001], source: null } }],
      },
      { kind: "playing" },
    ]);
  });

  test("a server that does not do UDP", () => {
    const wire = new Wire({ transport: "udp" }, { transports: ["tcp"] }).run(0);
    expect(wire.clientEvents.at(-1)).toMatchObject({ fault: { code: "track_unsupported" } });
  });

  test("a wrong password, a wrong path", () => {
    const wrong = new Wire({ source: "rtsp://user:x@127.0.0.1/cam" }, { authentication }).run(0);
    expect(wrong.clientEvents.at(-1)).toMatchObject({ fault: { code: "camera_unauthorized" } });
    const path = new Wire({ source: "rtsp://127.0.0.1/yard" }, {}).run(0);
    expect(path.clientEvents.at(-1)).toMatchObject({ fault: { code: "camera_not_found" } });
  });
});
