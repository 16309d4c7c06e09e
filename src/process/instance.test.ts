import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Instance } from "./instance.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onepull-test-"));
  process.env["ONEPULL_RUNTIME_DIR"] = join(folder, "run");
});
afterEach(() => {
  delete process.env["ONEPULL_RUNTIME_DIR"];
  rmSync(folder, { recursive: true, force: true });
});
const name = `test-${process.pid}`;

test("an instance is taken once, given back whole, and taken again", async () => {
  const first = await Instance.open(name);
  writeFileSync(join(first.shmDir, "lobby.shm"), "pixels");
  await expect(Instance.open(name)).rejects.toMatchObject({ code: "already_running" });
  first[Symbol.dispose]();
  expect([existsSync(first.shmDir), existsSync(first.runtimeDir)]).toEqual([false, false]);
  const second = await Instance.open(name);
  second[Symbol.dispose]();
});

test("what a killed hub left behind is removed; what it did not make stays", async () => {
  const script = `
    const { Instance } = await import(${JSON.stringify(join(import.meta.dir, "instance.ts"))});
    const { shmDir } = await Instance.open(${JSON.stringify(name)});
    await Bun.write(shmDir + "/lobby.shm", "pixels");
    console.log("ready");
    setInterval(() => {}, 1000);`;
  const hub = Bun.spawn([process.execPath, "-e", script], {
    env: { ...process.env },
    stdout: "pipe",
  });
  await hub.stdout.getReader().read();
  await expect(Instance.open(name)).rejects.toMatchObject({ code: "already_running" });
  hub.kill("SIGKILL");
  await hub.exited;
  writeFileSync(join(folder, "run", "notes.txt"), "mine");
  const again = await Instance.open(name);
  expect(existsSync(join(again.shmDir, "lobby.shm"))).toBe(false);
  again[Symbol.dispose]();
  expect(existsSync(join(folder, "run", "notes.txt"))).toBe(true);
});
