/** What the API may ask of the hub; hub.ts implements it. */
import type { Cameras } from "../cameras/cameras.ts";
import type { Vitals } from "../cameras/vitals.ts";
import type { UnixMs } from "../core/units.ts";
import type { MediaMethods } from "../process/protocol.ts";

/** One child process, as the API shows it. */
export interface ProcessReport {
  readonly name: string;
  readonly up: boolean;
  /** `null` while it does not run. */
  readonly pid: number | null;
  readonly restarts: number;
}

/** A viewer's wish. */
export type ViewerOffer = Omit<MediaMethods["offer"]["takes"], "camera">;
/** What the viewer gets. */
export type ViewerAnswer = MediaMethods["offer"]["gives"];

export interface Hub {
  readonly cameras: Cameras;
  readonly vitals: Vitals;
  readonly version: string;
  now(): UnixMs;
  /** The hub itself first. */
  processes(): readonly ProcessReport[];
  /**
   * Answers a WHEP offer.
   *
   * @throws Fault `camera_unknown`, `camera_not_live`, `offer_invalid`, `codec_mismatch`,
   * `limit_reached`, `process_down`
   */
  offer(camera: string, offer: ViewerOffer): Promise<ViewerAnswer>;
  /** Ends a WHEP session. False when there is none of that name. */
  endViewer(camera: string, session: string): Promise<boolean>;
}
