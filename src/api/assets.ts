/** The dashboard's files, bundled from their sources when the hub starts. */
import { join } from "node:path";
import { Fault } from "../core/fault.ts";

interface Asset {
  readonly type: string;
  readonly body: string;
}
/** By the path at which the browser asks for it. */
export type Assets = ReadonlyMap<string, Asset>;

const WEB = join(import.meta.dir, "../../clients/web");

/** @throws Fault `internal` when the sources do not bundle */
export async function loadAssets(): Promise<Assets> {
  const built = await Bun.build({
    entrypoints: [join(WEB, "dashboard/dashboard.ts")],
    target: "browser",
    format: "esm",
    minify: true,
    throw: false,
  });
  const script = built.outputs[0];
  if (!built.success || !script) {
    throw new Fault("internal", `The dashboard does not bundle: ${built.logs.join("; ")}`);
  }
  const file = (name: string): Promise<string> => Bun.file(join(WEB, "dashboard", name)).text();
  return new Map([
    ["/", { type: "text/html; charset=utf-8", body: await file("index.html") }],
    ["/dashboard.css", { type: "text/css; charset=utf-8", body: await file("dashboard.css") }],
    ["/dashboard.js", { type: "text/javascript; charset=utf-8", body: await script.text() }],
  ]);
}
