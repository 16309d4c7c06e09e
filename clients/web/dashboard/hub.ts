/** What the dashboard asks the hub. */

/** The fields of `GET /api/v1/cameras` that the dashboard shows. */
export interface Camera extends Stream {
  readonly id: string;
  readonly enabled: boolean;
  /** The smaller stream, if there is one: what tiles show. */
  readonly sub: Stream | null;
  readonly viewers: number;
  readonly subscribers: number;
}

export interface Stream {
  readonly state: "idle" | "connecting" | "live" | "stalled" | "reconnecting" | "refused" | "ended";
  readonly cause: { readonly code: string; readonly message: string } | null;
  readonly video: {
    readonly codec: string;
    readonly width: number;
    readonly height: number;
    readonly fps: number;
    readonly bitrate_bps: number;
  } | null;
  readonly audio: { readonly codec: string } | null;
  readonly clock: { readonly rtp_timestamp: number; readonly captured_at_unix_ms: number } | null;
}

const TIMEOUT_MS = 3_000;
/** The fastest of a few round trips has the least queueing in it. */
const CLOCK_SAMPLES = 5;

async function get<T>(path: string): Promise<T> {
  const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

export async function fetchCameras(): Promise<readonly Camera[]> {
  return (await get<{ cameras: Camera[] }>("/api/v1/cameras")).cameras;
}

/** Milliseconds to add to `performance.now()` for the hub's Unix time. */
export async function measureClockOffset(): Promise<number> {
  let best = { roundTrip: Number.POSITIVE_INFINITY, offset: 0 };
  for (let i = 0; i < CLOCK_SAMPLES; i++) {
    const sent = performance.now();
    const { unix_ms } = await get<{ unix_ms: number }>("/api/v1/time");
    const received = performance.now();
    const roundTrip = received - sent;
    if (roundTrip < best.roundTrip) best = { roundTrip, offset: unix_ms - (sent + received) / 2 };
  }
  return best.offset;
}
