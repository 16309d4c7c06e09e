/** Whether a camera that was told to send does send, and something that can be shown. */
import { Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import type { PullTiming } from "./timing.ts";

type State =
  /** PLAY was not answered yet. */
  | { readonly at: "idle" }
  | { readonly at: "silent"; readonly deadline: Millis; readonly firstPacketMs: number }
  /** Packets come, but no picture that decodes alone. */
  | { readonly at: "headless"; readonly deadline: Millis }
  | { readonly at: "live" }
  /** Was live; the connection lives on, without video. */
  | { readonly at: "stalled"; readonly fault: Fault; readonly until: Millis };

/** What is wrong with a stream: at once, or `until` then unless video comes back. */
export interface Finding {
  readonly fault: Fault;
  readonly until?: Millis;
}

/** Has no timer: `deadline` says when to `check`. */
export class MediaWatch {
  readonly #timing: PullTiming;
  readonly #label: string;
  #state: State = { at: "idle" };
  #lastPacket: Millis = 0;
  /** Of audio. */
  #lastHeard: Millis = Number.NEGATIVE_INFINITY;

  /** @param label names the camera in faults */
  constructor(timing: PullTiming, label: string) {
    this.#timing = timing;
    this.#label = label;
  }

  /** True once a viewer would get a picture. */
  get live(): boolean {
    return this.#state.at === "live";
  }

  /** The camera agreed to send; its first packet is waited for this long. */
  played(now: Millis, firstPacketMs = this.#timing.firstPacketMs): void {
    if (this.#state.at !== "idle") return;
    this.#state = { at: "silent", deadline: now + firstPacketMs, firstPacketMs };
  }

  /** Audio arrived: a sign of life, but nothing to see. */
  heard(now: Millis): void {
    this.#lastHeard = now;
  }

  /**
   * Packets of video arrived; `decodable` when a keyframe is among those held. Returns true when that makes
   * the stream live, again after a stall.
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
      case "stalled":
        return this.#state.until;
      default:
        return this.#state satisfies never;
    }
  }

  /** What is wrong by now, said once; `null` when nothing is. */
  check(now: Millis): Finding | null {
    if (now < this.deadline) return null;
    const state = this.#state;
    const { stallMs, stalledMs, keyframeMs } = this.#timing;
    switch (state.at) {
      case "silent":
        return { fault: this.#fault("has sent no video", state.firstPacketMs) };
      case "headless": {
        if (now >= this.#lastPacket + stallMs) return { fault: this.#silence(now) };
        const what = "sends video but no keyframe; shorten its keyframe interval";
        return { fault: this.#fault(what, keyframeMs) };
      }
      case "live": {
        const until = now + stalledMs;
        const fault = this.#silence(now);
        this.#state = { at: "stalled", fault, until };
        return { fault, until };
      }
      case "stalled":
        return { fault: state.fault };
      case "idle":
        return null;
      default:
        return state satisfies never;
    }
  }

  #silence(now: Millis): Fault {
    const { stallMs } = this.#timing;
    const audible = now - this.#lastHeard < stallMs;
    return this.#fault(`stopped sending video${audible ? ", its audio goes on" : ""}`, stallMs);
  }

  #fault(what: string, afterMs: number): Fault {
    return new Fault("camera_stalled", `${this.#label} ${what} (waited ${afterMs / 1000} s)`);
  }
}
