// Starting, ending and being killed: in time, and with nothing left behind.
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCameras, type TestCameras } from "../harness/cameras.ts";
import { type HubProcess, startHub, until, untilState } from "../harness/hub.ts";
import { alive, family } from "../harness/processes.ts";
import { subscribe } from "../harness/worker.ts";

const LAUNCHER = join(import.meta.dir, "../../onepull");
const folder = mkdtempSync(join(tmpdir(), "onepull-lifecycle-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A hub with a viewerless camera that a worker reads, so that every kind of process runs. */
async function busyHub(stack: AsyncDisposableStack): Promise<HubProcess> {
  const cameras: TestCameras = stack.use(await openCameras(1));
  const hub = stack.use(await startHub(cameras.sources));
  await untilState(hub, "demo-1", "live", 10_000);
  const worker = stack.use(subscribe(hub.framebus, ["demo-1"]));
  await worker.next(15_000);
  expect(readdirSync(hub.shmDir)).toEqual(["demo-1.shm"]);
  return hub;
}

describe("the end", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "%s: within 3 s, nothing left",
    async (signal) => {
      await using stack = new AsyncDisposableStack();
      const hub = await busyHub(stack);
      const everyone = family(hub.process.pid);
      expect(everyone.length).toBeGreaterThanOrEqual(4);
      const started = performance.now();
      hub.process.kill(signal);
      expect(await hub.process.exited).toBe(0);
      expect(performance.now() - started).toBeLessThan(3_000);
      expect(everyone.filter(alive)).toEqual([]);
      expect([existsSync(hub.shmDir), existsSync(hub.runtimeDir)]).toEqual([false, false]);
    },
    60_000,
  );

  test("^C in a terminal reaches every process at once, and still all ends well", async () => {
    await using stack = new AsyncDisposableStack();
    const hub = await busyHub(stack);
    const everyone = family(hub.process.pid);
    for (const pid of everyone.toReversed()) process.kill(pid, "SIGINT");
    expect(await hub.process.exited).toBe(0);
    expect(everyone.filter(alive)).toEqual([]);
    expect(existsSync(hub.shmDir)).toBe(false);
  }, 60_000);

  test("a killed hub: its processes end, and the next hub finds a clean place", async () => {
    await using stack = new AsyncDisposableStack();
    const hub = await busyHub(stack);
    const everyone = family(hub.process.pid);
    hub.process.kill("SIGKILL");
    await until("all processes ended", () => !everyone.some(alive), 10_000);
    const again = stack.use(await startHub({}, hub));
    expect(readdirSync(again.shmDir)).toEqual([]);
  }, 60_000);
});

/** Runs the launcher to its end. */
async function launch(
  ...argv: string[]
): Promise<{ code: number; output: string; errors: string }> {
  const child = Bun.spawn([LAUNCHER, ...argv], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ONEPULL_RUNTIME_DIR: join(folder, "run") },
    timeout: 30_000,
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output, errors };
}

test("the doctor looks at everything, and this machine will do", async () => {
  const { code, output } = await launch("doctor");
  expect(code).toBe(0);
  // Unit tests of the fast path are skipped where libcrypto is missing: not here.
  expect(output).toContain("ok   viewers: encryption by libcrypto, sending by gso");
  for (const subject of ["frame bus", "decoding", "shared memory", "UDP", "ports"]) {
    expect(output).toMatch(new RegExp(`^(ok  |weak) ${subject}`, "m"));
  }
}, 40_000);

describe("what cannot start says why", () => {
  test("a configuration error names file, line and key", async () => {
    const file = join(folder, "bad.yaml");
    writeFileSync(file, 'cameras:\n  lobby:\n    sorce: "rtsp://10.0.0.9/1"\n');
    const { code, errors } = await launch("start", "--config", file);
    expect(code).toBe(1);
    expect(errors).toContain(
      `${file}:3:5: cameras.lobby.sorce: unknown key; did you mean \`source\`?`,
    );
  }, 40_000);

  test("a file that is not there, a port that is taken, an option that is none", async () => {
    const missing = await launch("start", "--config", "nowhere.yaml");
    expect([missing.code, missing.errors]).toEqual([
      1,
      "onepull: There is no file nowhere.yaml.\n",
    ]);
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const file = join(folder, "taken.yaml");
    const ports =
      "webrtc: { port: 0 }\nrtsp: { port: 0 }\nframebus: { port: 0 }\ninstance: taken\n";
    writeFileSync(file, `http: { port: ${server.port} }\n${ports}`);
    const taken = await launch("start", "--config", file);
    expect(taken.code).toBe(1);
    expect(taken.errors).toContain(`Port ${server.port} on 127.0.0.1 is taken`);
    writeFileSync(
      file,
      `http: { port: 0 }\n${ports.replace("rtsp: { port: 0", `rtsp: { port: ${server.port}`)}`,
    );
    expect((await launch("start", "--config", file)).errors).toContain("set `rtsp.port`");
    const option = await launch("start", "--confg", "x");
    expect(option.code).toBe(2);
    expect(option.errors).toContain("--confg");
    const command = await launch("strat");
    expect(command.code).toBe(2);
    expect(command.errors).toContain("there is no command `strat`");
  }, 60_000);

  test("a second hub of the same instance", async () => {
    await using hub = await startHub({});
    const file = join(hub.runtimeDir, "../onepull.yaml");
    const child = Bun.spawn([LAUNCHER, "start", "--config", file], {
      env: { ...process.env, ONEPULL_RUNTIME_DIR: hub.runtimeDir },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 30_000,
    });
    expect(await new Response(child.stderr).text()).toContain("Another hub runs as instance");
    expect(await child.exited).toBe(1);
    expect((await fetch(`${hub.http}/readyz`)).status).toBe(200);
  }, 60_000);
});
