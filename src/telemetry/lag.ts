/** How late timers fire: what everything else in this event loop waits for. */

/** 25 a second see a stall of one frame; the timer itself costs next to nothing. */
const SAMPLE_INTERVAL_MS = 40;

/** Lateness in milliseconds over the time since the last `take`. */
export interface Lag {
  readonly mean: number;
  readonly max: number;
}

export class LagMeter implements Disposable {
  readonly #timer: ReturnType<typeof setInterval>;
  #last = performance.now();
  #sum = 0;
  #count = 0;
  #max = 0;

  constructor() {
    this.#timer = setInterval(() => this.#sample(), SAMPLE_INTERVAL_MS);
    this.#timer.unref();
  }

  take(): Lag {
    const lag = { mean: this.#count === 0 ? 0 : this.#sum / this.#count, max: this.#max };
    this.#sum = 0;
    this.#count = 0;
    this.#max = 0;
    return lag;
  }

  #sample(): void {
    const now = performance.now();
    const late = Math.max(0, now - this.#last - SAMPLE_INTERVAL_MS);
    this.#last = now;
    this.#sum += late;
    this.#count++;
    this.#max = Math.max(this.#max, late);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
