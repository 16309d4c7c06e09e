/**
 * One video track's pictures: units in, pictures out that can be believed. What may be wrong is not
 * handed on (taint.ts), and what is late is left out (lag.ts).
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { type Millis, type RtpTicks, ticksBetween } from "../core/units.ts";
import type { HardwareDevice, Picture, PictureDecoder } from "../native/av-decode.ts";
import { isLeading, isWithoutPicture } from "../rtp/pictures.ts";
import type { VideoCodec } from "../rtp/track-format.ts";
import type { Unit } from "../stream/sinks.ts";
import { LagControl, type LagPace } from "./lag.ts";
import { Meter } from "./meter.ts";
import { Taint, type TaintCause } from "./taint.ts";

/** Units in the decoder at once: H.264 holds back 16 pictures at most (ITU-T H.264 A.3.1). */
const PENDING_LENGTH = 32;
/** One keyframe may be broken by itself; a device that fails at two in a row cannot do the stream. */
const DEVICE_FAILURES_MAX = 2;

/** Why a picture was not delivered. */
export type DropCause =
  | TaintCause
  /** Left out on the way from the media process. */
  | "not_received"
  /** Decoded, but too late to be worth anything. */
  | "late"
  /** Nobody had room for it. */
  | "no_room";

/** What is known of a picture besides its pixels. */
export interface PictureFacts {
  readonly unit: Omit<Unit, "bytes" | "length">;
  /** Its timestamp without the wrap: ticks that go on growing while the track is decoded. */
  readonly mediaTicks: number;
  /** Pictures that were not delivered since the last one that was. */
  readonly droppedBefore: number;
}

/** What became of a picture that was handed on. */
export type Outcome =
  /** Somebody has it. */
  | "delivered"
  /** Nobody could take it. */
  | "unused"
  /** The decoder's device did not hand it out. */
  | "unreadable";

/** Takes a picture, which is the decoder's until this returns. */
export type TakePicture = (
  picture: Picture,
  decoder: PictureDecoder,
  facts: PictureFacts,
) => Outcome;

export interface TrackDecoderOptions {
  readonly camera: string;
  readonly codec: VideoCodec;
  /** Decodes where it can; `null` for the processor. */
  readonly device: HardwareDevice | null;
  readonly openDecoder: (codec: VideoCodec, device: HardwareDevice | null) => PictureDecoder;
  readonly picture: TakePicture;
  /** Which pictures are decoded and not handed on; as frame bus workers want it unless given. */
  readonly pace?: LagPace;
  /** Hears of what a person should know. */
  readonly fault: (fault: Fault) => void;
  readonly now: () => Millis;
}

/** Counters since the start; times since they were last taken. */
export interface TrackDecoderStats {
  readonly device: string;
  /** Work is left out to keep up. */
  readonly degraded: boolean;
  readonly decoded: number;
  readonly delivered: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly decodeMs: { readonly mean: number; readonly max: number };
  readonly latencyMs: { readonly mean: number; readonly max: number };
}

/** What is known of a unit until its picture comes. */
interface Pending {
  readonly unit: PictureFacts["unit"];
  readonly mediaTicks: number;
  readonly wanted: boolean;
}

export class TrackDecoder implements Disposable {
  readonly #options: TrackDecoderOptions;
  readonly #taint = new Taint();
  readonly #lag: LagControl;
  #decoder: PictureDecoder;
  #device: HardwareDevice | null;
  #deviceFailures = 0;
  /** By sequence number modulo the length. */
  readonly #pending = new Array<Pending | null>(PENDING_LENGTH).fill(null);
  /** Units sent whose pictures have not come. */
  #outstanding = 0;
  /** The decoder began with the last keyframe, so it leaves out what refers further back. */
  #beganHere = true;
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
  constructor(options: TrackDecoderOptions) {
    this.#options = options;
    this.#lag = new LagControl(options.pace);
    this.#device = options.device;
    this.#decoder = this.#open();
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
      this.drop(this.#taint.cause);
      return;
    }
    if (doubted) this.#restart();
    else if (unit.keyframe) this.#beganHere = false;
    this.#decode(unit, pace === "convert", now);
  }

  /** The units so far were stored ones: the newest of them is worth a picture. */
  replayEnded(): void {
    const held = this.#held;
    this.#held = null;
    if (held) this.#deliver(held.pending, held.picture);
  }

  /** Counts what could not be delivered for a reason of the taker's. */
  drop(cause: DropCause, count = 1): void {
    this.#dropped[cause] = (this.#dropped[cause] ?? 0) + count;
    this.#droppedSince += count;
  }

  takeStats(): TrackDecoderStats {
    const degraded = this.#leftOut || this.#lag.behind;
    this.#leftOut = false;
    return {
      device: this.#decoder.device,
      degraded,
      decoded: this.#decoded,
      delivered: this.#delivered,
      dropped: { ...this.#dropped },
      decodeMs: this.#decodeMs.take(),
      latencyMs: this.#latencyMs.take(),
    };
  }

  /** Frees the decoder. Idempotent. */
  close(): void {
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
    if (missing > 0) this.drop("not_received", missing);
    if (missing !== 0) this.#taint.spoil("gap");
  }

  #decode(unit: Unit, wanted: boolean, now: Millis): void {
    const bytes = unit.bytes.subarray(0, unit.length);
    const { bytes: _bytes, length: _length, ...facts } = unit;
    const pending = { unit: facts, mediaTicks: this.#mediaTicks, wanted };
    const expected = this.#expects(bytes);
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

  /** Whether the decoder owes a picture for this unit. */
  #expects(bytes: Uint8Array): boolean {
    const { codec } = this.#options;
    return !isWithoutPicture(codec, bytes) && !(this.#beganHere && isLeading(codec, bytes));
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
    if (pending.wanted) this.#deliver(pending, picture);
    else if (pending.unit.replayed) this.#held = { pending, picture };
    else this.#leaveOut("late");
  }

  #failed(cause: TaintCause, { unit }: Pick<Pending, "unit">): void {
    this.#taint.spoil(cause);
    this.drop(cause);
    if (this.#device === null || !unit.keyframe) return;
    if (++this.#deviceFailures >= DEVICE_FAILURES_MAX) this.#useSoftware(this.#device);
  }

  /** On the device while there is one; a device that is full leaves the camera to the processor. */
  #open(): PictureDecoder {
    const { codec, openDecoder, fault } = this.#options;
    try {
      return openDecoder(codec, this.#device);
    } catch (thrown) {
      if (this.#device === null || !(thrown instanceof Fault)) throw thrown;
      this.#device = null;
      fault(thrown);
      return openDecoder(codec, null);
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
    this.#beganHere = true;
  }

  #deliver(pending: Pending, picture: Picture): void {
    const { unit, mediaTicks } = pending;
    const facts = { unit, mediaTicks, droppedBefore: this.#droppedSince };
    const outcome = this.#options.picture(picture, this.#decoder, facts);
    if (outcome === "unreadable") this.#failed("missing_output", pending);
    if (outcome !== "delivered") return;
    this.#deviceFailures = 0;
    this.#delivered++;
    this.#droppedSince = 0;
    this.#latencyMs.add(this.#options.now() - unit.arrived);
  }

  /** Left out to keep up. */
  #leaveOut(cause: DropCause): void {
    this.#leftOut = true;
    this.drop(cause);
  }
}
