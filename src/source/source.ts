/**
 * The address of a camera, of any kind that can be pulled: what configuration and API take, and
 * what of it may be shown.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import { parseAddress, withoutSecrets } from "../rtsp/address.ts";
import { avSource, isLocalFile, pullerFor } from "./av-source.ts";

/** Whether the stream is pushed to the hub, over RTSP, instead of pulled. */
export function isPublished(text: string): boolean {
  return /^\s*publish:\/\//i.test(text);
}

/**
 * Says what is wrong with an address, without repeating it.
 *
 * @throws Fault `request_invalid`
 */
export function checkSource(text: string): void {
  if (isPublished(text)) return;
  if (pullerFor(text) === "native") parseAddress(text);
  else labelOf(text);
}

/** The address without what may be a secret: for people and logs. */
export function sourceLabel(text: string): string {
  if (isPublished(text)) return "publish://";
  return pullerFor(text) === "native" ? shown(parseAddress(text).requestUri) : labelOf(text);
}

/** Numbers such as `channel=1` tell streams apart; what else stands in a query may be a secret. */
function shown(uri: string): string {
  const [path = "", query] = uri.split(/\?(.*)/s);
  if (query === undefined) return withoutSecrets(path);
  const parameters = query.split("&").map((parameter) => {
    if (TELLING.test(parameter)) return parameter;
    return parameter.includes("=") ? parameter.replace(/=.*$/s, "=…") : "…";
  });
  return `${withoutSecrets(path)}?${parameters.join("&")}`;
}

/** A parameter that is no secret. */
const TELLING = /^(?!.*(?:pass|pwd|pin|token|auth|key|secret))\w+=\d{1,3}$/i;

/**
 * Files and devices of the hub's machine are for its configuration file alone.
 *
 * @throws Fault `request_invalid`
 */
export function refuseLocal(text: string): void {
  if (!isLocalFile(text)) return;
  const message = "Files and devices of the hub's machine stand in its configuration file only.";
  throw new Fault("request_invalid", message);
}

function labelOf(text: string): string {
  const tls = { verify: true, fingerprint: null, authorities: null };
  return avSource(text, { transport: "auto", timeoutMs: 0, tls }).label;
}
