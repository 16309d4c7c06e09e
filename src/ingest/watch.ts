/** Whether a camera that was told to send does send, and something that can be shown. */
import { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import type { PullTiming } from "./timing.ts";

type State =
  /** PLAY was not answered yet. */
  | { readonly at: "idle" }
  | { readonly at: "silent"; readonly deadline: Millis }
  /** Packets come, but no picture that decodes alone. */
  | { readonly at: "headless"; readonly deadline: Millis }
  | { readonly at: "live" };

/** Has no timer: `deadline` says when to `check`. */
export class MediaWatch {
  readonly #timing: PullTiming;
  readonly #label: string;
  #state: State = { at: "idle" };
  #lastPacket: Millis = 0;

  /** @param label names the camera in faults */
  constructor(timing: PullTiming, label: string) {
    this.#timing = timing;
    this.#label = label;
  }

  /** True once a viewer would get a picture. */
  get live(): boolean {
    return this.#state.at === "live";
  }

  /** The camera agreed to send. */
  played(now: Millis): void {
    if (this.#state.at !== "idle") return;
    this.#state = { at: "silent", deadline: now + this.#timing.firstPacketMs };
  }

  /**
   * Packets arrived; `decodable` when a keyframe is among those held. Returns true when that makes
   * the stream live.
   */
  arrived(now: Millis, decodable: boolean): boolean {
    this.#lastPacket = now;
    if (this.#state.at === "live") return false;
    if (decodable) {
      this.#state = { at: "live" };
      return true;
    }
    if (this.#state.at !== "headless") {
      this.#state = { at: "headless", deadline: now + this.#timing.keyframeMs };
    }
    return false;
  }

  /** When `check` has something to say unless packets come. */
  get deadline(): Millis {
    const stalled = this.#lastPacket + this.#timing.stallMs;
    switch (this.#state.at) {
      case "idle":
        return Number.POSITIVE_INFINITY;
      case "silent":
        return this.#state.deadline;
      case "headless":
        return Math.min(stalled, this.#state.deadline);
      case "live":
        return stalled;
      default:
        return this.#state satisfies never;
    }
  }

  /** What is wrong by now, or `null`. */
  check(now: Millis): Fault | null {
    if (now < this.deadline) return null;
    const { firstPacketMs, stallMs, keyframeMs } = this.#timing;
    if (this.#state.at === "silent") return this.#stalled("has sent no video", firstPacketMs);
    if (now >= this.#lastPacket + stallMs) return this.#stalled("stopped sending video", stallMs);
    return this.#stalled("sends video but no keyframe; shorten its keyframe interval", keyframeMs);
  }

  #stalled(what: string, afterMs: number): Fault {
    return new Fault("camera_stalled", `${this.#label} ${what} (waited ${afterMs / 1000} s)`);
  }
}
