/** A real Firefox, headless, over WebDriver BiDi: Debian's, which has no H.264 in WebRTC. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { type Browser, Watcher, watchScript } from "./browser.ts";

const FIREFOX = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
const PREFERENCES = {
  // Muted and unmuted, without a click.
  "media.autoplay.default": 0,
  // Several pages play at once; those behind the front one must not be throttled.
  "dom.min_background_timeout_value": 4,
  "dom.timeout.throttling_delay": -1,
};

/**
 * An address of this machine that Firefox connects to: it never pairs 127.0.0.1, whatever its
 * preferences say. There is one in the network of namespace.sh.
 */
export function namespaceAddress(): string {
  const address = process.env["ONEPULL_TEST_ADDRESS"];
  if (address) return address;
  throw new Error("run this by test/harness/namespace.sh, or by ./onepull test");
}

export async function openFirefox(): Promise<Browser> {
  const executablePath = FIREFOX.find((path) => existsSync(path));
  if (!executablePath) throw new Error("no Firefox: apt-get install firefox-esr");
  const profile = mkdtempSync(join(tmpdir(), "onepull-firefox-"));
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    userDataDir: profile,
    extraPrefsFirefox: PREFERENCES,
  });
  const script = await watchScript();
  return {
    watcher: async (hub) => {
      const page = await browser.newPage();
      await page.goto(`${hub}/healthz`);
      await page.evaluate(script);
      // The page's own functions say what they give; the driver's types cannot know.
      const evaluate = <T>(expression: string) => page.evaluate(expression) as Promise<T>;
      return new Watcher({ evaluate, close: () => page.close() }, hub);
    },
    [Symbol.asyncDispose]: async () => {
      await browser.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
