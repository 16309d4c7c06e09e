import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseConfig } from "../config/load.ts";
import type { CameraSpec } from "../process/protocol.ts";
import { Cameras } from "./cameras.ts";
import { CameraStore } from "./store.ts";

const configured = parseConfig('cameras: { lobby: { source: "rtsp://h/1" } }', "t").cameras;

function open(store: CameraStore): { cameras: Cameras; done: string[] } {
  const done: string[] = [];
  const actions = {
    open: ({ id, main }: CameraSpec) => void done.push(`open ${id} ${main.source}`),
    close: (id: string) => void done.push(`close ${id}`),
  };
  return { cameras: new Cameras(configured, store, actions, () => 1), done };
}

test("what the API added and what a person stopped survives a restart", () => {
  const folder = mkdtempSync(join(tmpdir(), "onepull-store-"));
  try {
    const path = join(folder, "onepull.db");
    {
      using store = new CameraStore(path);
      const { cameras } = open(store);
      cameras.add({ id: "gate", source: "rtsp://u:p%40@h/2", transport: "udp" });
      cameras.add({ id: "gone", source: "rtsp://h/3" });
      cameras.remove("gone");
      cameras.stop("lobby");
    }
    using store = new CameraStore(path);
    const { cameras, done } = open(store);
    expect(cameras.list().map(({ id, origin, enabled }) => [id, origin, enabled])).toEqual([
      ["gate", "api", true],
      ["lobby", "config", false],
    ]);
    cameras.openAll();
    expect(done).toEqual(["open gate rtsp://u:p%40@h/2"]);
    cameras.start("lobby");
    expect(done[1]).toBe("open lobby rtsp://h/1");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("numbered cameras are listed as people count", () => {
  using store = new CameraStore(":memory:");
  const { cameras } = open(store);
  for (const n of [10, 2, 1]) cameras.add({ id: `cam-${n}`, source: "rtsp://h/1" });
  expect(cameras.list().map(({ id }) => id)).toEqual(["cam-1", "cam-2", "cam-10", "lobby"]);
});

test("states of stopped and unknown cameras come too late", () => {
  using store = new CameraStore(":memory:");
  const { cameras } = open(store);
  cameras.tell("nobody", "main", { at: "live", since: 5 });
  cameras.stop("lobby");
  cameras.tell("lobby", "main", { at: "live", since: 5 });
  expect(cameras.get("lobby").state.at).toBe("idle");
});

test("without the media process every camera that should run is reconnecting", () => {
  using store = new CameraStore(":memory:");
  const { cameras } = open(store);
  cameras.tell("lobby", "main", { at: "live", since: 5 });
  cameras.lostAll();
  expect(cameras.get("lobby").state).toMatchObject({
    at: "reconnecting",
    cause: { code: "process_down" },
  });
});
