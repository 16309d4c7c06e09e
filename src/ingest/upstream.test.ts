import { afterEach, expect, test } from "bun:test";
import { Secret } from "../core/secret.ts";
import { TestCamera } from "./fixtures/camera.ts";
import { Upstream, type UpstreamOptions } from "./upstream.ts";
import { Upstreams } from "./upstreams.ts";

const opened: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

function camera(): TestCamera {
  const made = new TestCamera();
  opened.push({ [Symbol.asyncDispose]: async () => made[Symbol.dispose]() });
  return made;
}

function optionsOf(cam: TestCamera): UpstreamOptions {
  const source = new Secret(`rtsp://127.0.0.1:${cam.port}/cam`);
  return { camera: "one", source, transport: "tcp", random: Math.random };
}

function upstreamOf(cam: TestCamera): Upstream {
  const upstream = new Upstream(optionsOf(cam));
  opened.push(upstream);
  return upstream;
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await Bun.sleep(5);
  }
}

test("nobody holds it: nothing is pulled", async () => {
  const cam = camera();
  const upstream = upstreamOf(cam);
  await Bun.sleep(50);
  expect([upstream.state.at, cam.connections]).toEqual(["idle", 0]);
});

test("the first hold starts the pull, the last one to go ends it, and its rings are freed", async () => {
  const cam = camera();
  const upstream = upstreamOf(cam);
  const first = upstream.hold(0);
  expect(await upstream.untilLive(5_000)).toBe(true);
  const second = upstream.hold(0);
  first();
  first();
  await Bun.sleep(50);
  expect([upstream.state.at, cam.connections]).toEqual(["live", 1]);
  let ended = 0;
  upstream.stream.video?.attachPackets({ packets: () => {}, ended: () => void ended++ });
  second();
  await until(() => upstream.state.at === "idle", "idle");
  await until(() => cam.kinds.includes("teardown"), "TEARDOWN");
  await until(() => upstream.stream.video === null, "the ring is freed");
  expect([cam.connections, ended]).toEqual([1, 1]);
});

test("who comes back within the linger finds the same pull", async () => {
  const cam = camera();
  const upstream = upstreamOf(cam);
  upstream.hold(10_000)();
  expect(await upstream.untilLive(5_000)).toBe(true);
  upstream.hold(0)();
  await until(() => upstream.state.at === "idle", "the shorter linger of the last one holds");
  expect(cam.connections).toBe(1);
});

test("held, let go and held again at once: never two connections at a time", async () => {
  const cam = camera();
  const upstream = upstreamOf(cam);
  for (let i = 0; i < 20; i++) {
    upstream.hold(0)();
    await Bun.sleep(i);
  }
  upstream.hold(0);
  expect(await upstream.untilLive(5_000)).toBe(true);
  let playing = 0;
  for (const kind of cam.kinds) {
    if (kind === "play") playing++;
    if (kind === "teardown") playing--;
    expect(playing).toBeWithin(0, 2);
  }
});

test("a hold outlives nothing: once closed it stays idle", async () => {
  const cam = camera();
  const upstream = upstreamOf(cam);
  const release = upstream.hold(0);
  expect(await upstream.untilLive(5_000)).toBe(true);
  await upstream.close();
  release();
  upstream.hold(0);
  await Bun.sleep(50);
  expect([upstream.state.at, cam.connections]).toEqual(["idle", 1]);
});

test("nobody publishes to what is closed", async () => {
  const options = { camera: "one", source: new Secret("publish://one"), random: Math.random };
  const upstream = new Upstream(options);
  expect(upstream.publish()?.stream).toBe(upstream.stream);
  await upstream.close();
  expect(upstream.publish()).toBeNull();
});

test("cameras of one address share one pull until the last has left", async () => {
  const cam = camera();
  await using upstreams = new Upstreams();
  const one = await upstreams.join(optionsOf(cam));
  const two = await upstreams.join(optionsOf(cam));
  expect(two).toBe(one);
  one.hold(0);
  expect(await two.untilLive(5_000)).toBe(true);
  await upstreams.leave(one);
  expect([two.state.at, cam.connections]).toEqual(["live", 1]);
  await upstreams.leave(two);
  expect(two.state.at).toBe("idle");
  // Taken leave of before it is opened anew.
  const three = await upstreams.join(optionsOf(cam));
  expect(three).not.toBe(one);
});
