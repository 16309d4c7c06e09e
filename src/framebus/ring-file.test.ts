import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Fault } from "../core/fault.ts";
import { monotonicMs } from "../native/clock.ts";
import type { RingPlace } from "./header.ts";
import { RingFile, type RingOptions } from "./ring-file.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/tmp", "onepull-test-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(over: Partial<RingOptions> = {}): RingFile {
  return new RingFile({ folder, name: "a.shm", width: 16, height: 4, now: monotonicMs(), ...over });
}

function write(ring: RingFile, value: number): RingPlace {
  ring.begin().fill(value);
  return ring.end();
}

/** A reader as docs/wire/frame.md describes it, on a mapping of its own. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #generations: BigUint64Array;
  constructor(path: string) {
    this.#bytes = Bun.mmap(path, { shared: true });
    const { buffer, byteOffset, length } = this.#bytes;
    this.#generations = new BigUint64Array(buffer, byteOffset, length / 8);
  }
  get slotBytes(): number {
    return Number(new DataView(this.#bytes.buffer, this.#bytes.byteOffset).getBigUint64(24, true));
  }
  generation(offset: number): number {
    return Number(Atomics.load(this.#generations, (offset - 64) / 8));
  }
  read({ offset, size, generation }: RingPlace): Uint8Array | null {
    if (this.generation(offset) !== generation) return null;
    const picture = this.#bytes.slice(offset, offset + size);
    return this.generation(offset) === generation ? picture : null;
  }
}

describe("ring file", () => {
  test("a picture is there until its slot comes round again", () => {
    using ring = open({ slots: 3 });
    const reader = new Reader(ring.path);
    const places = [1, 2, 3, 4].map((value) => write(ring, value));
    const [first, ...others] = places;
    expect(first && reader.read(first)).toBeNull();
    expect(others.map((place) => reader.read(place)?.[0])).toEqual([2, 3, 4]);
    const [second] = others;
    ring.begin();
    expect(second && reader.read(second)).toBeNull();
  });

  test("generations are even, grow by two, and are exact in a double", () => {
    using ring = open();
    const generations = [1, 2, 3].map((value) => write(ring, value).generation);
    const [first = 0] = generations;
    expect(generations).toEqual([first, first + 2, first + 4]);
    expect(first % 2).toBe(0);
    expect(Number.isSafeInteger(first)).toBe(true);
  });

  test("beginning again without an end gives the same slot", () => {
    using ring = open({ slots: 2 });
    write(ring, 1);
    ring.begin().fill(9);
    ring.begin().fill(2);
    const place = ring.end();
    expect(place.slot).toBe(1);
    expect(new Reader(ring.path).read(place)?.[0]).toBe(2);
  });

  test("a reader of the file before finds out, whatever was written since", () => {
    const old = open({ slots: 2 });
    const before = write(old, 1);
    const reader = new Reader(old.path);
    expect(reader.read(before)?.[0]).toBe(1);
    // The process dies without a word; the next one makes the file anew.
    using ring = open({ slots: 2 });
    const places = Array.from({ length: 50 }, (_, i) => write(ring, i));
    for (const place of places) expect(reader.read(place)).toBeNull();
    const last = places.at(-1);
    expect(last && new Reader(ring.path).read(last)?.[0]).toBe(49);
    old.close();
    expect(existsSync(ring.path)).toBe(true);
  });

  test("generations never repeat, however soon the file is made anew", () => {
    const seen = new Set<number>();
    for (let round = 0; round < 50; round++) {
      using ring = open({ slots: 2 });
      for (let i = 0; i < 20; i++) {
        const { generation } = write(ring, i);
        expect(seen.has(generation)).toBe(false);
        seen.add(generation);
      }
    }
  });

  test("mode, size and name; nothing is left after close", () => {
    const ring = open({ width: 100, height: 50, slots: 4 });
    const { mode, size } = statSync(ring.path);
    expect(mode & 0o777).toBe(0o640);
    expect(size).toBe(4096 + 4 * 16_384);
    expect(readdirSync(folder)).toEqual(["a.shm"]);
    ring.close();
    ring.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("the picture lies where the message says, and its slack within the slot", () => {
    using ring = open({ slots: 2 });
    const picture = ring.begin();
    picture.fill(7);
    new Uint8Array(picture.buffer, picture.byteOffset + picture.length, 64).fill(8);
    const place = ring.end();
    const bytes = readFileSync(ring.path);
    expect(bytes.subarray(place.offset, place.offset + place.size).every((b) => b === 7)).toBe(
      true,
    );
    expect(bytes.subarray(place.offset + place.size, place.offset + place.size + 64)[63]).toBe(8);
    expect(bytes.length).toBeGreaterThanOrEqual(place.offset + place.size + 64);
  });

  test("more than there is room for is refused in words, and leaves nothing behind", () => {
    const attempt = () => open({ width: 8192, height: 8192, slots: 1_000_000 });
    expect(attempt).toThrow(Fault);
    expect(attempt).toThrow("Subscribe to a smaller width");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a folder that cannot be one is a fault", () => {
    writeFileSync(join(folder, "file"), "");
    expect(() => open({ folder: join(folder, "file") })).toThrow(Fault);
    mkdirSync(join(folder, "taken.shm"));
    expect(() => open({ name: "taken.shm" })).toThrow(Fault);
    chmodSync(folder, 0o755);
    expect(readdirSync(folder).sort()).toEqual(["file", "taken.shm"]);
  });

  test("a writer at full speed: no torn picture goes unnoticed", async () => {
    const child = Bun.spawn(
      [
        process.execPath,
        join(import.meta.dir, "fixtures/write-ring.ts"),
        folder,
        "640",
        "360",
        "3",
      ],
      { stdout: "pipe" },
    );
    try {
      await child.stdout.getReader().read();
      const reader = new Reader(join(folder, "fast.shm"));
      const outcome = readTorn(reader, monotonicMs() + 2_000);
      expect(outcome.torn).toBe(0);
      expect(outcome.whole).toBeGreaterThan(10);
      // The trial is worth something only when the writer did get in between.
      expect(outcome.refused).toBeGreaterThan(10);
    } finally {
      child.kill("SIGKILL");
    }
  });
});

/** Reads the newest picture, over and over. It is torn when it is not of one value. */
function readTorn(reader: Reader, deadline: number) {
  const size = 640 * 360 * 3;
  const offsets = [0, 1, 2].map((slot) => 4096 + slot * reader.slotBytes + 64);
  const outcome = { whole: 0, refused: 0, torn: 0 };
  while (monotonicMs() < deadline) {
    const complete = offsets
      .map((offset) => ({ offset, generation: reader.generation(offset) }))
      .filter(({ generation }) => generation % 2 === 0 && generation > 0)
      .sort((a, b) => b.generation - a.generation);
    // The oldest as well as the newest: the one is overwritten at once, the other seldom.
    for (const place of [complete.at(0), complete.at(-1)]) {
      const picture = place ? reader.read({ path: "", slot: 0, size, ...place }) : null;
      if (picture === null) outcome.refused++;
      else if (isOneValue(picture)) outcome.whole++;
      else outcome.torn++;
    }
  }
  return outcome;
}

function isOneValue(picture: Uint8Array): boolean {
  const words = new Uint32Array(picture.buffer, picture.byteOffset, picture.length >> 2);
  const first = words[0];
  return words.every((word) => word === first);
}
