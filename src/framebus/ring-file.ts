/**
 * Pictures in shared memory: a file of slots on tmpfs that one process writes and any number map
 * and read. Nobody locks; a reader finds out by the slot's generation counter whether what it read
 * was overwritten meanwhile. Normative description, byte by byte: docs/wire/frame.md.
 *
 * @module
 */
import {
  closeSync,
  existsSync,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { assert, Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { FRAME_SLACK_BYTES } from "../stream/sinks.ts";
import type { RingPlace } from "./header.ts";

const MAGIC = "onepull\0";
const VERSION = 1;
const PAGE_BYTES = 4_096;
const SLOT_HEAD_BYTES = 64;
const PIXELS = "bgr24";

/** A reader of a view has so many pictures less one until it is overwritten: 280 ms at 25 fps. */
const SLOTS = 8;
/** Large pictures get half of that, or /dev/shm is full of a few cameras. */
const SLOTS_LARGE = 4;
const LARGE_PICTURE_BYTES = 4 << 20;

/** The hub's group may read pictures; the folder may narrow that. */
const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;
/** Left for what else lives in /dev/shm: filling it up would kill whoever writes next. */
const SPARE_BYTES = 16 << 20;
const FILL_BYTES = 1 << 20;

/** Generations per millisecond at the start of a file: see `firstGeneration`. */
const GENERATIONS_PER_MS = 8_000;

export interface RingOptions {
  readonly folder: string;
  /** The file's name. An older file of that name is replaced, and its readers find out. */
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** CLOCK_MONOTONIC. */
  readonly now: Millis;
  /** Instead of the number that suits the picture's size. */
  readonly slots?: number;
}

export class RingFile implements Disposable {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly #inode: number;
  readonly #size: number;
  readonly #slotBytes: number;
  readonly #generations: BigUint64Array;
  readonly #pictures: readonly Uint8Array[];
  /** Even; of the picture before. */
  #generation: number;
  #written = 0;
  #closed = false;

  /** @throws Fault `shared_memory` */
  constructor(options: RingOptions) {
    const { folder, name, width, height } = options;
    this.path = join(folder, name);
    this.width = width;
    this.height = height;
    this.#size = width * height * 3;
    this.#slotBytes = pages(SLOT_HEAD_BYTES + this.#size + FRAME_SLACK_BYTES);
    const slots = options.slots ?? (this.#size > LARGE_PICTURE_BYTES ? SLOTS_LARGE : SLOTS);
    this.#generation = firstGeneration(options.now);
    const made = makeFile(folder, name, PAGE_BYTES + slots * this.#slotBytes, (bytes) =>
      this.#writeHead(bytes, slots),
    );
    this.#inode = made.inode;
    const { buffer, byteOffset, length } = made.bytes;
    this.#generations = new BigUint64Array(buffer, byteOffset, length / 8);
    this.#pictures = Array.from({ length: slots }, (_, slot) => {
      return new Uint8Array(buffer, byteOffset + this.#pixelsAt(slot), this.#size);
    });
  }

  /**
   * The slot of the oldest picture, to be written now; its readers find out. FRAME_SLACK_BYTES
   * behind it are this slot's too. Called again before `end`, it gives the same slot.
   */
  begin(): Uint8Array {
    const slot = this.#written % this.#pictures.length;
    const picture = this.#pictures[slot];
    assert(picture !== undefined, "a ring has a picture for every slot");
    this.#store(slot, this.#generation + 1);
    return picture;
  }

  /** The picture is complete. Returns where readers find it. */
  end(): RingPlace {
    const slot = this.#written % this.#pictures.length;
    this.#generation += 2;
    this.#written++;
    this.#store(slot, this.#generation);
    return {
      path: this.path,
      slot,
      offset: this.#pixelsAt(slot),
      size: this.#size,
      generation: this.#generation,
    };
  }

  /** Removes the file, unless another has taken its name. Who maps it keeps it. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const there = statSync(this.path, { throwIfNoEntry: false });
    if (there?.ino === this.#inode) rmSync(this.path, { force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #pixelsAt(slot: number): number {
    return PAGE_BYTES + slot * this.#slotBytes + SLOT_HEAD_BYTES;
  }

  /** Exchanging, not storing, also keeps what is written next from moving in front of it. */
  #store(slot: number, generation: number): void {
    const at = (PAGE_BYTES + slot * this.#slotBytes) / 8;
    Atomics.exchange(this.#generations, at, BigInt(generation));
  }

  #writeHead(bytes: Uint8Array, slots: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_BYTES);
    const encoder = new TextEncoder();
    encoder.encodeInto(MAGIC, bytes);
    view.setUint32(8, VERSION, true);
    view.setUint32(12, PAGE_BYTES, true);
    view.setUint32(16, slots, true);
    view.setUint32(20, SLOT_HEAD_BYTES, true);
    view.setBigUint64(24, BigInt(this.#slotBytes), true);
    view.setUint32(32, this.width, true);
    view.setUint32(36, this.height, true);
    view.setUint32(40, this.width * 3, true);
    encoder.encodeInto(PIXELS, bytes.subarray(48, 56));
  }
}

/**
 * Where a file's generations begin: by a clock that never goes back, and ahead of what an older
 * file of the same name can have counted up to, at less than four million pictures a second. So a
 * generation is never seen twice, and a reader of a dead process's file notices. Exact in a double
 * for 35 years of uptime.
 */
function firstGeneration(now: Millis): number {
  return 2 * Math.floor((now * GENERATIONS_PER_MS) / 2);
}

/** Rounded up to whole pages. */
function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

/** Makes the file under another name, complete with its head, and then gives it its name. */
function makeFile(
  folder: string,
  name: string,
  bytes: number,
  writeHead: (bytes: Uint8Array) => void,
): { bytes: Uint8Array; inode: number } {
  const temporary = join(folder, `.${name}.${process.pid}`);
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
    refuseWhenFull(folder, name, bytes);
    const inode = allocate(temporary, bytes);
    const mapped = Bun.mmap(temporary, { shared: true });
    writeHead(mapped);
    renameSync(temporary, join(folder, name));
    return { bytes: mapped, inode };
  } catch (thrown) {
    if (existsSync(temporary)) rmSync(temporary);
    if (thrown instanceof Fault) throw thrown;
    const message = `Cannot make ${join(folder, name)} for pictures: ${String(thrown)}.`;
    throw new Fault("shared_memory", message, { cause: thrown });
  }
}

function refuseWhenFull(folder: string, name: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= bytes + SPARE_BYTES) return;
  const mib = (count: number): string => `${Math.ceil(count / (1 << 20))} MiB`;
  const message =
    `No room for ${name}: its pictures take ${mib(bytes)}, and ${folder} has ${mib(free)} left, ` +
    `of which ${mib(SPARE_BYTES)} are kept free. Subscribe to a smaller width, or enlarge it ` +
    "(mount -o remount,size=2g /dev/shm; in a container --shm-size).";
  throw new Fault("shared_memory", message);
}

/**
 * Writes the whole file once: memory that is not there is an error here, and not a SIGBUS in the
 * middle of a picture. Returns its inode.
 */
function allocate(path: string, bytes: number): number {
  const file = openSync(path, "w+", FILE_MODE);
  try {
    fchmodSync(file, FILE_MODE);
    const zeros = new Uint8Array(FILL_BYTES);
    for (let left = bytes; left > 0; )
      left -= writeSync(file, zeros, 0, Math.min(left, FILL_BYTES));
    return fstatSync(file).ino;
  } finally {
    closeSync(file);
  }
}
