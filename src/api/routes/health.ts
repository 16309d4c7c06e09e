/** `/healthz`, `/readyz`, `/metrics` and the time, for machines. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Hub } from "../hub.ts";
import { HubMetrics } from "../metrics.ts";
import { body } from "../responses.ts";

const tags = ["health"];
const Health = z
  .object({
    status: z.enum(["ok", "starting"]),
    version: z.string(),
    processes: z.array(
      z.object({
        name: z.string(),
        up: z.boolean(),
        pid: z.int().nullable(),
        restarts: z.int().min(0),
      }),
    ),
  })
  .openapi("Health");

const healthz = createRoute({
  method: "get",
  path: "/healthz",
  tags,
  summary: "Is the hub alive",
  responses: { 200: body(Health, "It is; `processes` says whether all of it is.") },
});
const readyz = createRoute({
  method: "get",
  path: "/readyz",
  tags,
  summary: "Can the hub serve",
  responses: {
    200: body(Health, "Every process is up."),
    503: body(Health, "Some process is starting."),
  },
});
const time = createRoute({
  method: "get",
  path: "/api/v1/time",
  tags,
  summary: "The hub's clock, for measuring latency in a browser",
  responses: { 200: body(z.object({ unix_ms: z.number() }), "Now.") },
});

export function healthRoutes(app: OpenAPIHono, hub: Hub): void {
  const metrics = new HubMetrics(hub);
  const health = (): z.infer<typeof Health> => {
    const processes = [...hub.processes()];
    const ok = processes.every(({ up }) => up);
    return { status: ok ? "ok" : "starting", version: hub.version, processes };
  };
  app.openapi(healthz, (c) => c.json(health(), 200));
  app.openapi(readyz, (c) => {
    const report = health();
    return c.json(report, report.status === "ok" ? 200 : 503);
  });
  app.openapi(time, (c) => c.json({ unix_ms: hub.now() }, 200));
  app.get("/metrics", async (c) =>
    c.body(await metrics.text(), 200, { "content-type": metrics.contentType }),
  );
}
