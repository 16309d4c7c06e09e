/** `/whep/{camera}`: viewers over WebRTC (draft-ietf-wish-whep). */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { Fault } from "../../core/fault.ts";
import type { Latency } from "../../process/protocol.ts";
import type { Hub } from "../hub.ts";
import { readText, requireType } from "../responses.ts";

const SDP = "application/sdp";
/** An offer of today's browsers is 6 KB. */
const OFFER_BYTES_MAX = 64 << 10;
const LATENCIES: readonly Latency[] = ["default", "lowest", "smooth"];

export function whepRoutes(app: OpenAPIHono, hub: Hub): void {
  app.post("/whep/:camera", async (c) => {
    requireType(c.req.raw, SDP);
    const camera = c.req.param("camera");
    const latency = latencyOf(c.req.query("latency"));
    const offer = await readText(c.req.raw, OFFER_BYTES_MAX);
    const { session, sdp } = await hub.offer(camera, offer, latency);
    return c.body(sdp, 201, {
      "content-type": SDP,
      location: `/whep/${encodeURIComponent(camera)}/${session}`,
      etag: `"${session}"`,
    });
  });
  app.delete("/whep/:camera/:session", async (c) => {
    const { camera, session } = c.req.param();
    if (await hub.endViewer(camera, session)) return c.body(null, 200);
    throw new Fault("session_unknown", "This session has ended already.");
  });
  app.on(["GET", "HEAD", "PUT", "PATCH"], ["/whep/:camera", "/whep/:camera/:session"], (c) => {
    c.header("allow", c.req.param("session") ? "DELETE" : "POST");
    throw new Fault("method_not_allowed", "WHEP takes POST of an offer, and DELETE of a session.");
  });
}

function latencyOf(given: string | undefined): Latency {
  const latency = LATENCIES.find((known) => known === (given ?? "default"));
  if (latency) return latency;
  throw new Fault("request_invalid", `\`latency\` is one of ${LATENCIES.join(", ")}.`);
}
