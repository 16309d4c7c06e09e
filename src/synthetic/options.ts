/** What can be chosen about synthetic cameras. */
import type { Secret } from "../core/secret.ts";
import type { H264Profile } from "../native/encode.ts";
import { type ClipHooks, type ClipOptions, defaultClipFolder } from "./clip.ts";

/** Everything that can be chosen; `SYNTHETIC_DEFAULTS` says what holds otherwise. */
export interface SyntheticOptions extends ClipHooks {
  /** How many cameras. */
  readonly count: number;
  /** RTSP port; 0 lets the system choose. */
  readonly port: number;
  readonly host: string;
  /** Cameras are called this with a number from 1 behind it; the name is also the RTSP path. */
  readonly prefix: string;
  readonly fps: number;
  /** From keyframe to keyframe; rounded to whole frames. */
  readonly gopSeconds: number;
  /** Bits per second. */
  readonly bitrate: number;
  readonly width: number;
  readonly height: number;
  readonly profile: H264Profile;
  /** Whether SPS and PPS stand in front of each keyframe, or only in the session description. */
  readonly parameterSets: ClipOptions["parameterSets"];
  /** Whether a client's first frame is a keyframe; real cameras do either. */
  readonly startWithKeyframe: boolean;
  /** Who may connect; `null` for everyone. */
  readonly login: { readonly user: string; readonly password: Secret } | null;
  /** Where clips are kept. */
  readonly clipFolder: string;
  /** Port of the control interface (control.ts) on 127.0.0.1; 0 lets the system choose, `null` for none. */
  readonly controlPort: number | null;
  /** A file for records of all frames, one line of JSON each; `null` for none. */
  readonly logFile: string | null;
}

/** What holds where nothing else is said. */
export const SYNTHETIC_DEFAULTS = {
  count: 1,
  port: 0,
  host: "127.0.0.1",
  prefix: "camera-",
  fps: 25,
  gopSeconds: 2,
  bitrate: 4_000_000,
  width: 1920,
  height: 1080,
  profile: "baseline",
  parameterSets: "in band",
  startWithKeyframe: false,
  login: null,
  controlPort: null,
  logFile: null,
} as const satisfies Partial<SyntheticOptions>;

/** Fills in the defaults. */
export function syntheticOptions(given: Partial<SyntheticOptions>): SyntheticOptions {
  return { ...SYNTHETIC_DEFAULTS, clipFolder: defaultClipFolder(), ...given };
}
