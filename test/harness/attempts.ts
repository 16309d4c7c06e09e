/** Checks of speed on machines that other people use too. */

const ATTEMPTS = 4;
/** Whoever took the processor is often done by then. */
const PAUSE_MS = 3_000;

/**
 * Runs a check of frame rates or delays. A machine that was busy with something else spoils one
 * attempt; a hub that is too slow spoils all of them, and the last one's error is the test's.
 */
export async function inQuiet(check: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await check();
      return;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      const words = error instanceof Error ? error.message.split("\n")[0] : String(error);
      console.log(`attempt ${attempt} of ${ATTEMPTS}: ${words}`);
      await Bun.sleep(PAUSE_MS);
    }
  }
}
