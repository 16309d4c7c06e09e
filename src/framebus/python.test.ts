/** The Python client against the real bus and ring, each end in a process of its own. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monotonicMs, unixMs } from "../native/clock.ts";
import { FramePublisher } from "./publisher.ts";

const ROOT = join(import.meta.dir, "../..");
const CLIENT = join(ROOT, "clients/python");
const PYTHON = process.env["ONEPULL_PYTHON"] ?? "/usr/bin/python3";
const PATIENCE_MS = 15_000;

const probe = Bun.spawnSync([PYTHON, "-c", "import zmq, numpy"]);
const absent = probe.success ? "" : ` (skipped: ${PYTHON} has no zmq and numpy)`;

let folder = "";
let stack = new DisposableStack();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onepull-python-"));
  stack = new DisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
});
afterEach(() => stack.dispose());

function python(...args: string[]) {
  const child = Bun.spawn([PYTHON, ...args], {
    cwd: CLIENT,
    env: { ...process.env, PYTHONPATH: join(CLIENT, "src"), PYTHONDONTWRITEBYTECODE: "1" },
    stdout: "pipe",
    stderr: "pipe",
  });
  stack.defer(() => child.kill("SIGKILL"));
  return child;
}

async function startBus(endpoint: string, intake: string): Promise<void> {
  const script = join(import.meta.dir, "fixtures/serve-bus.ts");
  const child = Bun.spawn(["bun", script, endpoint, intake], { stdout: "pipe" });
  stack.defer(() => child.kill("SIGKILL"));
  await child.stdout.getReader().read();
}

interface Read {
  readonly seq: number;
  readonly age_ms: number;
  readonly whole: boolean;
}

test.skipIf(absent !== "")(
  `a worker of 200 ms a frame gets whole frames younger than 100 ms${absent}`,
  async () => {
    const [endpoint, intake] = [`ipc://${folder}/frames`, `ipc://${folder}/intake`];
    await startBus(endpoint, intake);
    const publisher = stack.use(new FramePublisher({ intake, folder: join(folder, "shm") }));
    const sink = stack.adopt(publisher.openSink("lobby", { kind: "shm", width: 640 }), (one) =>
      one.close(),
    );
    const child = python(
      join(import.meta.dir, "fixtures/slow_reader.py"),
      ...[endpoint, "lobby", "0.2", "15"],
    );
    const deadline = monotonicMs() + PATIENCE_MS;
    for (let sequence = 0; child.exitCode === null && monotonicMs() < deadline; sequence++) {
      sink.claim(640, 360).fill(sequence & 255);
      const now = unixMs();
      sink.publish({
        sequence,
        width: 640,
        height: 360,
        stride: 1920,
        timestamp: sequence * 3600,
        mediaTicks: sequence * 3600,
        captured: now,
        capturedClock: "arrival",
        decoded: now,
        keyframe: false,
        damaged: false,
        droppedBefore: 0,
      });
      await Bun.sleep(40);
    }
    expect(await child.stderr.text()).toBe("");
    const frames: Read[] = JSON.parse(await child.stdout.text());
    expect(frames.every(({ whole }) => whole)).toBe(true);
    for (const [i, { seq }] of frames.entries())
      expect(seq).toBeGreaterThan(frames[i - 1]?.seq ?? -1);
    const young = frames.filter(({ age_ms }) => age_ms < 100);
    // A machine that is busy with other things may stop this process for a moment, once.
    expect(young.length).toBeGreaterThanOrEqual(frames.length - 1);
  },
);
