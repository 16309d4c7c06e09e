/**
 * Which decode process serves which camera. Decoding starts with the first subscription of a
 * camera and stops a while after the last; processes come and go with their cameras. Runs in the
 * hub. No processes and no clock in here: actions out, `now` in.
 *
 * @module
 */
import type { Millis } from "../core/units.ts";

/** A worker that restarts within this finds its camera still decoding. */
const LINGER_MS = 5_000;
/** One process decodes about this many 1080p cameras on one core. */
const CAMERAS_PER_GROUP_MAX = 8;
/** Starting a process costs a second of first-frame time; an idle one costs 70 MB. */
const GROUP_IDLE_MS = 60_000;

/** What the placement has done. Promises may reject: it is tried again at the next `tick`. */
export interface PlacementActions {
  startGroup(group: string): void;
  stopGroup(group: string): void;
  /** Tells the group's process what to make of the camera; no topics ends it. */
  decode(group: string, camera: string, topics: readonly string[]): Promise<void>;
  /** Tells the media process where to send the camera's access units; `null` ends it. */
  feed(camera: string, group: string | null): Promise<void>;
}

interface Placed {
  readonly group: string;
  topics: readonly string[];
  /** When nobody has wanted the camera for long enough. */
  until: Millis;
  /** What the group and the media process were told last, `null` when they know nothing. */
  told: string | null;
  fed: boolean;
  busy: boolean;
}

interface Group {
  up: boolean;
  idleSince: Millis;
}

export class Placement {
  readonly #actions: PlacementActions;
  readonly #cameras = new Map<string, Placed>();
  readonly #groups = new Map<string, Group>();
  #mediaUp = false;

  constructor(actions: PlacementActions) {
    this.#actions = actions;
  }

  /** The group that decodes the camera, or `null`. */
  groupOf(camera: string): string | null {
    return this.#cameras.get(camera)?.group ?? null;
  }

  /** All topics that are subscribed to now, by camera. */
  demand(topics: ReadonlyMap<string, readonly string[]>, now: Millis): void {
    for (const [camera, wanted] of topics) {
      const placed = this.#cameras.get(camera) ?? this.#place(camera);
      placed.topics = [...wanted].sort();
      placed.until = Number.POSITIVE_INFINITY;
    }
    for (const [camera, placed] of this.#cameras) {
      if (topics.has(camera) || placed.until !== Number.POSITIVE_INFINITY) continue;
      placed.until = now + LINGER_MS;
    }
    this.tick(now);
  }

  groupUp(group: string, now: Millis): void {
    const state = this.#groups.get(group);
    if (state) state.up = true;
    this.tick(now);
  }

  /** The process is gone; it will come back knowing nothing, and its socket is a new one. */
  groupDown(group: string): void {
    const state = this.#groups.get(group);
    if (state) state.up = false;
    for (const placed of this.#cameras.values()) {
      if (placed.group !== group) continue;
      placed.told = null;
      placed.fed = false;
    }
  }

  mediaUp(now: Millis): void {
    this.#mediaUp = true;
    this.tick(now);
  }

  mediaDown(): void {
    this.#mediaUp = false;
    for (const placed of this.#cameras.values()) placed.fed = false;
  }

  /** The media process no longer sends this camera's units anywhere; it is told again. */
  feedLost(camera: string): void {
    const placed = this.#cameras.get(camera);
    if (placed) placed.fed = false;
  }

  /** Lets time pass: ends what lingered long enough, tries again what failed. */
  tick(now: Millis): void {
    for (const [camera, placed] of this.#cameras) {
      if (now >= placed.until) this.#remove(camera, placed, now);
      else void this.#settle(camera, placed);
    }
    for (const [name, group] of this.#groups) {
      if (this.#load(name) > 0 || now < group.idleSince + GROUP_IDLE_MS) continue;
      this.#groups.delete(name);
      this.#actions.stopGroup(name);
    }
  }

  #place(camera: string): Placed {
    const group = this.#roomiest() ?? this.#newGroup();
    const placed: Placed = {
      group,
      topics: [],
      until: Number.POSITIVE_INFINITY,
      told: null,
      fed: false,
      busy: false,
    };
    this.#cameras.set(camera, placed);
    return placed;
  }

  #newGroup(): string {
    let number = 0;
    while (this.#groups.has(`decode-${number}`)) number++;
    const name = `decode-${number}`;
    this.#groups.set(name, { up: false, idleSince: Number.POSITIVE_INFINITY });
    this.#actions.startGroup(name);
    return name;
  }

  #roomiest(): string | null {
    let best: string | null = null;
    for (const name of this.#groups.keys()) {
      if (this.#load(name) >= CAMERAS_PER_GROUP_MAX) continue;
      if (best === null || this.#load(name) < this.#load(best)) best = name;
    }
    return best;
  }

  #load(group: string): number {
    let cameras = 0;
    for (const placed of this.#cameras.values()) if (placed.group === group) cameras++;
    return cameras;
  }

  /** Brings both processes to what is wanted, one step at a time; a failure waits for `tick`. */
  async #settle(camera: string, placed: Placed): Promise<void> {
    const wanted = placed.topics.join("\n");
    const settled = placed.told === wanted && placed.fed;
    if (placed.busy || settled || !this.#groups.get(placed.group)?.up) return;
    placed.busy = true;
    try {
      if (placed.told !== wanted) {
        await this.#actions.decode(placed.group, camera, placed.topics);
        placed.told = wanted;
      }
      if (!placed.fed && this.#mediaUp) {
        await this.#actions.feed(camera, placed.group);
        placed.fed = true;
      }
    } catch {
      // The process went away under the call: its supervisor says so, and `tick` tries again.
    } finally {
      placed.busy = false;
    }
  }

  #remove(camera: string, placed: Placed, now: Millis): void {
    this.#cameras.delete(camera);
    const group = this.#groups.get(placed.group);
    if (group && this.#load(placed.group) === 0) group.idleSince = now;
    const ignore = (): void => {
      // A process that is gone decodes and feeds nothing any more.
    };
    this.#actions.feed(camera, null).catch(ignore);
    this.#actions.decode(placed.group, camera, []).catch(ignore);
  }
}
