/** What is sent to a viewer, of what it can take and what the camera has. */
import { Fault } from "../core/fault.ts";
import type { Codec } from "../rtp/track-format.ts";
import {
  choosePayload,
  encodingNames,
  type OfferedCodec,
  type Sendable,
  sendableName,
} from "./codec-offer.ts";
import type { ReceivingSection, WhepOffer } from "./whep-offer.ts";

/** What a camera could send to this viewer now; `null` for a kind that it has not. */
export interface Sendables {
  readonly video: Sendable | null;
  readonly audio: Sendable | null;
}

/** Where a track goes, and as what. */
export interface ChosenTrack {
  readonly section: ReceivingSection;
  readonly codec: OfferedCodec;
  /** Format parameters of the answer; may be empty. */
  readonly fmtp: string;
}

/** At least one is not `null`. */
export interface Choice {
  readonly video: ChosenTrack | null;
  readonly audio: ChosenTrack | null;
}

/** Which codecs a viewer can take at all: what is to be known before something is transcoded for it. */
export interface OfferedCodecs {
  readonly video: Readonly<Record<"h264" | "h265" | "vp8", boolean>>;
  readonly audio: Readonly<Record<"opus" | "pcmu" | "pcma" | "g722", boolean>>;
}

export function offeredCodecs({ receiving }: WhepOffer): OfferedCodecs {
  const all = receiving.flatMap(({ codecs }) => codecs.map(({ codec }) => codec));
  const has = (codec: Codec) => all.includes(codec);
  return {
    video: { h264: has("h264"), h265: has("h265"), vp8: has("vp8") },
    audio: { opus: has("opus"), pcmu: has("pcmu"), pcma: has("pcma"), g722: has("g722") },
  };
}

/** Whether the viewer can play this as it is. */
export function canPlay(offer: WhepOffer, track: Sendable): boolean {
  return choose(offer.receiving, track) !== null;
}

/**
 * Video is what a viewer comes for: it is refused when its video sections cannot take the camera's
 * video. Audio that it cannot take is left out.
 * @throws Fault codec_mismatch
 */
export function chooseTracks(offer: WhepOffer, { video, audio }: Sendables): Choice {
  const wanted = offer.receiving.filter(({ kind }) => kind === "video");
  const chosen = video && choose(wanted, video);
  if (video !== null && wanted.length > 0 && chosen === null) throw mismatch(offer, video, audio);
  const beside = offer.receiving.filter(
    (section) => section.kind === "audio" && sharesTransport(section, chosen),
  );
  const heard = audio && choose(beside, audio);
  if (chosen === null && heard === null) throw mismatch(offer, video, audio);
  return { video: chosen, audio: heard };
}

/** A session has one transport, so sections that do not bundle cannot both be served. */
function sharesTransport(section: ReceivingSection, video: ChosenTrack | null): boolean {
  return video === null || (section.bundled && video.section.bundled);
}

function choose(sections: readonly ReceivingSection[], track: Sendable): ChosenTrack | null {
  for (const section of sections) {
    const codec = choosePayload(section.codecs, track);
    if (codec !== null) return { section, codec, fmtp: fmtpOf(codec, track) };
  }
  return null;
}

/** What an encoding must repeat to be the same one, and what a decoder should know. */
function fmtpOf({ codec, fmtp }: OfferedCodec, { channels }: Sendable): string {
  if (codec === "h264" || codec === "h265") return fmtp;
  // RFC 7587 section 7.1: a hint to the receiver that both channels differ.
  return codec === "opus" && channels === 2 ? "sprop-stereo=1" : "";
}

function mismatch(offer: WhepOffer, video: Sendable | null, audio: Sendable | null): Fault {
  const offered = offer.receiving.flatMap(({ index }) => {
    const section = offer.sections[index];
    return section === undefined ? [] : encodingNames(section);
  });
  const sent = [
    ...(video === null ? [] : [`video/${sendableName(video)}`]),
    ...(audio === null ? [] : [`audio/${sendableName(audio)}`]),
  ];
  return new Fault(
    "codec_mismatch",
    `The viewer offers ${list(offered)}; the hub could send ${list(sent)}.`,
  );
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "nothing" : names.join(", ");
}
