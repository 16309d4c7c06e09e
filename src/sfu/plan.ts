/** From what was chosen for a viewer to the numbers its session works with. */
import { assert } from "../core/fault.ts";
import type { Sendable } from "../rtc/codec-offer.ts";
import { type Latency, playoutDelayExtension } from "../rtc/playout-delay.ts";
import type { TrackSources } from "../rtc/whep-answer.ts";
import type { Choice, ChosenTrack } from "../rtc/whep-choice.ts";
import { readH265Sps } from "../rtp/h265-sps.ts";
import { profileLevelIdOf } from "../rtp/sps.ts";
import type { Track } from "../stream/track.ts";
import type { SenderOptions } from "./sender.ts";

/** SSRCs of a session's tracks. */
export type SessionSources = Readonly<Record<"video" | "audio", TrackSources>>;

/** Four SSRCs that differ, from one random one: SRTP tells tracks of a session apart by them alone. */
export function drawSources(random: number): SessionSources {
  const first = (random & ~3) >>> 0;
  return {
    video: { ssrc: first, rtxSsrc: first + 1 },
    audio: { ssrc: first + 2, rtxSsrc: first + 3 },
  };
}

/** @param firstSequences of the track and of its retransmissions; see SenderOptions */
export function senderOptions(
  { section, codec }: ChosenTrack,
  { ssrc, rtxSsrc }: TrackSources,
  [firstSequence, firstRepeated]: readonly [number, number],
  latency: Latency,
): SenderOptions {
  const { payloadType, rtxPayloadType } = codec;
  const id = section.kind === "video" ? (section.playoutDelay?.id ?? 0) : 0;
  return {
    ssrc,
    payloadType,
    firstSequence,
    retransmission:
      rtxPayloadType === null
        ? null
        : { ssrc: rtxSsrc, payloadType: rtxPayloadType, firstSequence: firstRepeated },
    extension: playoutDelayExtension(id, latency),
  };
}

/** What a track says of itself to a viewer. */
export function sendableOf({ format, parameterSets }: Track): Sendable {
  const { codec, clockHz, channels } = format;
  let profile = "";
  if (codec === "h264") profile = profileLevelIdOf(parameterSets[0]);
  if (codec === "h265") profile = h265ProfileOf(parameterSets);
  return { codec, clockHz, channels, profile };
}

function h265ProfileOf(parameterSets: readonly Uint8Array[]): string {
  for (const set of parameterSets) {
    const sps = readH265Sps(set);
    if (sps !== null) return String(sps.profile);
  }
  return "";
}

/** Who answers on the other side: all that is sent shares one transport. */
export function peerOf({ video, audio }: Choice): {
  readonly remoteUfrag: string;
  readonly fingerprints: readonly string[];
} {
  const section = (video ?? audio)?.section;
  assert(section !== undefined, "a choice has a track");
  return { remoteUfrag: section.iceUfrag, fingerprints: section.fingerprints };
}
