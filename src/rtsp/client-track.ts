/** Which tracks of a camera are pulled, and how the camera agreed to send them. */
import type { Codec, TrackFormat } from "../rtp/track-format.ts";
import type { Response } from "./message.ts";
import type { Format, Media, SessionDescription } from "./sdp.ts";
import { trackFormatOf } from "./track-formats.ts";
import {
  type Lower,
  type Pair,
  parseTransports,
  plainTransport,
  type Transport,
} from "./transport.ts";

/** A track that is wanted, in one of the formats it is offered in. */
export interface WantedTrack {
  readonly media: Media;
  readonly format: Format;
  /** What the format means. */
  readonly carries: TrackFormat;
}

/** A track that the camera sends from PLAY on. */
export interface AgreedTrack extends WantedTrack {
  /** Of its SETUP, from 0 on: what `bind` named. */
  readonly index: number;
  readonly transport: AgreedTransport;
}

/** How a track arrives. */
export type AgreedTransport =
  | { readonly lower: "tcp"; readonly channels: Pair }
  | {
      readonly lower: "udp";
      /** Where the camera sends from; `null` when it did not say. */
      readonly serverPort: Pair | null;
      /** Host that the packets come from, when it is not the one asked. */
      readonly source: string | null;
    };

/** The tracks to set up, the video first. Without video there is none. */
export function chooseTracks({ media }: SessionDescription): WantedTrack[] {
  const video = best(media, "video");
  if (video === null) return [];
  const audio = best(media, "audio");
  return audio === null ? [video] : [video, audio];
}

/**
 * Better codecs first: the ones that browsers play as they are. A camera that offers one track in
 * several formats is asked for its best.
 */
const PREFERENCE: Readonly<Record<Codec, number>> = {
  h264: 4,
  vp8: 3,
  h265: 2,
  mjpeg: 1,
  opus: 5,
  pcmu: 4,
  pcma: 4,
  aac: 3,
  g722: 2,
};

function best(media: readonly Media[], kind: TrackFormat["kind"]): WantedTrack | null {
  let found: WantedTrack | null = null;
  for (const medium of media) {
    if (medium.kind !== kind || medium.direction === "inactive") continue;
    for (const format of medium.formats) {
      const carries = trackFormatOf(medium, format);
      const track = carries && { media: medium, format, carries };
      if (track && (found === null || rank(track) > rank(found))) found = track;
    }
  }
  return found;
}

function rank({ media, carries }: WantedTrack): number {
  // ONVIF cameras with a loudspeaker describe it as one more audio track, `sendonly` from where the
  // viewer is; it answers SETUP and sends nothing. Ordinary ones may say so of all their tracks.
  const backchannel = media.direction === "sendonly" ? 0 : 10;
  return backchannel + PREFERENCE[carries.codec];
}

/** The Transport header that asks for the track of this index. */
export function wantedTransport(index: number, clientPort: Pair | null): Transport {
  if (clientPort !== null) return { ...plainTransport("udp"), clientPort };
  return { ...plainTransport("tcp"), interleaved: channelsOf(index) };
}

function channelsOf(index: number): Pair {
  return [2 * index, 2 * index + 1];
}

/** What the response to SETUP agreed to; `null` when it is not what was asked for. */
export function agreedBy(response: Response, index: number, lower: Lower): AgreedTransport | null {
  // Without the header, or without its numbers, what was asked for is what was agreed to.
  const [agreed = plainTransport(lower)] = parseTransports(response.headers.get("Transport") ?? "");
  if (!carriedBy(agreed, lower) || agreed.delivery !== "unicast") return null;
  if (lower === "tcp") return { lower, channels: agreed.interleaved ?? channelsOf(index) };
  return { lower, serverPort: agreed.serverPort, source: agreed.source };
}

/** Some cameras leave the `/TCP` out of the answer, and state channels all the same. */
function carriedBy(agreed: Transport, lower: Lower): boolean {
  return agreed.lower === lower || (lower === "tcp" && agreed.interleaved !== null);
}
