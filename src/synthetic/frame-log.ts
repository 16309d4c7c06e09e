/** When a camera wrote which frame: what latency is measured against. */
import type { Millis, RtpTicks, UnixMs } from "../core/units.ts";

/** Two minutes at 25 fps. */
const FRAMES_MAX = 3_000;

/** One frame that went out, to one client or several. */
export interface FrameRecord {
  readonly camera: string;
  /** What the picture says of itself (pattern.ts). */
  readonly frame: number;
  readonly rtpTimestamp: RtpTicks;
  /** Right before its first byte was written, on two clocks. */
  readonly monotonicMs: Millis;
  readonly unixMs: UnixMs;
}

/** The last frames of one camera. */
export class FrameLog {
  readonly #camera: string;
  readonly #frames = new Uint16Array(FRAMES_MAX);
  readonly #timestamps = new Uint32Array(FRAMES_MAX);
  readonly #monotonic = new Float64Array(FRAMES_MAX);
  readonly #unix = new Float64Array(FRAMES_MAX);
  #count = 0;

  constructor(camera: string) {
    this.#camera = camera;
  }

  add(frame: number, rtpTimestamp: RtpTicks, monotonicMs: Millis, unixMs: UnixMs): void {
    const i = this.#count++ % FRAMES_MAX;
    this.#frames[i] = frame;
    this.#timestamps[i] = rtpTimestamp;
    this.#monotonic[i] = monotonicMs;
    this.#unix[i] = unixMs;
  }

  /** Frames written later than `since`, oldest first. */
  records(since: Millis): FrameRecord[] {
    const records: FrameRecord[] = [];
    for (let n = Math.max(0, this.#count - FRAMES_MAX); n < this.#count; n++) {
      const i = n % FRAMES_MAX;
      if (this.#monotonic[i]! <= since) continue;
      records.push({
        camera: this.#camera,
        frame: this.#frames[i]!,
        rtpTimestamp: this.#timestamps[i]!,
        monotonicMs: this.#monotonic[i]!,
        unixMs: this.#unix[i]!,
      });
    }
    return records;
  }
}

/** A record as others read it, over HTTP and in files. */
export function recordJson(record: FrameRecord) {
  return {
    camera: record.camera,
    frame: record.frame,
    rtp_timestamp: record.rtpTimestamp,
    monotonic_ms: record.monotonicMs,
    unix_ms: record.unixMs,
  };
}
