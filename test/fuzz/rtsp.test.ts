import { expect, test } from "bun:test";
import { fuzz, rerun } from "./mutate.ts";
import { RTSP_TARGETS } from "./rtsp.ts";

/** A million by hand: `bun test/fuzz/rtsp.ts 1000000`. */
const INPUTS = 20_000;

test.each(RTSP_TARGETS.map((target) => [target.name, target] as const))(
  "%s",
  (_name, target) => {
    expect(rerun(target)).toEqual([]);
    const { broken, faults, inputs } = fuzz(target, INPUTS, 7);
    expect(broken).toEqual([]);
    expect(faults).toBeLessThan(inputs);
  },
  60_000,
);
