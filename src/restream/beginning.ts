/** Where in the rings of a stream a reader begins. */
import { FLAG_START } from "../core/packet-ring.ts";
import type { Track } from "../stream/track.ts";

/** Most that a joiner is caught up with; above, it waits for the next keyframe instead. */
const CATCH_UP_BYTES_MAX = 8 << 20;

/** The packet that the newest group of pictures begins with; -1 when there is none, or too much of it. */
export function newestGroup({ ring, keyframe }: Track): number {
  if (keyframe < 0) return -1;
  let bytes = 0;
  for (let id = keyframe; id < ring.head; id++) bytes += ring.length(id);
  return bytes <= CATCH_UP_BYTES_MAX ? keyframe : -1;
}

/**
 * The packet of `track` that was captured with packet `id` of `other`, or the oldest that is held;
 * -1 when there is none, or no time is known.
 */
export function packetBeside(track: Track, other: Track, id: number): number {
  const { ring, clock } = track;
  if (!clock.known || !other.clock.known) return -1;
  const wanted = other.clock.at(other.ring.timestamp(id));
  let at = ring.head;
  while (at > ring.tail && clock.at(ring.timestamp(at - 1)) >= wanted) at--;
  while (at < ring.head && (ring.flags(at) & FLAG_START) === 0) at++;
  return at < ring.head ? at : -1;
}
