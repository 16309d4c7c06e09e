/** How late timers fire: what everything else in this event loop waits for. */

/** 25 a second see a stall of one frame; the timer itself costs next to nothing. */
const SAMPLE_INTERVAL_MS = 40;
/** Ten seconds: what a percentile is taken of. */
const SAMPLES = 250;

/** Lateness in milliseconds: mean and maximum since the last `take`. */
export interface Lag {
  readonly mean: number;
  readonly max: number;
  /** Of the last ten seconds. */
  readonly p99: number;
}

export class LagMeter implements Disposable {
  readonly #timer: ReturnType<typeof setInterval>;
  #last = performance.now();
  #sum = 0;
  #count = 0;
  #max = 0;
  readonly #samples = new Float64Array(SAMPLES);
  #taken = 0;

  constructor() {
    this.#timer = setInterval(() => this.#sample(), SAMPLE_INTERVAL_MS);
    this.#timer.unref();
  }

  take(): Lag {
    const mean = this.#count === 0 ? 0 : this.#sum / this.#count;
    const lag = { mean, max: this.#max, p99: this.#p99() };
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
    this.#samples[this.#taken++ % SAMPLES] = late;
  }

  #p99(): number {
    const known = this.#samples.slice(0, Math.min(this.#taken, SAMPLES)).sort();
    return known[Math.floor(known.length * 0.99)] ?? 0;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
