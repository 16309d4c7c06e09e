import { describe, expect, test } from "bun:test";
import { Fault } from "../core/fault.ts";
import { Secret } from "../core/secret.ts";
import { monotonicMs } from "../native/clock.ts";
import { writeRequest } from "../rtsp/message.ts";
import { parseSdp } from "../rtsp/sdp.ts";
import { Stream } from "../stream/stream.ts";
import { Log } from "../telemetry/log.ts";
import { Client } from "./fixtures/client.ts";
import { Feed, PPS, SPS } from "./fixtures/feed.ts";
import type { RestreamOptions } from "./options.ts";
import { Site } from "./site.ts";

const TCP: [string, string] = ["Transport", "RTP/AVP/TCP;interleaved=0-1"];

interface Rig {
  readonly site: Site;
  readonly feed: Feed;
  readonly leases: { taken: number; released: number };
}

function rig(more: Partial<RestreamOptions> = {}, feed = new Feed().frames(8)): Rig {
  const leases = { taken: 0, released: 0 };
  const site = new Site({
    address: "127.0.0.1",
    port: 0,
    acquire: async ({ path }) => {
      if (path !== "lobby") return null;
      leases.taken++;
      return { stream: feed.stream, release: () => void leases.released++ };
    },
    publish: () => null,
    authorize: null,
    log: new Log({ level: "error", format: "text" }, {}),
    timing: { readyMs: 60 },
    ...more,
  });
  return { site, feed, leases };
}

describe("a reader", () => {
  test("is told the parameter sets in force, and sent from the last keyframe on", async () => {
    const { site, feed, leases } = rig();
    const client = new Client(site);
    const described = await client.ask("DESCRIBE", "/lobby");
    const format = parseSdp(new TextDecoder().decode(described.body)).media[0]?.formats[0];
    expect(format?.parameters.get("sprop-parameter-sets")).toBe(
      `${SPS.toBase64()},${PPS.toBase64()}`,
    );
    await client.ask("SETUP", "/lobby/video", [TCP]);
    const play = await client.ask("PLAY", "/lobby");
    const [, sequence, timestamp] =
      /url=rtsp:\/\/hub\/lobby\/video;seq=(\d+);rtptime=(\d+)/.exec(
        play.headers.get("RTP-Info") ?? "",
      ) ?? [];
    await client.reaches(feed.newest);
    expect(client.packets[0]).toMatchObject({
      sequence: Number(sequence),
      timestamp: Number(timestamp),
      payload: SPS.toHex(),
    });
    expect(Number(timestamp)).toBe(90_000 + 5 * 3_600);
    feed.frames(3);
    const numbers = client.packets.map((packet) => (packet.sequence - Number(sequence)) & 0xffff);
    expect(numbers).toEqual(Array.from({ length: 8 + 8 }, (_, i) => i));
    expect(client.reports.length).toBe(1);
    expect(await client.status("TEARDOWN", "/lobby")).toBe(200);
    expect(leases).toEqual({ taken: 1, released: 1 });
    feed.frames(1);
    expect(client.packets.length).toBe(16);
  });

  test("with gop=0 is sent from the next keyframe on", async () => {
    const { site, feed } = rig();
    const client = new Client(site);
    await client.ask("DESCRIBE", "/lobby?gop=0");
    await client.ask("SETUP", "/lobby?gop=0/video", [TCP]);
    const play = await client.ask("PLAY", "/lobby?gop=0");
    expect(play.headers.get("RTP-Info")).toBeNull();
    feed.frames(2);
    await Bun.sleep(20);
    expect(client.packets).toEqual([]);
    feed.frames(1);
    expect(client.packets[0]?.payload).toBe(SPS.toHex());
  });

  test("may pause, and goes on from the last keyframe", async () => {
    const { site, feed } = rig();
    const client = new Client(site);
    await client.play("/lobby");
    expect(await client.status("PAUSE", "/lobby")).toBe(200);
    const count = client.packets.length;
    feed.frames(5);
    expect(client.packets.length).toBe(count);
    await client.ask("PLAY", "/lobby");
    for (let i = 0; i < 100 && client.packets.length === count; i++) await Bun.sleep(2);
    expect(client.packets[count]?.payload).toBe(SPS.toHex());
  });

  test("has numbers of its own", async () => {
    const { site, feed } = rig();
    const clients = [new Client(site), new Client(site)];
    for (const client of clients) await client.play("/lobby");
    feed.frames(6);
    for (const client of clients) await client.reaches(feed.newest);
    const [a, b] = clients.map(({ packets }) => packets);
    expect(a?.[0]?.ssrc).not.toBe(b?.[0]?.ssrc);
    expect(a?.map(({ payload }) => payload)).toEqual(b?.map(({ payload }) => payload));
  });

  test("is told that its stream ended, so that it asks again", async () => {
    const { site, feed, leases } = rig();
    const client = new Client(site);
    await client.play("/lobby");
    feed.track.end();
    expect(client.ended).toBe(true);
    // Receiver report, then goodbye (203).
    expect(client.reports.at(-1)).toMatch(/^80c90001.{8}81cb0001/);
    expect(leases.released).toBe(1);
  });

  test("asks for the password", async () => {
    const { site } = rig({ authorize: [{ user: "u", password: new Secret("p") }] });
    const client = new Client(site);
    const denied = await client.ask("DESCRIBE", "/lobby");
    expect(denied.status).toBe(401);
    expect(denied.headers.all("WWW-Authenticate").map((field) => field.split(" ")[0])).toEqual([
      "Digest",
      "Digest",
      "Basic",
    ]);
    const basic: [string, string] = ["Authorization", `Basic ${btoa("u:p")}`];
    expect(await client.status("DESCRIBE", "/lobby", [basic])).toBe(200);
  });
});

describe("what cannot be read", () => {
  test("an unknown path", async () => {
    const { site } = rig();
    expect(await new Client(site).status("DESCRIBE", "/garage")).toBe(404);
    expect(await new Client(site).status("SETUP", "/garage/video", [TCP])).toBe(404);
  });

  test("an unknown track", async () => {
    const { site } = rig();
    expect(await new Client(site).status("SETUP", "/lobby/audio", [TCP])).toBe(404);
  });

  test("a camera that is not live in time; its lease is given back", async () => {
    const { site, leases } = rig({}, new Feed());
    const response = await new Client(site).ask("DESCRIBE", "/lobby");
    expect([response.status, response.reason]).toEqual([503, "Camera Is Not Live"]);
    expect(leases).toEqual({ taken: 1, released: 1 });
  });

  test("a camera that comes up in time is waited for", async () => {
    const feed = new Feed();
    const { site } = rig({ timing: { readyMs: 2_000 } }, feed);
    const describing = new Client(site).status("DESCRIBE", "/lobby");
    await Bun.sleep(30);
    feed.frame();
    expect(await describing).toBe(200);
  });

  test("a lease that comes too late is given back", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let released = 0;
    const { site } = rig({
      acquire: async () => {
        await promise;
        return { stream: new Stream(), release: () => void released++ };
      },
    });
    expect(await new Client(site).status("DESCRIBE", "/lobby")).toBe(503);
    resolve();
    await Bun.sleep(1);
    expect(released).toBe(1);
  });

  test("the client is gone before the stream is there", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { site, feed, leases } = rig({
      acquire: async () => {
        await promise;
        leases.taken++;
        return { stream: feed.stream, release: () => void leases.released++ };
      },
    });
    const client = new Client(site);
    client.send(writeRequest("DESCRIBE", "rtsp://h/lobby", [["CSeq", "1"]]));
    client.end();
    resolve();
    await Bun.sleep(5);
    expect(leases).toEqual({ taken: 1, released: 1 });
  });

  test.each([
    [
      new Fault("camera_not_live", "the camera is off:\r\nswitch it on"),
      503,
      /^the camera is off: s/,
    ],
    [new Fault("camera_unknown", "no such camera"), 404, /^no such camera$/],
  ])("a fault says why: %s", async (fault, status, reason) => {
    const { site } = rig({ acquire: () => Promise.reject(fault) });
    const response = await new Client(site).ask("DESCRIBE", "/lobby");
    expect(response.status).toBe(status);
    expect(response.reason).toMatch(reason);
  });
});

describe("clients that misbehave", () => {
  test("one that never reads loses pictures, then its connection; others lose nothing", async () => {
    const feed = new Feed(2);
    feed.bytes = 20_000;
    const { site, leases } = rig({}, feed.frames(2));
    const [slow, good] = [new Client(site), new Client(site)];
    await slow.play("/lobby");
    await good.play("/lobby");
    for (const client of [slow, good]) await client.reaches(feed.newest);
    slow.window = 0;
    feed.frames(100);
    slow.connection.count();
    expect(site.countersOf("lobby").droppedUnits).toBeGreaterThan(50);
    const gaps = good.packets.filter((packet, i) => {
      const before = good.packets[i - 1];
      return before && ((packet.sequence - before.sequence) & 0xffff) !== 1;
    });
    expect(gaps).toEqual([]);
    const now = monotonicMs();
    slow.connection.tick(now);
    expect(slow.ended).toBe(false);
    slow.connection.tick(now + 10_000);
    expect([slow.ended, good.ended]).toEqual([true, false]);
    expect([site.counters.stalled, leases.released]).toEqual([1, 1]);
  });

  test("a slow reader that reads on goes on at a keyframe, and gets whole pictures", async () => {
    const feed = new Feed(4);
    feed.bytes = 30_000;
    const { site } = rig({}, feed.frames(1));
    const client = new Client(site);
    await client.play("/lobby");
    await client.reaches(feed.newest);
    client.window = 0;
    feed.frames(40);
    for (let i = 0; i < 100; i++) client.read(1 << 20);
    feed.frames(8);
    const units = Map.groupBy(client.packets, ({ timestamp }) => timestamp);
    for (const packets of units.values()) expect(packets.at(-1)?.marker).toBe(true);
    expect(units.size).toBeLessThan(49);
    expect(client.packets.at(-1)?.timestamp).toBe(feed.timestamp - 3_600);
  });

  test("half a request is waited for a minute", async () => {
    const { site } = rig();
    const client = new Client(site);
    const half = writeRequest("DESCRIBE", "rtsp://h/lobby", [["CSeq", "1"]]).subarray(0, 20);
    for (const byte of half) client.send(new Uint8Array([byte]));
    const now = monotonicMs();
    client.connection.tick(now + 59_000);
    expect(client.ended).toBe(false);
    client.connection.tick(now + 60_001);
    expect(client.ended).toBe(true);
  });

  test("a flood of requests while the answer is awaited", async () => {
    const { site, leases } = rig({}, new Feed());
    const client = new Client(site);
    for (let i = 0; i < 30 && !client.ended; i++) {
      client.send(writeRequest("DESCRIBE", "rtsp://h/lobby", [["CSeq", String(i)]]));
    }
    expect(client.ended).toBe(true);
    await Bun.sleep(100);
    expect(leases.released).toBe(leases.taken);
  });

  test("SETUP over and over: one session, one lease", async () => {
    const { site, leases } = rig();
    const client = new Client(site);
    const statuses = new Set<number>();
    for (let i = 0; i < 50; i++) statuses.add(await client.status("SETUP", "/lobby/video", [TCP]));
    expect([...statuses]).toEqual([200, 455]);
    expect(leases).toEqual({ taken: 1, released: 0 });
    client.end();
    expect(leases.released).toBe(1);
  });

  test("DESCRIBE of everything: one lease at a time", async () => {
    const { site, leases } = rig();
    const client = new Client(site);
    for (let i = 0; i < 10; i++) {
      await client.ask("DESCRIBE", "/lobby");
      await client.ask("DESCRIBE", "/garage");
    }
    expect(leases).toEqual({ taken: 10, released: 10 });
  });

  test("no RTSP at all", async () => {
    const { site } = rig();
    const client = new Client(site);
    client.send(crypto.getRandomValues(new Uint8Array(1_000)).fill(0x80, 0, 1));
    expect(client.ended).toBe(true);
  });

  test("more readers than one address may have", async () => {
    const { site } = rig({ limits: { readersPerAddress: 2 } });
    for (let i = 0; i < 2; i++) await new Client(site).play("/lobby");
    const refused = await new Client(site).ask("SETUP", "/lobby/video", [TCP]);
    expect([refused.status, refused.reason]).toEqual([453, "Too Many Readers"]);
    expect(await new Client(site, "127.0.0.2").status("SETUP", "/lobby/video", [TCP])).toBe(200);
    expect(site.counters.refused).toBe(1);
  });

  test("a reader that reads on is alive, whatever it does not say", async () => {
    const { site, feed } = rig();
    const client = new Client(site);
    await client.play("/lobby");
    await client.reaches(feed.newest);
    const start = monotonicMs();
    for (let second = 1; second <= 300; second++) {
      feed.frames(1);
      client.connection.tick(start + second * 1_000);
    }
    expect(client.ended).toBe(false);
  });
});
