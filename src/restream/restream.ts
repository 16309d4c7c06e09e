/**
 * The hub as an RTSP server: players read every camera from its ring, over TCP or UDP, and whoever
 * has a stream may push it here.
 *
 * @module
 */
import type { TCPSocketListener } from "bun";
import { Fault } from "../core/fault.ts";
import { monotonicMs } from "../native/clock.ts";
import { Connection, plainAddress } from "./connection.ts";
import type { RestreamOptions } from "./options.ts";
import type { ReadCounters } from "./reader.ts";
import { Site } from "./site.ts";

/** How often connections are asked whether their time is up. */
const SWEEP_INTERVAL_MS = 1_000;

/** Of one path, since its first reader. */
interface ReadStats extends Readonly<ReadCounters> {
  readonly path: string;
  /** Sessions that are sent to now. */
  readonly readers: number;
}

export interface RestreamStats {
  readonly read: readonly ReadStats[];
  /** Paths that somebody sends to. */
  readonly published: readonly string[];
  readonly connections: number;
  /** Connections and readers refused for a limit. */
  readonly refused: number;
  /** Readers disconnected because they took nothing. */
  readonly stalled: number;
  /** Datagrams from whom nothing was agreed with. */
  readonly strangers: number;
  /** Broken assumptions of our own; each cost one connection. */
  readonly bugs: number;
}

/** A running RTSP server; `close` ends it. */
export class Restream implements AsyncDisposable {
  readonly #site: Site;
  readonly #resources = new AsyncDisposableStack();
  #listener: TCPSocketListener<Connection | null> | null = null;

  private constructor(site: Site) {
    this.#site = site;
  }

  /** @throws Fault `port_taken` */
  static async open(options: RestreamOptions): Promise<Restream> {
    const restream = new Restream(new Site(options));
    restream.#start();
    return restream;
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  stats(): RestreamStats {
    const { read, publishers, connections, counters, pairs } = this.#site;
    for (const connection of connections) connection.count();
    const playing = [...connections].map((connection) => connection.playing);
    return {
      read: [...read].map(([path, counted]) => ({
        path,
        readers: playing.filter((other) => other === path).length,
        ...counted,
      })),
      published: publishers.paths,
      connections: connections.size,
      strangers: pairs.strangers,
      ...counters,
    };
  }

  /** Ends all sessions of a camera that is removed or opened anew: readers, and who publishes. */
  endCamera(camera: string): void {
    for (const connection of [...this.#site.connections]) {
      const { path } = connection;
      if (path === camera || path?.startsWith(`${camera}/`)) connection.endStream();
    }
  }

  /** Ends all sessions and frees the ports. Idempotent. */
  async close(): Promise<void> {
    await this.#resources.disposeAsync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(): void {
    const { connections, audiences, pairs } = this.#site;
    const listener = this.#listen();
    this.#listener = listener;
    this.#resources.use(pairs);
    this.#resources.use(audiences);
    this.#resources.defer(() => {
      listener.stop(true);
      for (const connection of [...connections]) connection.drop();
    });
    const sweep = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    this.#resources.defer(() => clearInterval(sweep));
  }

  #listen(): TCPSocketListener<Connection | null> {
    const { address, port } = this.#site.options;
    try {
      return Bun.listen<Connection | null>({
        hostname: address,
        port,
        socket: {
          open: (socket) => this.#accept(socket),
          data: (socket, bytes) => socket.data?.receive(bytes),
          drain: (socket) => socket.data?.drain(),
          close: (socket) => this.#closed(socket.data),
          error: (socket) => socket.data?.drop(),
        },
      });
    } catch (cause) {
      const todo = "choose another, or end who has it";
      throw new Fault("port_taken", `The RTSP port, TCP ${port} on ${address}: ${todo}.`, {
        cause,
      });
    }
  }

  #accept(socket: Bun.Socket<Connection | null>): void {
    socket.data = null;
    if (!this.#site.accepts(plainAddress(socket.remoteAddress))) {
      socket.terminate();
      return;
    }
    // Interactive: responses and pictures must not wait for more bytes.
    socket.setNoDelay(true);
    const connection = new Connection(socket, this.#site);
    socket.data = connection;
    this.#site.connections.add(connection);
  }

  #closed(connection: Connection | null): void {
    if (connection === null) return;
    connection.closed();
    this.#site.connections.delete(connection);
  }

  #sweep(): void {
    const now = monotonicMs();
    for (const connection of [...this.#site.connections]) connection.tick(now);
  }
}
