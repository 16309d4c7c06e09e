// Whoever reads the burned-in number, in TypeScript or Python, reads the same one.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { Pattern, readFrameNumber } from "../../src/synthetic/pattern.ts";
import { python } from "../harness/tools.ts";

const SIZE = { width: 640, height: 360 };
const READER = `
import sys; sys.path.insert(0, sys.argv[1])
import numpy, pattern
pictures = numpy.frombuffer(sys.stdin.buffer.read(), numpy.uint8).reshape(-1, 360, 640)
bgr = numpy.repeat(pictures[..., None], 3, axis=3)
print([pattern.read_frame_number(p) for p in bgr], pattern.read_frame_number(pictures[0]))`;

test("Python reads what TypeScript reads", () => {
  const pattern = new Pattern(SIZE, 25, 50);
  const lumas = [4711, 1, 0, 65_535].map((frame) => {
    const i420 = new Uint8Array(pattern.bytes);
    pattern.draw(frame, i420);
    return i420.slice(0, SIZE.width * SIZE.height);
  });
  for (const [i, frame] of [4711, 1, 0, 65_535].entries()) {
    expect(readFrameNumber(lumas[i]!, SIZE.width, SIZE.height, SIZE.width, 1)).toBe(frame);
  }
  const grey = new Uint8Array(SIZE.width * SIZE.height).fill(128);
  const { stdout, stderr } = Bun.spawnSync(
    [python() ?? "python3", "-c", READER, join(import.meta.dir, "../python")],
    { stdin: Buffer.concat([...lumas, grey]) },
  );
  expect(stderr.toString()).toBe("");
  expect(stdout.toString().trim()).toBe("[4711, 1, 0, 65535, None] 4711");
});
