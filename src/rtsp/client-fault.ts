/** What a camera's refusals mean, in words that its owner understands. */
import { Fault } from "../core/fault.ts";
import type { RtspAddress } from "./address.ts";
import type { Response } from "./message.ts";
import { offeredBy, type SessionDescription } from "./sdp.ts";
import type { Lower } from "./transport.ts";

/** The credentials were answered with another 401, or there were none to give. */
export function unauthorized({ label, user }: RtspAddress): Fault {
  const message =
    user === null
      ? `${label} asks for a user name and password: write them in \`source\` as rtsp://user:password@…`
      : `${label} rejected the user name or password: check \`source\``;
  return new Fault("camera_unauthorized", message);
}

/** A 401 that offers nothing this client speaks. */
export function unknownAuthentication({ label }: RtspAddress, offered: readonly string[]): Fault {
  const schemes = offered.map(schemeOf).join(", ") || "nothing";
  const message = `${label} asks for a password in a way that is not supported (${schemes}): enable Digest with qop "auth"`;
  return new Fault("camera_unauthorized", message);
}

/** The scheme, and what of it may be the trouble: `Digest, qop="auth-int"`. */
function schemeOf(challenge: string): string {
  const scheme = challenge.split(/[\s,]/)[0] ?? "";
  const details = challenge.match(/\b(?:algorithm|qop)\s*=\s*(?:"[^"]*"|[^\s,]*)/gi) ?? [];
  return [scheme, ...details]
    .join(", ")
    .replace(/[^\x20-\x7e]/g, "?")
    .slice(0, 80);
}

/** Any other response but success. */
export function refused({ label }: RtspAddress, method: string, response: Response): Fault {
  const { status, reason } = response;
  switch (status) {
    case 403:
      return new Fault(
        "camera_unauthorized",
        `${label} does not let this user watch: check its rights`,
      );
    case 404:
    case 410:
      return new Fault(
        "camera_not_found",
        `${label} does not exist there: check the path in \`source\``,
      );
    default:
      return new Fault("camera_protocol", `${label} answered ${method} with ${status} ${reason}`);
  }
}

/**
 * The camera does not carry the track in the way that was asked for.
 *
 * @param transport `null` when both were tried
 */
export function transportRefused({ label }: RtspAddress, transport: Lower | null): Fault {
  const other = transport === "tcp" ? "udp" : "tcp";
  const message =
    transport === null
      ? `${label} sends neither over TCP nor over UDP`
      : `${label} does not send over ${transport.toUpperCase()}: set \`transport: ${other}\``;
  return new Fault("track_unsupported", message);
}

/** Nothing in the description can be forwarded. */
export function nothingToForward({ label }: RtspAddress, offered: SessionDescription): Fault {
  const message = `${label} offers ${offeredBy(offered)}; none of it is video that can be forwarded: set the camera to H.264`;
  return new Fault("track_unsupported", message);
}

/** The camera took a request and said nothing. */
export function unanswered({ label }: RtspAddress, method: string, waitedMs: number): Fault {
  const seconds = waitedMs / 1000;
  const message = `${label} is connected but did not answer ${method} within ${seconds} s`;
  return new Fault("camera_timeout", message);
}

/** The camera does not know the session any more. */
export function sessionEnded({ label }: RtspAddress): Fault {
  return new Fault("camera_closed", `${label} ended the session`);
}
