// `./onepull demo` as a person uses it: one command, one address, four live pictures.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { type Chromium, openBrowser } from "../harness/browser.ts";
import { until } from "../harness/hub.ts";
import { alive, family } from "../harness/processes.ts";

const LAUNCHER = join(import.meta.dir, "../../onepull");
const SHOT = join(import.meta.dir, "../../.cache/dashboard.png");

const folder = mkdtempSync(join(tmpdir(), "onepull-demo-"));
let browser: Chromium;
let demo: Bun.Subprocess<"ignore", "pipe", "inherit">;
let url = "";

beforeAll(async () => {
  browser = await openBrowser();
  demo = Bun.spawn([LAUNCHER, "demo", "--cameras", "4"], {
    env: { ...process.env, ONEPULL_RUNTIME_DIR: join(folder, "run") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of demo.stdout) {
    text += new TextDecoder().decode(chunk);
    url = /(http:\S+)\s+dashboard/.exec(text)?.[1] ?? "";
    if (url) break;
  }
}, 200_000);
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  demo.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** What the tiles say, by figure. */
function figures(page: Page): Promise<Record<string, string>[]> {
  return page.evaluate(`[...document.querySelectorAll(".tile")].map((tile) => ({
    name: tile.querySelector(".name").textContent,
    badge: tile.querySelector(".badge").textContent,
    ...Object.fromEntries([...tile.querySelectorAll("[data-figure]")].map((item) => [item.dataset.figure, item.textContent])),
  }))`);
}

test("the page shows four live cameras with all their figures", async () => {
  const page = await browser.context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(url);
  const complete = async (): Promise<boolean> => {
    const tiles = await figures(page);
    return tiles.length === 4 && tiles.every((tile) => !Object.values(tile).includes("–"));
  };
  await until("all figures are there", complete, 20_000, () => JSON.stringify(errors));
  await Bun.sleep(2_500);
  const tiles = await figures(page);
  await page.screenshot({ path: SHOT });
  for (const [i, tile] of tiles.entries()) {
    expect(tile).toMatchObject({
      name: `demo-${i + 1}`,
      badge: "live",
      resolution: "1920 × 1080",
      viewers: "1 viewer",
    });
    expect(Number.parseFloat(tile["fps"] ?? "")).toBeWithin(23, 27.1);
    expect(Number.parseFloat(tile["bitrate"] ?? "")).toBeWithin(2.5, 6);
    // Measured in the browser; a loaded machine may be slow, a clock that is wrong is far off.
    expect(Number.parseFloat(tile["latency"] ?? "")).toBeWithin(0, 500);
  }
  expect(errors).toEqual([]);
  await page.close();
}, 60_000);

test("the end is quick and complete", async () => {
  const everyone = family(demo.pid);
  demo.kill("SIGINT");
  const started = performance.now();
  expect(await demo.exited).toBe(0);
  expect(performance.now() - started).toBeLessThan(3_500);
  expect(everyone.filter(alive)).toEqual([]);
}, 20_000);
