/**
 * The puller process: reads one source by libav and writes its units to standard output, in the
 * form of stream/unit-wire.ts. One per source, so that a crash of libav costs one camera.
 *
 * Its order comes over Bun's IPC, and so do its last words; it ends when the channel does.
 *
 * @module
 */
import { writeSync } from "node:fs";
import { type FaultCode, faultOf } from "../core/fault.ts";
import { monotonicMs } from "../native/clock.ts";
import type { TrackFormat } from "../rtp/track-format.ts";
import { type AvSourceSettings, avSource } from "../source/av-source.ts";
import type { Unit } from "../stream/sinks.ts";
import {
  helloMessage,
  type TrackKind,
  UNIT_HEAD_BYTES,
  writeUnitHead,
} from "../stream/unit-wire.ts";
import { type AvReceiver, type AvUnit, readSource } from "./av-reader.ts";

const STDOUT = 1;
/** A keyframe of 4 Mbps fits; grows for larger ones. */
const MESSAGE_BYTES_FIRST = 256 << 10;

/** What the process is told, once. `source` holds credentials: never log it. */
export interface AvOrder extends AvSourceSettings {
  readonly camera: string;
  readonly source: string;
}

/** What it says in the end. */
export type AvReport =
  | { readonly kind: "failed"; readonly code: FaultCode; readonly message: string }
  /** The source came to its end. */
  | { readonly kind: "ended" };

/** Serves the one order, and then ends the process. */
export function runAvProcess(): void {
  const stop = new AbortController();
  process.once("message", (order: AvOrder) => void serve(order, stop.signal));
  process.once("disconnect", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  // A terminal sends ^C to the whole group; the media process decides when this one ends.
  process.on("SIGINT", () => {});
}

async function serve(order: AvOrder, signal: AbortSignal): Promise<void> {
  const report = await pull(order, signal);
  if (!signal.aborted) process.send?.(report);
  process.disconnect?.();
  process.exit(0);
}

async function pull(order: AvOrder, signal: AbortSignal): Promise<AvReport> {
  try {
    await readSource(avSource(order.source, order), new UnitOutput(order.camera), signal);
    return { kind: "ended" };
  } catch (thrown) {
    const { code, message } = faultOf(thrown);
    return { kind: "failed", code, message };
  }
}

/** Writes and waits: what is not taken is better left in the camera's connection than here. */
class UnitOutput implements AvReceiver {
  readonly #camera: string;
  #bytes = new Uint8Array(MESSAGE_BYTES_FIRST);
  #view = new DataView(this.#bytes.buffer);
  #sequence = 0;

  constructor(camera: string) {
    this.#camera = camera;
  }

  described(tracks: readonly TrackFormat[]): void {
    const hello = helloMessage({ camera: this.#camera, tracks });
    writeWhole(hello, hello.length);
  }

  unit(kind: TrackKind, { b, start, end, timestamp, gapBefore }: AvUnit): void {
    const length = end - start;
    this.#reserve(UNIT_HEAD_BYTES + length);
    const now = monotonicMs();
    const unit: Unit = {
      bytes: b,
      length,
      sequence: this.#sequence++,
      timestamp,
      arrived: now,
      completed: now,
      captured: 0,
      capturedClock: "arrival",
      keyframe: false,
      damaged: false,
      gapBefore,
      replayed: false,
    };
    writeUnitHead(this.#view, 0, unit, { kind, gapBefore });
    this.#bytes.set(b.subarray(start, end), UNIT_HEAD_BYTES);
    writeWhole(this.#bytes, UNIT_HEAD_BYTES + length);
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    this.#bytes = new Uint8Array(Math.max(bytes, this.#bytes.length * 2));
    this.#view = new DataView(this.#bytes.buffer);
  }
}

function writeWhole(bytes: Uint8Array, length: number): void {
  for (let at = 0; at < length; ) at += writeSync(STDOUT, bytes, at, length - at);
}
