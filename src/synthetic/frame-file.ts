/** Frame records in a file, one line of JSON each, written behind the cameras' back. */
import { type FileHandle, open } from "node:fs/promises";
import { Fault } from "../core/fault.ts";
import { type FrameRecord, recordJson } from "./frame-log.ts";

/** Nothing is written more often; a reader of the file waits so long at most. */
const FLUSH_INTERVAL_MS = 250;
/** Ten seconds of 200 cameras. On a disk that is slower than that, records are dropped. */
const PENDING_MAX = 50_000;

/** Takes records without ever making a camera wait. */
export class FrameFile implements AsyncDisposable {
  /** Records that were not written because the disk was too slow or full. */
  dropped = 0;
  readonly #file: FileHandle;
  readonly #timer: NodeJS.Timeout;
  #pending: FrameRecord[] = [];
  #writing: Promise<void> | null = null;

  private constructor(file: FileHandle) {
    this.#file = file;
    this.#timer = setInterval(() => this.#flush(), FLUSH_INTERVAL_MS);
  }

  /** Creates the file, or empties it. @throws Fault config_invalid when that is not possible */
  static async open(path: string): Promise<FrameFile> {
    try {
      return new FrameFile(await open(path, "w"));
    } catch (cause) {
      const message = `Cannot write the frame log ${path}: choose a file that can be written.`;
      throw new Fault("config_invalid", message, { cause });
    }
  }

  add(record: FrameRecord): void {
    if (this.#pending.length < PENDING_MAX) this.#pending.push(record);
    else this.dropped++;
  }

  /** Writes what is pending and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    this.#flush();
    await this.#writing;
    await this.#file.close();
  }

  #flush(): void {
    if (this.#writing !== null || this.#pending.length === 0) return;
    const records = this.#pending;
    this.#pending = [];
    this.#writing = this.#write(records).finally(() => {
      this.#writing = null;
    });
  }

  async #write(records: readonly FrameRecord[]): Promise<void> {
    const lines = records.map((record) => `${JSON.stringify(recordJson(record))}\n`);
    try {
      await this.#file.appendFile(lines.join(""));
    } catch {
      // A full disk is seen in the statistics; the cameras go on.
      this.dropped += records.length;
    }
  }
}
