import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Fault } from "../core/fault.ts";
import { Log } from "../telemetry/log.ts";
import { Caller, type Message, Server } from "./channel.ts";
import type { EchoEvents, EchoMethods, EchoOptions } from "./fixtures/echo.ts";
import { Child } from "./supervisor.ts";

type Adding = { readonly add: { takes: { a: number; b: number }; gives: number } };
type Told = { readonly told: string };

/** A caller and a server with nothing between them but copies. */
function linked(handler: (takes: { a: number; b: number }) => number | Promise<number>) {
  const told: string[] = [];
  const caller: Caller<Adding, Told> = new Caller("test", (m) => void server.take(copy(m)), {
    told: (text) => told.push(text),
  });
  const server = new Server<Adding, Told>((m) => caller.take(copy(m)), { add: handler });
  return { caller, server, told };
}
const copy = (message: Message): Message => structuredClone(message);

describe("channel", () => {
  test("calls, results and events", async () => {
    const { caller, server, told } = linked(({ a, b }) => a + b);
    expect(await caller.call("add", { a: 1, b: 2 })).toBe(3);
    server.tell("told", "news");
    expect(told).toEqual(["news"]);
  });

  test("a fault keeps its code and words; a bug becomes internal", async () => {
    const refusing = linked(() => {
      throw new Fault("camera_not_live", "not yet");
    });
    await expect(refusing.caller.call("add", { a: 1, b: 2 })).rejects.toMatchObject({
      code: "camera_not_live",
      message: "not yet",
    });
    const broken = linked(() => {
      throw new TypeError("x is undefined");
    });
    await expect(broken.caller.call("add", { a: 1, b: 2 })).rejects.toMatchObject({
      code: "internal",
    });
  });

  test("when the wire goes, calls under way and later ones fail", async () => {
    const { caller } = linked(() => new Promise<number>(() => {}));
    const under = caller.call("add", { a: 1, b: 2 });
    caller.close();
    await expect(under).rejects.toMatchObject({ code: "process_down" });
    await expect(caller.call("add", { a: 1, b: 2 })).rejects.toMatchObject({
      code: "process_down",
    });
  });
});

type Echo = Child<EchoMethods, EchoEvents, EchoOptions>;
const children: Echo[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) await child.stop();
});

function startEcho(
  fixture = "echo.ts",
  name = "echo",
): {
  child: Echo;
  ups: () => Promise<number>;
  pids: number[];
} {
  const pids: number[] = [];
  let count = 0;
  const waiting: ((count: number) => void)[] = [];
  const child: Echo = new Child<EchoMethods, EchoEvents, EchoOptions>({
    name,
    entry: join(import.meta.dir, "fixtures", fixture),
    options: { greeting: "hello", log: { level: "error", format: "text" } },
    listeners: { stats: ({ pid }) => pids.push(pid) },
    onUp: () => {
      count++;
      for (const resolve of waiting.splice(0)) resolve(count);
    },
    onDown: () => {},
    log: new Log({ level: "error", format: "text", write: () => {} }, {}),
  });
  children.push(child);
  return { child, ups: () => new Promise((resolve) => waiting.push(resolve)), pids };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (alive(pid) && performance.now() < deadline) await Bun.sleep(10);
  expect(alive(pid)).toBe(false);
}

describe("child process", () => {
  test("serves calls, tells statistics, ends when told", async () => {
    const { child, ups, pids } = startEcho();
    await expect(child.call("echo", "early")).rejects.toMatchObject({ code: "process_down" });
    await ups();
    const { pid, text } = await child.call("echo", "you");
    expect([pid, text]).toEqual([child.pid ?? -1, "hello you"]);
    await expect(child.call("refuse", null)).rejects.toMatchObject({ code: "limit_reached" });
    const deadline = performance.now() + 10_000;
    while (pids.length === 0 && performance.now() < deadline) await Bun.sleep(10);
    expect(pids[0]).toBe(pid);
    await child.stop();
    await gone(pid);
  });

  test("is started again after a crash and after a kill", async () => {
    const { child, ups } = startEcho();
    await ups();
    const first = child.pid;
    const second = ups();
    await child.call("crash", null);
    await second;
    expect(child.pid).not.toBe(first);
    const third = ups();
    process.kill(child.pid ?? -1, "SIGKILL");
    await third;
    expect(child.restarts).toBe(2);
    expect((await child.call("echo", "again")).text).toBe("hello again");
  });

  test("one that does not end is ended by force", async () => {
    const { child, ups } = startEcho();
    await ups();
    const pid = child.pid ?? -1;
    await child.call("linger", null);
    const started = performance.now();
    await child.stop();
    expect(performance.now() - started).toBeLessThan(3_000);
    await gone(pid);
  });

  test("one that the system does not start is tried again, and costs its owner nothing", async () => {
    const { child } = startEcho("echo.ts", "no\0name");
    const deadline = performance.now() + 10_000;
    while (child.restarts < 3 && performance.now() < deadline) await Bun.sleep(5);
    expect([child.restarts >= 3, child.up, child.pid]).toEqual([true, false, null]);
    await child.stop();
  });

  test("one that is told to end as it gets ready stays away", async () => {
    const { child, ups, pids } = startEcho("late.ts");
    const deadline = performance.now() + 10_000;
    while (pids.length === 0 && performance.now() < deadline) await Bun.sleep(5);
    const { pid } = child;
    let up = false;
    void ups().then(() => {
      up = true;
    });
    await child.stop();
    while (child.pid === pid && performance.now() < deadline) await Bun.sleep(5);
    expect([child.pid, child.up, child.restarts, up]).toEqual([null, false, 0, false]);
  });

  test("ends when the hub is killed", async () => {
    const script = `
      import { Child } from ${JSON.stringify(join(import.meta.dir, "supervisor.ts"))};
      import { Log } from ${JSON.stringify(join(import.meta.dir, "../telemetry/log.ts"))};
      const log = new Log({ level: "error", format: "text" }, {});
      const child = new Child({ name: "echo", entry: ${JSON.stringify(join(import.meta.dir, "fixtures/echo.ts"))},
        options: { greeting: "", log: { level: "error", format: "text" } }, listeners: {}, log,
        onUp: () => console.log(child.pid), onDown() {} });`;
    const hub = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    const reader = hub.stdout.getReader();
    const pid = Number(new TextDecoder().decode((await reader.read()).value));
    expect(alive(pid)).toBe(true);
    hub.kill("SIGKILL");
    await gone(pid);
  });
});
