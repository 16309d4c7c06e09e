/** `/whep/{camera}`: viewers over WebRTC (draft-ietf-wish-whep). */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { Fault } from "../../core/fault.ts";
import type { Latency, StreamName } from "../../process/protocol.ts";
import type { Hub } from "../hub.ts";
import { noContent, problems, readText, requireType } from "../responses.ts";

const SDP = "application/sdp";
/** An offer of today's browsers is 6 KB. */
const OFFER_BYTES_MAX = 64 << 10;
const LATENCIES = ["default", "lowest", "smooth"] as const satisfies readonly Latency[];
const STREAMS = ["main", "sub"] as const satisfies readonly StreamName[];

export function whepRoutes(app: OpenAPIHono, hub: Hub): void {
  describe(app);
  app.post("/whep/:camera", async (c) => {
    requireType(c.req.raw, SDP);
    const camera = c.req.param("camera");
    const latency = latencyOf(c.req.query("latency"));
    const offer = await readText(c.req.raw, OFFER_BYTES_MAX);
    const wanted = streamOf(c.req.query("stream"));
    const answer = await hub.offer(camera, { sdp: offer, latency, stream: wanted });
    const { session, sdp, stream } = answer;
    return c.body(sdp, 201, {
      "content-type": SDP,
      "onepull-stream": stream,
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

function streamOf(given: string | undefined): StreamName {
  const stream = STREAMS.find((known) => known === (given ?? "main"));
  if (stream) return stream;
  throw new Fault("request_invalid", `\`stream\` is one of ${STREAMS.join(", ")}.`);
}

/** SDP bodies are no JSON that could be checked by a schema, so these routes are described apart. */
function describe(app: OpenAPIHono): void {
  const tags = ["whep"];
  const sdp = { [SDP]: { schema: z.string() } };
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/whep/{camera}",
    tags,
    summary: "Watch a camera: an offer in, an answer out",
    request: {
      params: z.object({ camera: z.string() }),
      query: z.object({
        latency: z.enum(LATENCIES).optional(),
        stream: z
          .enum(STREAMS)
          .optional()
          .openapi({
            description:
              "`sub` is the smaller stream; main where the camera has none. The answer's header " +
              "`onepull-stream` says which one it is.",
          }),
      }),
      body: { content: sdp, required: true },
    },
    responses: {
      201: { description: "The answer; `Location` is the session's address.", content: sdp },
      ...problems(
        "offer_invalid",
        "camera_unknown",
        "camera_not_live",
        "codec_mismatch",
        "media_type",
        "limit_reached",
        "process_down",
      ),
    },
  });
  app.openAPIRegistry.registerPath({
    method: "delete",
    path: "/whep/{camera}/{session}",
    tags,
    summary: "Stop watching",
    request: { params: z.object({ camera: z.string(), session: z.string() }) },
    responses: { 200: noContent("The session has ended."), ...problems("session_unknown") },
  });
}
