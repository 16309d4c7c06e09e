/** Scaling and conversion of pictures by libswscale, which node-av brings along. */
import {
  type AVPixelFormat,
  SWS_ACCURATE_RND,
  SWS_FAST_BILINEAR,
  type SwsFlags,
} from "node-av/constants";
import { type Frame, SoftwareScaleContext } from "node-av/lib";

/** Tables of this many sizes are kept: as many as a camera is watched in, and then some. */
const SCALERS_MAX = 8;

/** libswscale's tables for the conversions that one camera needs. */
export class Scalers implements Disposable {
  /** By what they are made for, oldest first. */
  readonly #scalers = new Map<string, SoftwareScaleContext>();

  /** What turns `frame` into pictures of this size and format; owned here. */
  for(frame: Frame, width: number, height: number, to: AVPixelFormat): SoftwareScaleContext {
    const key = `${frame.width}x${frame.height}:${frame.format}:${width}x${height}:${to}`;
    const kept = this.#scalers.get(key);
    if (kept) return kept;
    for (const [oldKey, old] of this.#scalers) {
      if (this.#scalers.size < SCALERS_MAX) break;
      this.#scalers.delete(oldKey);
      old.freeContext();
    }
    const made = new SoftwareScaleContext();
    // A decoded picture is a video frame, so its format is a pixel format.
    const from = frame.format as AVPixelFormat;
    const flags = scalerFlags(frame, width, height);
    made.getContext(frame.width, frame.height, from, width, height, to, flags);
    this.#scalers.set(key, made);
    return made;
  }

  /** Frees every table. Idempotent. */
  [Symbol.dispose](): void {
    for (const scaler of this.#scalers.values()) scaler.freeContext();
    this.#scalers.clear();
  }
}

/**
 * libswscale's fast conversion without scaling writes eight pixels at a time and leaves the rest of
 * a row as it was, unless rows are padded: other widths take the exact, slower path.
 */
function scalerFlags(frame: Frame, width: number, height: number): SwsFlags {
  const unscaled = frame.width === width && frame.height === height;
  if (!unscaled || width % 8 === 0) return SWS_FAST_BILINEAR;
  return (SWS_FAST_BILINEAR | SWS_ACCURATE_RND) as SwsFlags;
}
