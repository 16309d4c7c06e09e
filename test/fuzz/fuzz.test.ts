import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { fuzz, rerun, type Target } from "./fuzz.ts";
import { OFFER_TARGETS } from "./offer.ts";
import { RTSP_TARGETS } from "./rtsp.ts";
import { rtpTargets } from "./targets.ts";

/** A million by hand: `bun test/fuzz/rtp.ts 1000000`, and the same for rtsp.ts and offer.ts. */
const INPUTS = 20_000;

test.each(
  [...rtpTargets(), ...RTSP_TARGETS, ...OFFER_TARGETS].map(
    (target) => [target.name, target] as const,
  ),
)(
  "%s",
  (_name, target) => {
    expect(rerun(target)).toEqual([]);
    const { broken, faults, inputs } = fuzz(target, INPUTS, 7);
    expect(broken).toEqual([]);
    expect(faults).toBeLessThan(inputs);
  },
  60_000,
);

test("a parser that breaks is found, with the input that broke it, the same for the same seed", () => {
  const fragile: Target = {
    name: "fragile",
    seeds: [Uint8Array.of(1, 2, 3, 4)],
    run(input) {
      if (input[0] === 0xff) throw new RangeError("no");
    },
  };
  const { broken } = fuzz(fragile, INPUTS, 7);
  try {
    expect(broken.length).toBeGreaterThan(0);
    expect(rerun(fragile).length).toBeGreaterThan(0);
    expect(fuzz(fragile, INPUTS, 7).broken).toEqual(broken);
  } finally {
    for (const file of broken) rmSync(file, { force: true });
  }
});
