/** What failed connections mean, in words that a camera's owner understands. */
import { Fault } from "../core/fault.ts";

interface Target {
  readonly host: string;
  readonly port: number;
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : null;
  return typeof code === "string" ? code : String(error);
}

/**
 * Why there is no connection, in words that say where to look. A Fault stays what it is.
 *
 * @param timedOut the attempt was given up after `timeoutMs`
 */
export function unreachable(
  { host, port }: Target,
  timedOut: boolean,
  timeoutMs: number,
  cause: unknown,
): Fault {
  if (cause instanceof Fault) return cause;
  const code = timedOut ? "ETIMEDOUT" : codeOf(cause);
  const fault = (message: string) => new Fault("camera_unreachable", message, { cause });
  switch (code) {
    case "ECONNREFUSED":
      return fault(`${host} refuses connections on port ${port}: is RTSP enabled on the camera?`);
    case "ETIMEDOUT":
      return fault(
        `${host} does not answer on port ${port} within ${timeoutMs / 1000} s: is the camera on, and is its address right?`,
      );
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return fault(`there is no way to ${host}: is the camera on, and on this network?`);
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAI_FAIL":
    case "ENODATA":
      return fault(`the host name ${host} is not known here: check \`source\` and the name server`);
    default:
      return fault(`no connection to ${host} on port ${port} (${code})`);
  }
}
