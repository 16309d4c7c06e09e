/** A Python worker (test/python/worker.py) that reads frames with the onepull package. */
import { join } from "node:path";
import { python } from "./tools.ts";

const ROOT = join(import.meta.dir, "../..");

/** What the worker tells of one frame. */
export interface WorkerFrame {
  readonly camera: string;
  /** Burned-in number, `null` when it cannot be read. */
  readonly frame: number | null;
  readonly seq: number;
  readonly rtpTimestamp: number;
  readonly capturedClock: "rtcp" | "arrival";
  readonly damaged: boolean;
  readonly width: number;
  readonly height: number;
  readonly valid: boolean;
  readonly haveUnixMs: number;
  /** Since the camera captured it. */
  readonly ageMs: number;
  readonly sinceDecodedMs: number;
}

export interface Worker extends AsyncDisposable {
  readonly pid: number;
  /** The next frame not taken yet. */
  next(timeoutMs: number): Promise<WorkerFrame>;
  /** All frames that came and were not taken. */
  take(): WorkerFrame[];
  /** Forgets what came. */
  clear(): void;
}

export interface WorkerOptions {
  /** Seconds of work per frame. */
  readonly sleep?: number;
  readonly width?: number;
  readonly zeroCopy?: boolean;
}

export function subscribe(
  endpoint: string,
  cameras: readonly string[],
  { sleep, width, zeroCopy }: WorkerOptions = {},
): Worker {
  const options = [
    ...(sleep === undefined ? [] : ["--sleep", String(sleep)]),
    ...(width === undefined ? [] : ["--width", String(width)]),
    ...(zeroCopy ? ["--zero-copy"] : []),
  ];
  const script = join(ROOT, "test/python/worker.py");
  const argv = [python() ?? "python3", script, ...options, endpoint, ...cameras];
  const child = Bun.spawn(argv, {
    env: { ...process.env, PYTHONPATH: join(ROOT, "clients/python/src") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const frames: WorkerFrame[] = [];
  void readLines(child.stdout, (line) => frames.push(JSON.parse(line)));
  return {
    pid: child.pid,
    next: async (timeoutMs) => {
      const deadline = performance.now() + timeoutMs;
      while (performance.now() < deadline) {
        const frame = frames.shift();
        if (frame) return frame;
        await Bun.sleep(2);
      }
      throw new Error(`the worker had no frame within ${timeoutMs} ms`);
    },
    take: () => frames.splice(0),
    clear: () => {
      frames.length = 0;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function readLines(
  output: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of output) {
    const lines = (text + decoder.decode(chunk, { stream: true })).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
}
