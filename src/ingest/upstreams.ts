/** All upstreams of a process: cameras of the same address share one. */
import { Upstream, type UpstreamOptions } from "./upstream.ts";

interface Shared {
  readonly upstream: Upstream;
  users: number;
}

export class Upstreams implements AsyncDisposable {
  readonly #byAddress = new Map<string, Shared>();
  /** Of upstreams that are closed. */
  #pastBugs = 0;
  /** Under way; an address is not opened anew before it was taken leave of. */
  readonly #closing = new Map<string, Promise<void>>();

  /** Broken assumptions of our own, of all pulls since the start. */
  get bugs(): number {
    let bugs = this.#pastBugs;
    for (const { upstream } of this.#byAddress.values()) bugs += upstream.counters.bugs;
    return bugs;
  }

  /**
   * The upstream of this address; how it is pulled is up to whoever came first. Ends with the last
   * `leave`.
   */
  async join(options: UpstreamOptions): Promise<Upstream> {
    const address = options.source.reveal();
    await this.#closing.get(address);
    let shared = this.#byAddress.get(address);
    if (shared === undefined) {
      shared = { upstream: new Upstream(options), users: 0 };
      this.#byAddress.set(address, shared);
    }
    shared.users++;
    return shared.upstream;
  }

  /** One user less. Resolves when the camera was taken leave of, if it was the last. */
  async leave(upstream: Upstream): Promise<void> {
    for (const [address, shared] of this.#byAddress) {
      if (shared.upstream !== upstream) continue;
      shared.users--;
      if (shared.users > 0) return;
      this.#byAddress.delete(address);
      const closing = upstream.close().finally(() => {
        this.#closing.delete(address);
        this.#pastBugs += upstream.counters.bugs;
      });
      this.#closing.set(address, closing);
      await closing;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#byAddress.values()];
    this.#byAddress.clear();
    await Promise.all([...all.map(({ upstream }) => upstream.close()), ...this.#closing.values()]);
  }
}
