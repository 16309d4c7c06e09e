/**
 * One camera's pictures: access units in, pictures of every wanted size out. What may be wrong is
 * not delivered (taint.ts), and what is late is left out (lag.ts).
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { type Millis, type RtpTicks, ticksBetween, type UnixMs } from "../core/units.ts";
import type { HardwareDevice, Picture, PictureDecoder } from "../native/av-decode.ts";
import type { DecoderStats } from "../process/protocol.ts";
import { isWithoutPicture } from "../rtp/annex-b.ts";
import type { FrameFacts, FrameFormat, FrameSink, Unit } from "../stream/sinks.ts";
import { LagControl } from "./lag.ts";
import { Meter } from "./meter.ts";
import { Taint, type TaintCause } from "./taint.ts";

/** Units in the decoder at once: H.264 holds back 16 pictures at most (ITU-T H.264 A.3.1). */
const PENDING_LENGTH = 32;
/** A full /dev/shm is tried again this often, for each format by itself. */
const SINK_RETRY_MS: Millis = 5_000;
/** One keyframe may be broken by itself; a device that fails at two in a row cannot do the stream. */
const DEVICE_FAILURES_MAX = 2;

/** Why a picture was not delivered. */
export type DropCause =
  | TaintCause
  /** Left out between the media process and here. */
  | "not_received"
  /** Decoded, but too late to be worth converting. */
  | "late"
  /** No room for it in shared memory. */
  | "no_room";

export interface CameraDecoderOptions {
  readonly camera: string;
  /** Decodes where it can; `null` for the processor. */
  readonly device: HardwareDevice | null;
  readonly openDecoder: (device: HardwareDevice | null) => PictureDecoder;
  readonly openSink: (format: FrameFormat) => FrameSink;
  /** Hears of what a person should know. */
  readonly fault: (fault: Fault) => void;
  readonly now: () => Millis;
  readonly unixNow: () => UnixMs;
}

/** What is known of a unit until its picture comes. */
interface Pending {
  readonly unit: Omit<Unit, "bytes" | "length">;
  readonly mediaTicks: number;
  readonly convert: boolean;
}

interface Output {
  readonly format: FrameFormat;
  readonly sink: FrameSink;
  /** When to try again after there was no room. */
  retryAt: Millis;
}

export class CameraDecoder implements Disposable {
  readonly #options: CameraDecoderOptions;
  readonly #taint = new Taint();
  readonly #lag = new LagControl();
  #decoder: PictureDecoder;
  #device: HardwareDevice | null;
  #deviceFailures = 0;
  #outputs: readonly Output[] = [];
  /** By sequence number modulo the length. */
  readonly #pending = new Array<Pending | null>(PENDING_LENGTH).fill(null);
  /** Units sent whose pictures have not come. */
  #outstanding = 0;
  /** The last picture, while it is a replayed one that may turn out to be the newest. */
  #held: { readonly pending: Pending; readonly picture: Picture } | null = null;
  #last: { readonly sequence: number; readonly timestamp: RtpTicks } | null = null;
  #mediaTicks = 0;
  #decoded = 0;
  #delivered = 0;
  #droppedSince = 0;
  readonly #dropped: Partial<Record<DropCause, number>> = {};
  #leftOut = false;
  readonly #decodeMs = new Meter();
  readonly #latencyMs = new Meter();

  /** @throws Fault `native_unavailable`, `decode_failed` */
  constructor(options: CameraDecoderOptions) {
    this.#options = options;
    this.#device = options.device;
    this.#decoder = this.#open();
  }

  get formats(): readonly FrameFormat[] {
    return this.#outputs.map((output) => output.format);
  }

  /** What the pictures are wanted as, from the next one on. */
  setFormats(formats: readonly FrameFormat[]): void {
    const kept = this.#outputs.filter((output) => formats.some((one) => same(one, output.format)));
    for (const output of this.#outputs) if (!kept.includes(output)) output.sink.close();
    const added = formats.filter((one) => !kept.some((output) => same(one, output.format)));
    const opened = added.map((format) => {
      return { format, sink: this.#options.openSink(format), retryAt: 0 };
    });
    this.#outputs = [...kept, ...opened];
  }

  /** Takes the next unit, borrowed, and decodes it before it returns. */
  unit(unit: Unit): void {
    const now = this.#options.now();
    this.#held = null;
    this.#follow(unit);
    const pace = this.#lag.next(unit, now);
    if (pace === "drop") {
      this.#taint.spoil("behind");
      this.#leaveOut("behind");
      return;
    }
    const doubted = this.#taint.cause !== null;
    this.#taint.enter(unit);
    if (this.#taint.cause !== null) {
      this.#drop(this.#taint.cause);
      return;
    }
    if (doubted) this.#restart();
    this.#decode(unit, pace === "convert", now);
  }

  /** The units so far were stored ones: the newest of them is worth a picture. */
  replayEnded(): void {
    const held = this.#held;
    this.#held = null;
    if (held) this.#deliver(held.pending, held.picture);
  }

  /** Counters since the start; times since the last call. */
  takeStats(): DecoderStats {
    const degraded = this.#leftOut || this.#lag.behind;
    this.#leftOut = false;
    return {
      camera: this.#options.camera,
      device: this.#decoder.device,
      degraded,
      decoded: this.#decoded,
      delivered: this.#delivered,
      dropped: { ...this.#dropped },
      decodeMs: this.#decodeMs.take(),
      latencyMs: this.#latencyMs.take(),
    };
  }

  /** Frees the decoder and closes every sink. Idempotent. */
  close(): void {
    this.setFormats([]);
    this.#held = null;
    this.#decoder.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Keeps the media time, and notices units that never came. */
  #follow(unit: Unit): void {
    const last = this.#last;
    this.#last = { sequence: unit.sequence, timestamp: unit.timestamp };
    if (last === null) {
      this.#mediaTicks = unit.timestamp;
      return;
    }
    this.#mediaTicks += ticksBetween(unit.timestamp, last.timestamp);
    const missing = unit.sequence - last.sequence - 1;
    // Numbers start over with a new media process, and a replay repeats some.
    if (missing > 0) this.#drop("not_received", missing);
    if (missing !== 0) this.#taint.spoil("gap");
  }

  #decode(unit: Unit, convert: boolean, now: Millis): void {
    const bytes = unit.bytes.subarray(0, unit.length);
    const { bytes: _bytes, length: _length, ...facts } = unit;
    const pending = { unit: facts, mediaTicks: this.#mediaTicks, convert };
    const expected = !isWithoutPicture(bytes);
    if (expected) {
      this.#pending[unit.sequence % PENDING_LENGTH] = pending;
      this.#outstanding++;
    }
    // libav calls a unit without a picture an error, although it reads what is in there.
    const sent = this.#decoder.send(bytes, unit.sequence) || !expected;
    if (sent) this.#receive(now);
    if (!sent) this.#failed("send_error", pending);
    else if (this.#outstanding > this.#decoder.reorderPictures) {
      this.#failed("missing_output", pending);
    }
  }

  /**
   * Takes the pictures that are due; decoding began at `started`. The last one stays in the
   * decoder, for `replayEnded`.
   */
  #receive(started: Millis): void {
    let picture = this.#decoder.receive();
    this.#decodeMs.add(this.#options.now() - started);
    while (picture) {
      this.#picture(picture);
      const due = this.#outstanding > this.#decoder.reorderPictures;
      picture = due ? this.#decoder.receive() : null;
    }
  }

  #picture(picture: Picture): void {
    const pending = this.#pending[picture.sequence % PENDING_LENGTH];
    if (pending?.unit.sequence !== picture.sequence) return;
    this.#pending[picture.sequence % PENDING_LENGTH] = null;
    this.#outstanding--;
    this.#decoded++;
    if (picture.faulty) {
      this.#failed("decode_error", pending);
      return;
    }
    if (pending.convert) this.#deliver(pending, picture);
    else if (pending.unit.replayed) this.#held = { pending, picture };
    else this.#leaveOut("late");
  }

  #failed(cause: TaintCause, { unit }: Pending): void {
    this.#taint.spoil(cause);
    this.#drop(cause);
    if (this.#device === null || !unit.keyframe) return;
    if (++this.#deviceFailures >= DEVICE_FAILURES_MAX) this.#useSoftware(this.#device);
  }

  /** On the device while there is one; a device that is full leaves the camera to the processor. */
  #open(): PictureDecoder {
    const { openDecoder, fault } = this.#options;
    try {
      return openDecoder(this.#device);
    } catch (thrown) {
      if (this.#device === null || !(thrown instanceof Fault)) throw thrown;
      this.#device = null;
      fault(thrown);
      return openDecoder(null);
    }
  }

  #useSoftware(device: HardwareDevice): void {
    const { camera, fault } = this.#options;
    this.#device = null;
    this.#decoder.close();
    this.#decoder = this.#open();
    this.#outstanding = 0;
    const message = `${device.name} fails at the stream of camera ${camera}: it is decoded in software from now on.`;
    fault(new Fault("decode_failed", message));
  }

  /** Before the first unit that is believed again: what the decoder still knows is not. */
  #restart(): void {
    this.#decoder.flush();
    this.#pending.fill(null);
    this.#outstanding = 0;
  }

  #deliver(pending: Pending, picture: Picture): void {
    let delivered = false;
    for (const output of this.#outputs) {
      const { width, height } = fit(picture, output.format.width);
      const target = this.#claim(output, width, height);
      if (target === null) continue;
      if (!this.#decoder.scale(target, width, height)) {
        this.#failed("missing_output", pending);
        return;
      }
      output.sink.publish(this.#facts(pending, width, height));
      delivered = true;
    }
    if (!delivered) return;
    this.#deviceFailures = 0;
    this.#delivered++;
    this.#droppedSince = 0;
    this.#latencyMs.add(this.#options.now() - pending.unit.arrived);
  }

  #facts({ unit, mediaTicks }: Pending, width: number, height: number): FrameFacts {
    return {
      sequence: unit.sequence,
      width,
      height,
      stride: width * 3,
      timestamp: unit.timestamp,
      mediaTicks,
      captured: unit.captured,
      capturedClock: unit.capturedClock,
      decoded: this.#options.unixNow(),
      keyframe: unit.keyframe,
      damaged: false,
      droppedBefore: this.#droppedSince,
    };
  }

  /** `null` while there is no room for the picture. */
  #claim(output: Output, width: number, height: number): Uint8Array | null {
    if (this.#options.now() < output.retryAt) return null;
    try {
      return output.sink.claim(width, height);
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      output.retryAt = this.#options.now() + SINK_RETRY_MS;
      this.#drop("no_room");
      this.#options.fault(thrown);
      return null;
    }
  }

  /** Left out to keep up. */
  #leaveOut(cause: DropCause): void {
    this.#leftOut = true;
    this.#drop(cause);
  }

  #drop(cause: DropCause, count = 1): void {
    this.#dropped[cause] = (this.#dropped[cause] ?? 0) + count;
    this.#droppedSince += count;
  }
}

function same(a: FrameFormat, b: FrameFormat): boolean {
  return a.kind === b.kind && a.width === b.width;
}

/** The wanted width in the picture's own shape, never larger than the picture; an even height. */
function fit(picture: Picture, wanted: number): { width: number; height: number } {
  if (wanted >= picture.width) return { width: picture.width, height: picture.height };
  const height = 2 * Math.round((picture.height * wanted) / picture.width / 2);
  return { width: wanted, height: Math.max(2, height) };
}
