/** A tile of the dashboard, as a person sees it: it presents pictures, whatever becomes of the hub. */
import type { Page } from "playwright-core";
import { until } from "./hub.ts";

/** Notes when the tile of this camera presents a picture, whatever its source. */
export async function watchTile(page: Page, camera: string): Promise<void> {
  await page.waitForSelector(`[data-camera=${camera}] video`);
  await page.evaluate(`{
    const video = document.querySelector("[data-camera=${camera}] video");
    window.presented = [];
    const each = () => { window.presented.push(performance.now()); video.requestVideoFrameCallback(each); };
    video.requestVideoFrameCallback(each);
  }`);
}

/** Waits for so many pictures from now on. Resolves with the milliseconds that took. */
export async function untilPictures(page: Page, count: number, timeoutMs: number): Promise<number> {
  const started = performance.now();
  await page.evaluate("window.presented.length = 0");
  const have = () => page.evaluate<number>("window.presented.length");
  await until(`${count} pictures`, async () => (await have()) >= count, timeoutMs);
  return performance.now() - started;
}
