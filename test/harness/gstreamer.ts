/** Cameras that are not ours: GStreamer's RTSP server (test/python/gst-camera.py). */
import { join } from "node:path";

const SCRIPT = join(import.meta.dir, "../python/gst-camera.py");

export interface GstCamera extends AsyncDisposable {
  readonly port: number;
}

/** @param options of gst-camera.py */
export async function openGst(...options: string[]): Promise<GstCamera> {
  const child = Bun.spawn(["/usr/bin/python3", SCRIPT, ...options], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const { value } = await child.stdout.getReader().read();
  const port = Number(/^ready (\d+)/.exec(new TextDecoder().decode(value))?.[1]);
  if (!port) throw new Error("GStreamer's RTSP server did not start");
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await child.exited;
      clearTimeout(force);
    },
  };
}
