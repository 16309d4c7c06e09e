/** How many cameras are connected to at once: two hundred of them start one after another. */

/** Attempts under way. Each is a handful of round trips and hashes; more would only wait for CPU. */
const TURNS_MAX = 32;
/**
 * A camera of the same network has answered by then. One that has not costs nothing while it is
 * waited for, so its turn goes to the next: cameras that are switched off never hold up the others.
 */
const TURN_MS_MAX = 250;

/** Turns are given in the order they were asked for. */
export class AttemptGate {
  readonly #turnsMax: number;
  readonly #turnMsMax: number;
  readonly #waiting = new Set<() => void>();
  #turns = 0;

  constructor(turnsMax = TURNS_MAX, turnMsMax = TURN_MS_MAX) {
    this.#turnsMax = turnsMax;
    this.#turnMsMax = turnMsMax;
  }

  /** Attempts under way that still hold a turn. */
  get turns(): number {
    return this.#turns;
  }

  /**
   * Resolves with a turn, which ends when it is disposed of, or by itself after TURN_MS_MAX. Rejects
   * when aborted.
   */
  async enter(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#turns < this.#turnsMax) this.#turns++;
    else await this.#wait(signal);
    const turn = this.#turn();
    if (!signal.aborted) return turn;
    turn[Symbol.dispose]();
    throw signal.reason;
  }

  /** Resolves when a turn is handed over. */
  #wait(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abandon = () => {
      this.#waiting.delete(resolve);
      reject(signal.reason);
    };
    this.#waiting.add(resolve);
    signal.addEventListener("abort", abandon, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", abandon));
  }

  #turn(): Disposable {
    let over = false;
    const end = () => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      this.#handOver();
    };
    const timer = setTimeout(end, this.#turnMsMax);
    return { [Symbol.dispose]: end };
  }

  #handOver(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#turns--;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
