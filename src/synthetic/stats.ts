/** What is known of synthetic cameras while they run. */
import type { CameraCounters } from "./camera.ts";
import type { Pace } from "./schedule.ts";

export interface CameraStats extends Readonly<CameraCounters> {
  readonly name: string;
  readonly url: string;
  /** False while it is switched off. */
  readonly on: boolean;
  /** Connections that asked for it and are still there. */
  readonly connections: number;
  /** Clients it sends to. */
  readonly playing: number;
}

export interface SyntheticStats {
  readonly cameras: readonly CameraStats[];
  readonly pace: Pace;
  /** Frame records that did not make it into the log file. */
  readonly logDropped: number;
}
