/** The hub's HTTP side: API, WHEP, health, metrics and the dashboard. */
import { OpenAPIHono } from "@hono/zod-openapi";
import { Fault } from "../core/fault.ts";
import type { Log } from "../telemetry/log.ts";
import type { Assets } from "./assets.ts";
import type { Hub } from "./hub.ts";
import { problemResponse } from "./problem.ts";
import { cameraRoutes } from "./routes/cameras.ts";
import { healthRoutes } from "./routes/health.ts";
import { whepRoutes } from "./routes/whep.ts";

/** Methods that change something; a page of another origin may not call them for its visitor. */
const UNSAFE = new Set(["POST", "PUT", "PATCH", "DELETE"]);

/** @param assets the dashboard's files by path */
export function createApi(hub: Hub, assets: Assets, log: Log): OpenAPIHono {
  const app = new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) throw new Fault("request_invalid", result.error.message);
    },
  });
  app.onError((error, c) => problemResponse(error, c, log));
  app.notFound((c) => {
    const fault = new Fault("route_unknown", `Nothing at ${c.req.path}; see /openapi.json.`);
    return problemResponse(fault, c, log);
  });
  app.use(async (c, next) => {
    if (UNSAFE.has(c.req.method)) requireSameOrigin(c.req.raw);
    await next();
    c.header("x-content-type-options", "nosniff");
  });
  cameraRoutes(app, hub);
  whepRoutes(app, hub);
  healthRoutes(app, hub);
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: {
      title: "onepull",
      version: hub.version,
      description: "Pulls every RTSP camera once and hands it to everyone.",
      license: { name: "Apache-2.0" },
    },
  });
  for (const [path, { type, body }] of assets) {
    app.get(path, (c) => c.body(body, 200, { "content-type": type, "cache-control": "no-cache" }));
  }
  return app;
}

/** @throws Fault `request_invalid` */
function requireSameOrigin(request: Request): void {
  const origin = request.headers.get("origin");
  if (origin === null || URL.parse(origin)?.host === request.headers.get("host")) return;
  throw new Fault("request_invalid", `Pages of ${origin} may not change anything here.`);
}
