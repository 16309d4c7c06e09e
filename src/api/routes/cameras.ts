/** `/api/v1/cameras`: what cameras there are and how they do; adding, removing, starting, stopping. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Camera } from "../../cameras/cameras.ts";
import { CameraConfig, CameraName } from "../../config/schema.ts";
import type { Hub } from "../hub.ts";
import { CameraReport, reportOf } from "../report.ts";
import { body, noContent, problems, readJson } from "../responses.ts";

const tags = ["cameras"];
const one = z.object({
  id: z.string().openapi({ param: { name: "id", in: "path" }, example: "lobby" }),
});

/** For the description only: the registry checks what comes in, with its own messages. */
const Adding = z
  .object({ id: CameraName, source: z.string(), transport: CameraConfig.shape.transport })
  .partial({ transport: true })
  .openapi("NewCamera");

const list = createRoute({
  method: "get",
  path: "/api/v1/cameras",
  tags,
  summary: "All cameras",
  responses: { 200: body(z.object({ cameras: z.array(CameraReport) }), "All cameras, by name.") },
});
const get = createRoute({
  method: "get",
  path: "/api/v1/cameras/{id}",
  tags,
  summary: "One camera",
  request: { params: one },
  responses: { 200: body(CameraReport, "The camera."), ...problems("camera_unknown") },
});
const add = createRoute({
  method: "post",
  path: "/api/v1/cameras",
  tags,
  summary: "Add a camera and start it",
  request: { body: { content: { "application/json": { schema: Adding } } } },
  responses: {
    201: body(CameraReport, "The camera; `Location` is its address."),
    ...problems("request_invalid", "media_type", "camera_exists", "limit_reached"),
  },
});
const change = createRoute({
  method: "patch",
  path: "/api/v1/cameras/{id}",
  tags,
  summary: "Change a camera that was added by the API",
  request: {
    params: one,
    body: { content: { "application/json": { schema: Adding.omit({ id: true }).partial() } } },
  },
  responses: {
    200: body(CameraReport, "The camera; a running one is pulled anew."),
    ...problems("request_invalid", "media_type", "camera_unknown", "camera_configured"),
  },
});
const remove = createRoute({
  method: "delete",
  path: "/api/v1/cameras/{id}",
  tags,
  summary: "Remove a camera that was added by the API",
  request: { params: one },
  responses: { 204: noContent("Removed."), ...problems("camera_unknown", "camera_configured") },
});
const start = createRoute({
  method: "post",
  path: "/api/v1/cameras/{id}/start",
  tags,
  summary: "Let a camera run",
  request: { params: one },
  responses: { 200: body(CameraReport, "The camera."), ...problems("camera_unknown") },
});
const stop = createRoute({
  method: "post",
  path: "/api/v1/cameras/{id}/stop",
  tags,
  summary: "End a camera's pull and its viewers, until `start`",
  request: { params: one },
  responses: { 200: body(CameraReport, "The camera."), ...problems("camera_unknown") },
});

export function cameraRoutes(app: OpenAPIHono, hub: Hub): void {
  const { cameras, vitals } = hub;
  const report = (camera: Camera): CameraReport => reportOf(camera, cameras, vitals);
  app.openapi(list, (c) => c.json({ cameras: cameras.list().map(report) }, 200));
  app.openapi(get, (c) => c.json(report(cameras.get(c.req.valid("param").id)), 200));
  // Bodies are checked by the registry of cameras, in words that suggest: here they are described.
  app.openAPIRegistry.registerPath(add);
  app.post(add.path, async (c) => {
    const camera = cameras.add(await readJson(c.req.raw));
    c.header("location", `/api/v1/cameras/${camera.id}`);
    return c.json(report(camera), 201);
  });
  app.openAPIRegistry.registerPath(change);
  app.patch(change.getRoutingPath(), async (c) => {
    const camera = cameras.change(c.req.param("id"), await readJson(c.req.raw));
    return c.json(report(camera), 200);
  });
  app.openapi(remove, (c) => {
    cameras.remove(c.req.valid("param").id);
    return c.body(null, 204);
  });
  app.openapi(start, (c) => c.json(report(cameras.start(c.req.valid("param").id)), 200));
  app.openapi(stop, (c) => c.json(report(cameras.stop(c.req.valid("param").id)), 200));
}
