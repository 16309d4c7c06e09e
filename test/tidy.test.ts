// Properties of the code itself: import direction, purity, sizes, no leftovers.
import { expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

/** Low to high. A file may import its own folder, or any folder on an earlier line. */
const LAYERS: readonly (readonly string[])[] = [
  ["core"],
  ["rtp"],
  ["rtsp", "rtc"],
  ["source"],
  ["native", "config", "telemetry"],
  ["stream"],
  ["process"],
  ["picture"],
  // Parts: they never import each other.
  ["ingest", "sfu", "restream", "decode", "transcode", "framebus", "synthetic", "cameras"],
  ["api"],
  ["children"],
  ["hub"],
  ["cli"],
  ["main"],
];
/** No sockets, no timers, no clock, no chance: bytes and `now` in, bytes, events, deadlines out. */
const PURE = new Set(["core", "rtp", "rtsp", "rtc", "source"]);
const BANNED = ["Date.now(", "performance.now(", "setTimeout(", "setInterval(", "Math.random("];
const LINES_MAX = 400;
/** Files allowed to break LINES_MAX today. May only shrink: a file that fits must leave the list. */
const LINES_GRANDFATHERED: readonly string[] = [];

const level = new Map(
  LAYERS.flatMap((folders, i) => folders.map((folder) => [folder, i] as const)),
);

/** Type-only imports count too, which Bun.Transpiler.scanImports would drop. */
function importsOf(text: string): string[] {
  const pattern =
    /^\s*(?:import|export)\b[^"';]*?\bfrom\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? "");
}

/** `src/rtp/h264.ts` is in `rtp`; `src/hub.ts` is a layer of its own. */
function folderOf(path: string): string {
  const parts = path.split("/");
  return parts.length > 2 ? parts[1]! : parts.at(-1)!.replace(/\.ts$/, "");
}

function importFaults(path: string, text: string): string[] {
  const from = folderOf(path);
  const pure = PURE.has(from) && !path.endsWith(".test.ts") && !path.includes("/fixtures/");
  const faults: string[] = [];
  for (const spec of importsOf(text)) {
    if (!spec.startsWith(".")) {
      if (pure) faults.push(`pure folder imports ${spec}`);
      continue;
    }
    const target = normalize(join(dirname(path), spec));
    const to = folderOf(target);
    if (to === from || !target.startsWith("src/") || path.endsWith(".test.ts")) continue;
    if ((level.get(to) ?? 99) >= (level.get(from) ?? -1)) {
      faults.push(`${from} must not import ${to} (${spec})`);
    }
  }
  for (const banned of BANNED) {
    if (pure && text.includes(banned))
      faults.push(`pure folder calls ${banned}): take it as an argument`);
  }
  return faults;
}

function sizeFaults(path: string, text: string): string[] {
  const lines = text.split("\n").length;
  const listed = LINES_GRANDFATHERED.includes(path);
  if (path.endsWith(".test.ts")) return [];
  if (lines > LINES_MAX && !listed) return [`${lines} lines, limit ${LINES_MAX}`];
  return lines <= LINES_MAX && listed ? ["fits now: remove it from LINES_GRANDFATHERED"] : [];
}

function leftovers(text: string): string[] {
  const marks = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "@ts-" + "ignore", "@ts-" + "expect-error"];
  return marks
    .filter((mark) => new RegExp(`(?<![\\w+/])${mark}(?![\\w+/])`).test(text))
    .map((mark) => `leftover ${mark}`);
}

const folders = ["src", "test", "bench", "clients/web"];
const paths = folders.flatMap((folder) => [...new Glob(`${folder}/**/*.ts`).scanSync(".")]).sort();
for (const path of paths) {
  test(`tidy ${path}`, async () => {
    const text = await Bun.file(path).text();
    const inSource = path.startsWith("src/") ? importFaults(path, text) : [];
    expect([...inSource, ...sizeFaults(path, text), ...leftovers(text)]).toEqual([]);
  });
}

test("every folder of src has its layer", () => {
  const seen = new Set(paths.filter((path) => path.startsWith("src/")).map(folderOf));
  expect([...seen].filter((folder) => !level.has(folder))).toEqual([]);
});
