// The puller process: what it costs when it breaks, and that none is left behind.
import { afterEach, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Secret } from "../core/secret.ts";
import { monotonicMs } from "../native/clock.ts";
import type { CameraState } from "../stream/camera-state.ts";
import { Stream } from "../stream/stream.ts";
import { avPuller } from "./av-session.ts";
import { TestCamera } from "./fixtures/camera.ts";
import { Pull } from "./ingest.ts";

const PATIENCE_MS = 20_000;

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = monotonicMs() + PATIENCE_MS;
  while (!holds()) {
    if (monotonicMs() > deadline) throw new Error(`never happened: ${what}`);
    await Bun.sleep(5);
  }
}

/** Processes that this one started, or another. */
function children(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

test("a crash of libav costs one connection, and is told", async () => {
  const cam = stack.use(new TestCamera());
  const states: CameraState[] = [];
  const others = children(process.pid);
  const pull = stack.use(
    new Pull({
      camera: "lobby",
      source: new Secret(cam.source("admin:hunter2@")),
      stream: new Stream(),
      onState: (state) => states.push(state),
      random: Math.random,
      puller: "ffmpeg",
      ffmpeg: avPuller({ transport: "tcp", tls: { verify: true, fingerprint: null } }),
    }),
  );
  pull.start();
  await until(() => pull.state.at === "live", "live");
  const [puller = 0] = children(process.pid).filter((pid) => !others.includes(pid));
  // Everyone on the machine can read the command line.
  expect(readFileSync(`/proc/${puller}/cmdline`, "utf8")).not.toContain("hunter2");
  process.kill(puller, "SIGKILL");
  await until(() => states.some(({ at }) => at === "reconnecting"), "noticed");
  await until(() => pull.state.at === "live", "live again");
  expect(states.find(({ at }) => at === "reconnecting")).toMatchObject({
    cause: { code: "process_down" },
  });
  expect(pull.counters.bugs).toBe(0);
});

test("a puller whose media process was killed ends by itself", async () => {
  const cam = stack.use(new TestCamera());
  const parent = Bun.spawn(
    [process.execPath, join(import.meta.dir, "fixtures/pulls.ts"), cam.source()],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  stack.defer(() => parent.kill("SIGKILL"));
  let said = "";
  for await (const bytes of parent.stdout) {
    said += new TextDecoder().decode(bytes);
    if (said.includes("live")) break;
  }
  const [puller = 0] = children(parent.pid);
  expect(existsSync(`/proc/${puller}`)).toBe(true);
  parent.kill("SIGKILL");
  await until(() => !existsSync(`/proc/${puller}`), "the puller is gone");
  await until(() => cam.clients === 0, "the camera is alone");
});
