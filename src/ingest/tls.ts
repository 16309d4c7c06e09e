/** Whether a camera that speaks TLS is the one that is meant. */
import { existsSync } from "node:fs";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Socket } from "bun";
import { Fault } from "../core/fault.ts";

/** How a camera proves who it is. */
export interface TlsSettings {
  /** Its certificate must be signed by an authority that this machine trusts, for its host name. */
  readonly verify: boolean;
  /**
   * SHA-256 of its certificate in hex, colons or not: that one is trusted, signed by whom it may be,
   * and no other. `null` for any that passes `verify`.
   */
  readonly fingerprint: string | null;
}

/** Where systems keep the authorities that they trust: Debian, Fedora, Alpine and macOS, SUSE. */
const AUTHORITIES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
  "/etc/ssl/ca-bundle.pem",
] as const;

/** For libav, which knows none: `SSL_CERT_FILE`, or the system's; `null` when there is neither. */
export function authoritiesFile(): string | null {
  const given = process.env["SSL_CERT_FILE"];
  return given || (AUTHORITIES.find((path) => existsSync(path)) ?? null);
}

/** Whom the connection is meant for. */
interface Expected {
  readonly host: string;
  readonly port: number;
  readonly tls: TlsSettings | null;
}

/** Judges a finished handshake: `null`, or the fault that keeps the camera's password from it. */
export function judge(
  socket: Socket<undefined>,
  { host, port, tls }: Expected,
  error: Error | null,
): Fault | null {
  const certificate = certificateOf(socket);
  if (certificate === null) return noTls({ host, port }, error);
  const seen = certificate.fingerprint256;
  if (tls?.fingerprint) {
    if (hexOf(tls.fingerprint) === hexOf(seen)) return null;
    const message = `${host} shows another certificate than the one in \`tls.fingerprint\`: if it was renewed, set it to ${seen}`;
    return new Fault("camera_untrusted", message);
  }
  if (!tls?.verify) return null;
  const wrong = error ?? checkServerIdentity(host, certificate) ?? null;
  if (wrong === null) return null;
  const message = `${host} shows a certificate that is not trusted here (${wrong.message}): to trust this one alone, set \`tls.fingerprint\` to ${seen}; to trust any, set \`tls.verify: false\``;
  return new Fault("camera_untrusted", message, { cause: wrong });
}

/** The connection was ended where TLS should have begun. */
export function noTls({ host, port }: Pick<Expected, "host" | "port">, cause: unknown): Fault {
  const message = `${host} does not speak TLS on port ${port}: check the port, or use rtsp://`;
  return new Fault("camera_protocol", message, { cause });
}

/** `null` when no handshake came about. */
function certificateOf(socket: Socket<undefined>): PeerCertificate | null {
  // Bun's sockets have it, its type declarations do not.
  const { getPeerCertificate } = socket as { getPeerCertificate?: () => PeerCertificate | null };
  const certificate = getPeerCertificate?.call(socket);
  return certificate?.fingerprint256 ? certificate : null;
}

function hexOf(fingerprint: string): string {
  return fingerprint.replace(/[^0-9A-Fa-f]/g, "").toLowerCase();
}
