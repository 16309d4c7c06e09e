/** Which tracks of a camera are pulled, and how the camera agreed to send them. */
import type { Response } from "./message.ts";
import type { Format, Media, SessionDescription } from "./sdp.ts";
import { type Pair, parseTransports, plainTransport, type Transport } from "./transport.ts";

/** A track that is wanted, in one of the formats it is offered in. */
export interface WantedTrack {
  readonly media: Media;
  readonly format: Format;
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

/** The tracks to set up, in order. Video in H.264 is all that the stream carries. */
export function chooseTracks({ media }: SessionDescription): WantedTrack[] {
  for (const medium of media) {
    if (medium.kind !== "video" || medium.direction === "inactive") continue;
    const format = medium.formats.find(isForwardable);
    if (format) return [{ media: medium, format }];
  }
  return [];
}

/** RFC 6184's interleaved mode (2) is sent by no camera; modes 0 and 1 read the same. */
function isForwardable({ encoding, parameters }: Format): boolean {
  return encoding === "H264" && parameters.get("packetization-mode") !== "2";
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
export function agreedBy(
  response: Response,
  index: number,
  lower: "tcp" | "udp",
): AgreedTransport | null {
  // Without the header, or without its numbers, what was asked for is what was agreed to.
  const [agreed = plainTransport(lower)] = parseTransports(response.headers.get("Transport") ?? "");
  if (agreed.lower !== lower || agreed.delivery !== "unicast") return null;
  if (lower === "tcp") return { lower, channels: agreed.interleaved ?? channelsOf(index) };
  return { lower, serverPort: agreed.serverPort, source: agreed.source };
}
