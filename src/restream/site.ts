/** What all connections of an RTSP server share. */
import type { ServerOptions } from "../rtsp/server-event.ts";
import { Audiences } from "./audiences.ts";
import type { Connection } from "./connection.ts";
import { InterleavedImage } from "./image.ts";
import {
  type Credentials,
  RESTREAM_LIMITS,
  RESTREAM_TIMING,
  type RestreamLimits,
  type RestreamOptions,
  type RestreamTiming,
} from "./options.ts";
import { Publishers } from "./publisher.ts";
import type { ReadCounters } from "./reader.ts";
import { UdpPairs } from "./udp.ts";

const HASHES = { MD5: "md5", "SHA-256": "sha256" } as const;

export class Site {
  readonly options: RestreamOptions;
  readonly limits: RestreamLimits;
  readonly timing: RestreamTiming;
  readonly authentication: ServerOptions["authentication"];
  readonly connections = new Set<Connection>();
  readonly pairs = new UdpPairs();
  readonly audiences = new Audiences(() => this.pairs.flush());
  readonly image = new InterleavedImage();
  readonly publishers = new Publishers();
  /** Connections refused for a limit; readers dropped because they took nothing; bugs of ours. */
  readonly counters = { refused: 0, stalled: 0, bugs: 0 };
  readonly #read = new Map<string, ReadCounters>();

  constructor(options: RestreamOptions) {
    this.options = options;
    this.limits = { ...RESTREAM_LIMITS, ...options.limits };
    this.timing = { ...RESTREAM_TIMING, ...options.timing };
    this.authentication = options.authorize ? authenticationBy(options.authorize) : undefined;
  }

  /** Of a path that is a camera's. */
  countersOf(path: string): ReadCounters {
    let counters = this.#read.get(path);
    if (counters === undefined) {
      counters = { sessions: 0, packets: 0, bytes: 0, droppedUnits: 0 };
      this.#read.set(path, counters);
    }
    return counters;
  }

  /** By path, those that were ever read. */
  get read(): ReadonlyMap<string, Readonly<ReadCounters>> {
    return this.#read;
  }

  /** True when one more reader may come from this address. */
  admits(address: string): boolean {
    const readers = [...this.connections].filter((connection) => connection.isReading);
    const same = readers.filter((connection) => connection.address === address);
    const { limits } = this;
    const admitted = readers.length < limits.readers && same.length < limits.readersPerAddress;
    if (!admitted) this.counters.refused++;
    return admitted;
  }

  /** True when one more connection may come from this address. */
  accepts(address: string): boolean {
    let same = 0;
    for (const connection of this.connections) if (connection.address === address) same++;
    const { limits, connections } = this;
    const accepted = connections.size < limits.connections && same < limits.connectionsPerAddress;
    if (!accepted) this.counters.refused++;
    return accepted;
  }
}

function authenticationBy(credentials: readonly Credentials[]): ServerOptions["authentication"] {
  const passwords = new Map(credentials.map(({ user, password }) => [user, password]));
  return {
    realm: "onepull",
    passwordOf: (user) => passwords.get(user) ?? null,
    hash: (algorithm, text) => new Bun.CryptoHasher(HASHES[algorithm]).update(text).digest("hex"),
  };
}
