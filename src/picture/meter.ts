/** Mean and largest of what was measured since it was last asked. */
export class Meter {
  #count = 0;
  #sum = 0;
  #max = 0;

  add(value: number): void {
    this.#count++;
    this.#sum += value;
    this.#max = Math.max(this.#max, value);
  }

  /** Zeros when nothing was measured. Starts over. */
  take(): { mean: number; max: number } {
    const taken = { mean: this.#count === 0 ? 0 : this.#sum / this.#count, max: this.#max };
    this.#count = 0;
    this.#sum = 0;
    this.#max = 0;
    return taken;
  }
}
