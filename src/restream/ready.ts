/** Waits until a stream that somebody asked for can be described and played. */
import { type Fault, faultOf } from "../core/fault.ts";
import { monotonicMs } from "../native/clock.ts";
import type { Stream } from "../stream/stream.ts";
import type { Asked, Lease, RestreamOptions } from "./options.ts";

/** Why a stream cannot be had: a status of RFC 2326, and words for people. */
export interface Refused {
  readonly status: number;
  readonly reason: string;
}

/** A look costs nothing, and a frame is 40 ms. */
const LOOK_INTERVAL_MS = 20;
const NOT_LIVE: Refused = { status: 503, reason: "Camera Is Not Live" };

/**
 * Gets a lease on a stream that is live, within `readyMs`. What comes later is released. Never
 * rejects.
 */
export async function acquireReady(
  options: Pick<RestreamOptions, "acquire" | "log">,
  asked: Asked,
  readyMs: number,
  signal: AbortSignal,
): Promise<Lease | Refused> {
  const deadline = monotonicMs() + readyMs;
  try {
    const lease = await inTime(options.acquire(asked), readyMs);
    if (lease === "late") return NOT_LIVE;
    if (lease === null) return { status: 404, reason: "Not Found" };
    while (!isReady(lease.stream) && monotonicMs() < deadline && !signal.aborted) {
      await Bun.sleep(LOOK_INTERVAL_MS);
    }
    if (isReady(lease.stream) && !signal.aborted) return lease;
    lease.release();
    return NOT_LIVE;
  } catch (thrown) {
    return refusalOf(faultOf(thrown), options, asked);
  }
}

/** Of video something decodable is held, or there is only sound, and some of it. */
function isReady({ video, audio }: Stream): boolean {
  return ((video ?? audio)?.keyframe ?? -1) >= 0;
}

async function inTime(
  acquiring: Promise<Lease | null>,
  ms: number,
): Promise<Lease | null | "late"> {
  const { promise, resolve } = Promise.withResolvers<"late">();
  const timer = setTimeout(resolve, ms, "late");
  const first = await Promise.race([acquiring, promise]);
  clearTimeout(timer);
  if (first === "late") {
    acquiring.then(
      (lease) => lease?.release(),
      // Too late to be told to anyone.
      () => undefined,
    );
  }
  return first;
}

function refusalOf(fault: Fault, { log }: Pick<RestreamOptions, "log">, { path }: Asked): Refused {
  if (fault.code === "internal") {
    log.error("bug in giving a stream to a reader", { path, stack: fault.stack ?? fault.message });
    return { status: 500, reason: "Internal Server Error" };
  }
  return { status: fault.code === "camera_unknown" ? 404 : 503, reason: reasonOf(fault) };
}

/** A fault as the reason phrase of a response: one line. */
export function reasonOf(fault: Fault): string {
  return fault.message.replace(/[^\x20-\x7e]+/g, " ").slice(0, 200);
}
