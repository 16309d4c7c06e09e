/**
 * Writes the documents that follow from the code: `bun docs/generate.ts`. With `--check` it says
 * which of them are out of date, and changes nothing.
 *
 * @module
 */
import { join } from "node:path";
import { createApi } from "../src/api/api.ts";
import type { Hub } from "../src/api/hub.ts";
import { METRICS } from "../src/api/metrics.ts";
import { Cameras } from "../src/cameras/cameras.ts";
import { CameraStore } from "../src/cameras/store.ts";
import { Vitals } from "../src/cameras/vitals.ts";
import { configManual } from "../src/config/manual.ts";
import { Fault } from "../src/core/fault.ts";
import { Log } from "../src/telemetry/log.ts";
import manifest from "../package.json" with { type: "json" };
import { quirksManual } from "./quirks.ts";

const DOCS = import.meta.dir;

const documents: Readonly<Record<string, () => Promise<string>>> = {
  "config.md": async () => configManual(),
  "metrics.md": async () => metricsManual(),
  "openapi.json": openApi,
  "quirks.md": quirksManual,
};

function metricsManual(): string {
  const rows = METRICS.map(({ name, kind, labels, help }) => {
    const marked = labels.map((label) => `\`${label}\``).join(", ") || "none";
    return `| \`${name}\` | ${kind} | ${marked} | ${help} |`;
  });
  return `# Metrics

*Written from src/api/metrics.ts by \`bun docs/generate.ts\`; do not edit.*

\`GET /metrics\`, for Prometheus. Counters start over with the process that counts them.

| name | kind | labels | |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
}

/** The API describes itself; no hub needs to run for that. */
async function openApi(): Promise<string> {
  using store = new CameraStore(":memory:");
  const nowhere = { open: () => {}, close: () => {} };
  const idle = (): Promise<never> => Promise.reject(new Fault("process_down", "no hub"));
  const hub: Hub = {
    cameras: new Cameras({}, store, nowhere, () => 0),
    vitals: new Vitals(),
    version: manifest.version,
    now: () => 0,
    processes: () => [],
    offer: idle,
    endViewer: idle,
  };
  const api = createApi(hub, new Map(), new Log({ level: "error", format: "text" }, {}));
  const description: unknown = await (await api.request("/openapi.json")).json();
  return `${JSON.stringify(description, null, 2)}\n`;
}

const check = process.argv.includes("--check");
const stale: string[] = [];
for (const [name, write] of Object.entries(documents)) {
  const path = join(DOCS, name);
  const wanted = await write();
  const file = Bun.file(path);
  if ((await file.exists()) && (await file.text()) === wanted) continue;
  if (check) stale.push(`docs/${name}`);
  else await Bun.write(path, wanted);
}
if (stale.length > 0) {
  console.error(`out of date: ${stale.join(", ")}; run \`bun docs/generate.ts\``);
  process.exitCode = 1;
}
