/** What has to be known of a video track before a browser is given it as it is. */
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import { BFrames } from "../rtp/b-frames.ts";
import { readH265Sps } from "../rtp/h265-sps.ts";
import { isVideoCodec } from "../rtp/track-format.ts";
import type { Unit, UnitSink } from "../stream/sinks.ts";
import type { Track } from "../stream/track.ts";

/** Cameras that use B-frames at all do so within half a second. */
const UNITS_ENOUGH = 12;

/**
 * Whether a track's pictures come in another order than they are shown in: by its parameter sets,
 * and by its first pictures under them. Costs nothing once those were seen.
 */
export class PictureOrder implements UnitSink {
  readonly #track: Track;
  readonly #disordered: () => void;
  #detector = new BFrames("vp8");
  #changes = -1;
  #units = 0;
  #leave: (() => void) | null = null;
  readonly #waiting = new Set<() => void>();

  /** @param disordered called when such pictures are found, after viewers may have come */
  constructor(track: Track, disordered: () => void) {
    this.#track = track;
    this.#disordered = disordered;
  }

  /** Such pictures were found. */
  get found(): boolean {
    return this.#detector.found;
  }

  /** Looks at the pictures that are held and at those that come, when the parameter sets are new. */
  look(): void {
    const { changes, format, parameterSets } = this.#track;
    if (changes === this.#changes || !isVideoCodec(format.codec)) return;
    this.#changes = changes;
    this.#units = 0;
    this.#detector = new BFrames(format.codec);
    for (const set of parameterSets) this.#detector.parameterSet(set);
    this.#leave?.();
    this.#leave = this.#track.attachUnits(this, monotonicMs());
    if (this.#settled) this.#stop();
  }

  /**
   * Resolves when it is known, at the latest after this time. A track whose parameter sets do not
   * announce such pictures is not waited for: `disordered` tells if they come all the same.
   */
  async known(timeoutMs: Millis): Promise<void> {
    if (this.#settled || !this.#detector.announced) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    const timer = setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
    this.#waiting.delete(resolve);
  }

  unit({ bytes, length }: Unit): void {
    if (this.#settled) return;
    this.#units++;
    this.#detector.unit(bytes.subarray(0, length));
    if (!this.#settled) return;
    this.#stop();
    if (this.found) this.#disordered();
  }

  ended(): void {
    this.#stop();
  }

  get #settled(): boolean {
    return this.found || this.#units >= UNITS_ENOUGH;
  }

  #stop(): void {
    this.#leave?.();
    this.#leave = null;
    for (const wake of this.#waiting) wake();
  }
}

/** profile_idc of H.264 (RFC 6184 section 8.1) or H.265; `null` while not known. */
export function profileOf({ format, parameterSets }: Track): number | null {
  if (format.codec === "h264") return parameterSets[0]?.[1] ?? null;
  if (format.codec !== "h265") return null;
  for (const set of parameterSets) {
    const sps = readH265Sps(set);
    if (sps !== null) return sps.profile;
  }
  return null;
}
