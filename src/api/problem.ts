/** Faults as RFC 9457 problem details: the one place where HTTP learns of them. */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { Fault, faultOf, problemOf } from "../core/fault.ts";
import type { Log } from "../telemetry/log.ts";

/** A camera that reconnects or a process that restarts is back within about this long. */
const RETRY_AFTER_S = "1";

/** The response for anything that was thrown. A bug is logged with its stack, and not shown. */
export function problemResponse(thrown: unknown, context: Context, log: Log): Response {
  const fault = thrown instanceof HTTPException ? ofHono(thrown) : faultOf(thrown);
  const problem = problemOf(fault);
  const headers: Record<string, string> = { "content-type": "application/problem+json" };
  if (problem.status === 503 || fault.code === "camera_not_live") {
    headers["retry-after"] = RETRY_AFTER_S;
  }
  if (fault.code !== "internal")
    return context.body(JSON.stringify(problem), status(problem), headers);
  const stack = thrown instanceof Error ? thrown.stack : String(thrown);
  log.error("bug in a request", { method: context.req.method, path: context.req.path, stack });
  const detail = "This is a bug of the hub; its log has the details.";
  return context.body(JSON.stringify({ ...problem, detail }), 500, headers);
}

function status(problem: { readonly status: number }): ContentfulStatusCode {
  // Every status in the table of core/fault.ts is one that carries content.
  return problem.status as ContentfulStatusCode;
}

/** What Hono itself throws is about bodies that cannot be read. */
function ofHono(exception: HTTPException): Fault {
  return new Fault("request_invalid", exception.message || "The request body cannot be read.");
}
