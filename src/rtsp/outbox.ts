/** What is on its way to one TCP client: written at once when possible, kept for later within a bound. */

/** Two seconds of 4 Mbps. A client further behind loses whole frames. */
const BACKLOG_BYTES_MAX = 1 << 20;
const BACKLOG_BYTES_FIRST = 64 << 10;
/** The largest keyframe, begun, and then some: a client that lets responses pile up that far is broken. */
const WAITING_BYTES_MAX = 16 << 20;

/** Takes bytes and says how many of them it took; negative when it is closed. */
export type Write = (bytes: Uint8Array) => number;

/** Whatever goes to one client goes through here, so that nothing overtakes. */
export class Outbox {
  /** Bytes that the client's connection took so far. */
  written = 0;
  readonly #write: Write;
  #backlog = new Uint8Array(0);
  #start = 0;
  #end = 0;

  constructor(write: Write) {
    this.#write = write;
  }

  /** Bytes that wait for the client to read on. */
  get waiting(): number {
    return this.#end - this.#start;
  }

  /**
   * Sends a frame, whole or not at all: false when the client is too far behind for it. A frame
   * that was begun is finished. Borrows `bytes`.
   */
  frame(bytes: Uint8Array): boolean {
    if (this.waiting > 0 && this.waiting + bytes.length > BACKLOG_BYTES_MAX) return false;
    return this.message(bytes);
  }

  /**
   * Sends a response or a report, in order with the frames and beyond their bound. False when it
   * had to be dropped all the same. Borrows `bytes`.
   */
  message(bytes: Uint8Array): boolean {
    if (this.waiting + bytes.length > WAITING_BYTES_MAX) return false;
    const written = this.waiting > 0 ? 0 : this.#write(bytes);
    if (written < 0) return false;
    this.written += written;
    if (written < bytes.length) this.#keep(bytes.subarray(written));
    return true;
  }

  /** The client reads again. */
  drain(): void {
    if (this.waiting === 0) return;
    const written = this.#write(this.#backlog.subarray(this.#start, this.#end));
    this.#start = written < 0 ? this.#end : this.#start + written;
    this.written += Math.max(0, written);
    if (this.waiting === 0) this.#start = this.#end = 0;
  }

  #keep(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#backlog.length) this.#makeRoom(bytes.length);
    this.#backlog.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #makeRoom(more: number): void {
    const waiting = this.#backlog.subarray(this.#start, this.#end);
    let length = Math.max(this.#backlog.length, BACKLOG_BYTES_FIRST);
    while (length < waiting.length + more) length *= 2;
    const roomy = length === this.#backlog.length ? this.#backlog : new Uint8Array(length);
    roomy.set(waiting);
    this.#end -= this.#start;
    this.#start = 0;
    this.#backlog = roomy;
  }
}
