import { describe, expect, test } from "bun:test";
import { Placement } from "./placement.ts";

/** A placement whose actions are written down; calls fail while `broken`. */
function placed() {
  const log: string[] = [];
  const state = { broken: false };
  const act = async (line: string): Promise<void> => {
    if (state.broken) throw new Error("process is away");
    log.push(line);
  };
  const placement = new Placement({
    startGroup: (group) => log.push(`start ${group}`),
    stopGroup: (group) => log.push(`stop ${group}`),
    decode: (group, camera, topics) => act(`decode ${group} ${camera} [${topics}]`),
    feed: (camera, group) => act(`feed ${camera} ${group}`),
  });
  const taken = async (): Promise<string[]> => {
    await Bun.sleep(0);
    return log.splice(0);
  };
  return { placement, taken, state };
}

const want = (...cameras: string[]) =>
  new Map(cameras.map((camera) => [camera, [`${camera}/shm`]] as const));

describe("placement", () => {
  test("first subscription to last, with linger and idle process", async () => {
    const { placement, taken } = placed();
    placement.mediaUp(0);
    placement.demand(want("a"), 0);
    expect(await taken()).toEqual(["start decode-0"]);
    placement.groupUp("decode-0", 700);
    expect(await taken()).toEqual(["decode decode-0 a [a/shm]", "feed a decode-0"]);
    placement.demand(want(), 1_000);
    placement.tick(5_999);
    expect(await taken()).toEqual([]);
    placement.tick(6_000);
    expect(await taken()).toEqual(["feed a null", "decode decode-0 a []"]);
    placement.tick(65_999);
    expect(await taken()).toEqual([]);
    placement.tick(66_000);
    expect(await taken()).toEqual(["stop decode-0"]);
  });

  test("a subscription within the linger changes nothing", async () => {
    const { placement, taken } = placed();
    placement.mediaUp(0);
    placement.demand(want("a"), 0);
    placement.groupUp("decode-0", 0);
    await taken();
    placement.demand(want(), 1_000);
    placement.demand(want("a"), 3_000);
    placement.tick(60_000);
    expect(await taken()).toEqual([]);
  });

  test("another size of the same camera tells the decoder only", async () => {
    const { placement, taken } = placed();
    placement.mediaUp(0);
    placement.demand(want("a"), 0);
    placement.groupUp("decode-0", 0);
    await taken();
    placement.demand(new Map([["a", ["a/shm?width=320", "a/shm"]]]), 0);
    expect(await taken()).toEqual(["decode decode-0 a [a/shm,a/shm?width=320]"]);
  });

  test("a process that dies is told everything again; a new media process only to feed", async () => {
    const { placement, taken } = placed();
    placement.mediaUp(0);
    placement.demand(want("a", "b"), 0);
    placement.groupUp("decode-0", 0);
    expect((await taken()).length).toBe(5);
    placement.groupDown("decode-0");
    placement.tick(100);
    expect(await taken()).toEqual([]);
    placement.groupUp("decode-0", 200);
    expect((await taken()).sort()).toEqual([
      "decode decode-0 a [a/shm]",
      "decode decode-0 b [b/shm]",
      "feed a decode-0",
      "feed b decode-0",
    ]);
    placement.mediaDown();
    placement.mediaUp(300);
    expect(await taken()).toEqual(["feed a decode-0", "feed b decode-0"]);
    placement.feedLost("b");
    placement.tick(400);
    expect(await taken()).toEqual(["feed b decode-0"]);
  });

  test("what failed is tried again", async () => {
    const { placement, taken, state } = placed();
    placement.mediaUp(0);
    state.broken = true;
    placement.demand(want("a"), 0);
    placement.groupUp("decode-0", 0);
    expect(await taken()).toEqual(["start decode-0"]);
    state.broken = false;
    placement.tick(1_000);
    expect(await taken()).toEqual(["decode decode-0 a [a/shm]", "feed a decode-0"]);
  });

  test("nine cameras need two processes, and the second takes the tenth", () => {
    const { placement } = placed();
    const cameras = Array.from({ length: 10 }, (_, i) => `c${i}`);
    placement.demand(want(...cameras), 0);
    expect(cameras.map((camera) => placement.groupOf(camera)).slice(7)).toEqual([
      "decode-0",
      "decode-1",
      "decode-1",
    ]);
  });
});
