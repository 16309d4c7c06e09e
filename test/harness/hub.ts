/** Real hubs and cameras in processes of their own, on ports of the system's choice. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { CameraReport } from "../../src/api/report.ts";

const ROOT = join(import.meta.dir, "../..");
const MAIN = join(ROOT, "src/main.ts");
const READY_MAX_MS = 30_000;

export interface HubProcess extends AsyncDisposable {
  readonly process: Bun.Subprocess;
  readonly instance: string;
  readonly http: string;
  /** ZeroMQ endpoint of its frame bus. */
  readonly framebus: string;
  readonly shmDir: string;
  readonly runtimeDir: string;
  /** What it wrote to standard error so far. */
  log(): string;
}

/** Cameras by name: their address, or their whole configuration. */
export type CameraMap = Readonly<Record<string, string | Readonly<Record<string, unknown>>>>;

let instances = 0;

/**
 * Starts a hub with these cameras, and waits until all of it is up.
 *
 * @param place of another hub that has ended; a new one unless given
 * @param settings sections of the configuration to replace
 */
export async function startHub(
  cameras: CameraMap,
  place?: Pick<HubProcess, "instance" | "runtimeDir">,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<HubProcess> {
  const folder = mkdtempSync(join(tmpdir(), "onepull-e2e-"));
  const instance = place?.instance ?? `e2e-${process.pid}-${instances++}`;
  const runtimeDir = place?.runtimeDir ?? join(folder, "run");
  const config = {
    instance,
    data: join(folder, "data"),
    http: { port: 0 },
    webrtc: { port: 0 },
    rtsp: { port: 0 },
    framebus: { port: 0 },
    ...settings,
    cameras: Object.fromEntries(
      Object.entries(cameras).map(([name, camera]) => [
        name,
        typeof camera === "string" ? { source: camera } : camera,
      ]),
    ),
  };
  const file = join(folder, "onepull.yaml");
  await Bun.write(file, stringify(config));
  const logFile = join(folder, "hub.log");
  const child = Bun.spawn([process.execPath, MAIN, "start", "--config", file], {
    env: { ...process.env, ONEPULL_RUNTIME_DIR: runtimeDir },
    stdio: ["ignore", "pipe", Bun.file(logFile)],
  });
  const chunk = await child.stdout.getReader().read();
  const http = new TextDecoder().decode(chunk.value).trim();
  const log = async (): Promise<string> => Bun.file(logFile).text();
  if (!http.startsWith("http://")) throw new Error(`the hub did not start:\n${await log()}`);
  await until("the hub is ready", async () => (await fetch(`${http}/readyz`)).ok, READY_MAX_MS);
  return {
    process: child,
    instance,
    http,
    framebus: `ipc://${join(runtimeDir, "frames")}`,
    shmDir: join("/dev/shm", `onepull-${instance}`),
    runtimeDir,
    log: () => readFileSync(logFile, "utf8"),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await child.exited;
      clearTimeout(force);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** One camera as the API shows it. */
export async function cameraOf(hub: HubProcess, id: string): Promise<CameraReport> {
  const response = await fetch(`${hub.http}/api/v1/cameras/${id}`);
  if (!response.ok) throw new Error(`${id}: ${response.status} ${await response.text()}`);
  return (await response.json()) as CameraReport;
}

/** Waits until the camera is in this state. Resolves with the camera. */
export async function untilState(
  hub: HubProcess,
  id: string,
  state: CameraReport["state"],
  timeoutMs: number,
): Promise<CameraReport> {
  let last: CameraReport | null = null;
  await until(
    `${id} is ${state}`,
    async () => {
      last = await cameraOf(hub, id);
      return last.state === state;
    },
    timeoutMs,
    () => JSON.stringify({ state: last?.state, cause: last?.cause }),
  );
  return last ?? cameraOf(hub, id);
}

/** The process of this name, as the hub tells. */
export async function pidOf(hub: HubProcess, name: string): Promise<number> {
  const health = (await (await fetch(`${hub.http}/healthz`)).json()) as {
    processes: { name: string; pid: number | null }[];
  };
  const pid = health.processes.find((each) => each.name === name)?.pid;
  if (typeof pid !== "number") throw new Error(`no process ${name}`);
  return pid;
}

/** Waits for something to become true; names it when it does not in time. */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  timeoutMs: number,
  seen: () => string = () => "",
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if (await check()) return;
    await Bun.sleep(20);
  }
  throw new Error(`not within ${timeoutMs} ms: ${what} ${seen()}`);
}
