import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Taint, type TaintCause } from "./taint.ts";

const P = { keyframe: false, damaged: false, gapBefore: false };
const I = { ...P, keyframe: true };
type Step = typeof P | TaintCause;

/** The cause after each step; `null` where pictures are believed. */
function causes(steps: readonly Step[]): (TaintCause | null)[] {
  const taint = new Taint();
  return steps.map((step) => {
    if (typeof step === "string") taint.spoil(step);
    else taint.enter(step);
    return taint.cause;
  });
}

describe("taint", () => {
  const cases: { name: string; steps: Step[]; after: (TaintCause | null)[] }[] = [
    { name: "starts doubtful, a keyframe clears", steps: [P, I, P], after: ["start", null, null] },
    {
      name: "a damaged keyframe clears nothing",
      steps: [{ ...I, damaged: true }],
      after: ["start"],
    },
    {
      name: "a gap taints until the next keyframe",
      steps: [I, { ...P, gapBefore: true }, P, I],
      after: [null, "gap", "gap", null],
    },
    {
      name: "a gap before a keyframe is no matter",
      steps: [{ ...I, gapBefore: true }],
      after: [null],
    },
    {
      name: "damage taints, whatever else is said of the unit",
      steps: [I, { keyframe: true, damaged: true, gapBefore: true }, P],
      after: [null, "damaged", "damaged"],
    },
    {
      name: "each word of the decoder taints",
      steps: [I, "send_error", I, "missing_output", I, "decode_error", I, "behind", I],
      after: [
        null,
        "send_error",
        null,
        "missing_output",
        null,
        "decode_error",
        null,
        "behind",
        null,
      ],
    },
    {
      name: "the first cause is kept",
      steps: [I, "decode_error", "missing_output", { ...P, gapBefore: true }],
      after: [null, "decode_error", "decode_error", "decode_error"],
    },
    {
      name: "a keyframe whose decoding goes wrong does not clear",
      steps: [P, I, "decode_error", P],
      after: ["start", null, "decode_error", "decode_error"],
    },
  ];
  test.each(cases)("$name", ({ steps, after }) => {
    expect(causes(steps)).toEqual(after);
  });

  test("nothing but a whole keyframe ever clears", () => {
    const unit = fc.record({
      keyframe: fc.boolean(),
      damaged: fc.boolean(),
      gapBefore: fc.boolean(),
    });
    const step = fc.oneof(unit, fc.constantFrom<TaintCause>("behind", "missing_output"));
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const after = causes(steps);
        for (const [i, step] of steps.entries()) {
          const before = i === 0 ? "start" : after[i - 1];
          const whole = typeof step !== "string" && step.keyframe && !step.damaged;
          if (before !== null && after[i] === null) expect(whole).toBe(true);
          if (whole) expect(after[i]).toBeNull();
        }
      }),
    );
  });
});
