import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../src/core/fault.ts";
import { fuzz, VECTORS } from "./rtp.ts";
import { RTSP_TARGETS } from "./rtsp.ts";

/** A few seconds for all; `bun test/fuzz/rtsp.ts 1000000` takes the long way. */
const INPUTS = 20_000;

test.each(RTSP_TARGETS.map((target) => [target.name, target] as const))("%s", (_name, target) => {
  expect(fuzz(target, INPUTS, 1).failure).toBeNull();
});

test("inputs that once broke a parser", () => {
  for (const target of RTSP_TARGETS) {
    for (const file of readdirSync(VECTORS)) {
      if (!file.startsWith(`${target.name}.`)) continue;
      try {
        target.run(new Uint8Array(readFileSync(join(VECTORS, file))));
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
      }
    }
  }
});
