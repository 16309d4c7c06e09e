/** Synthetic cameras in a process of their own: what they cost must not disturb who pulls them. */
import { join } from "node:path";
import { Fault } from "../core/fault.ts";

const MAIN = join(import.meta.dir, "../main.ts");
/** The first run encodes the clip; a slow machine needs a minute for that. */
const READY_MAX_MS = 180_000;
const STOP_MAX_MS = 2_000;

export interface SyntheticCamera {
  readonly name: string;
  readonly url: string;
}

/** A running `onepull cameras`. */
export interface CameraProcess extends AsyncDisposable {
  readonly cameras: readonly SyntheticCamera[];
  /** Base address of its control interface. */
  readonly control: string;
  readonly pid: number;
}

/**
 * Starts cameras on ports of the system's choice.
 *
 * @param options further arguments of `onepull cameras`
 * @throws Fault `camera_unreachable` when they do not start
 */
export async function startCameras(count: number, options: string[]): Promise<CameraProcess> {
  const argv = ["cameras", "--count", String(count), "--port", "0", "--control", "0", ...options];
  const child = Bun.spawn([process.execPath, MAIN, ...argv], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), STOP_MAX_MS);
    await child.exited;
    clearTimeout(force);
  };
  const late = setTimeout(() => child.kill("SIGKILL"), READY_MAX_MS);
  const control = await controlAddress(child.stdout);
  clearTimeout(late);
  if (control === null) {
    await child.exited;
    throw new Fault("camera_unreachable", "The synthetic cameras did not start; see above.");
  }
  const cameras = await listCameras(control);
  return { cameras, control, pid: child.pid, [Symbol.asyncDispose]: stop };
}

async function listCameras(control: string): Promise<readonly SyntheticCamera[]> {
  const response = await fetch(`${control}/cameras`);
  // Told by the same version of this program.
  const stats = (await response.json()) as { readonly cameras: readonly SyntheticCamera[] };
  return stats.cameras;
}

/** The line that says where the control interface is; `null` when the output ends without it. */
async function controlAddress(output: ReadableStream<Uint8Array>): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of output) {
    text += decoder.decode(chunk, { stream: true });
    const found = /^control: (http:\S+)\/cameras$/m.exec(text);
    if (found?.[1]) return found[1];
  }
  return null;
}
