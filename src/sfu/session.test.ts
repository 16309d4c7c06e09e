import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { LightViewer } from "../../bench/light/viewer.ts";
import { Fault } from "../core/fault.ts";
import { CHROMIUM_OFFER } from "../rtc/fixtures/chromium.ts";
import { RTCP_BYE } from "../rtp/rtcp.ts";
import { Bench, closeBenches, until, WAYS } from "./fixtures/bench.ts";
import { nodeProtection } from "./protect.ts";

setDefaultTimeout(20_000);
afterEach(closeBenches);

describe("addresses", () => {
  test("every announced address has the same port and a candidate", async () => {
    const bench = await Bench.open({ addresses: ["127.0.0.1", "127.0.0.2", "::1"] });
    const answer = bench.offer(CHROMIUM_OFFER);
    const candidates = answer.match(/^a=candidate.*$/gm) ?? [];
    expect(candidates.map((line) => line.split(" ")[4])).toEqual(["127.0.0.1", "127.0.0.2", "::1"]);
    expect(new Set(candidates.map((line) => Number(line.split(" ")[5])))).toEqual(
      new Set([bench.sfu.port]),
    );
  });

  test("IPv6", async () => {
    const bench = await Bench.open({ addresses: ["::1"] });
    bench.frames(2);
    const viewer = await bench.join();
    await until(() => viewer.counters.packets === bench.track.ring.head);
    expect(viewer.counters.notAuthentic).toBe(0);
  });

  test("a port that is taken is a Fault that says which, and nothing stays open", async () => {
    const taken = await Bun.udpSocket({ hostname: "127.0.0.2", port: 0 });
    const opening = Bench.open({ addresses: ["127.0.0.1", "127.0.0.2"], port: taken.port });
    const fault = await opening.catch((error) => error);
    taken.close();
    expect(fault).toMatchObject({ code: "config_invalid" });
    expect(fault.message).toContain(`UDP ${taken.port} on 127.0.0.2`);
    const bench = await Bench.open({ addresses: ["127.0.0.1", "127.0.0.2"], port: taken.port });
    expect(bench.sfu.port).toBe(taken.port);
  });

  test("a viewer that changes its address goes on", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => bench.viewer()?.state === "live");
    await viewer.move();
    await until(() => {
      bench.frames(1);
      return viewer.counters.packets > 500;
    });
    expect(viewer.counters.notAuthentic).toBe(0);
    viewer.nack([(bench.packets[0]?.at(-1)?.sequence ?? 0) & 0xffff]);
    await until(() => bench.viewer()?.nacks === 1);
  });
});

describe("the end", () => {
  test("DELETE: once, with a goodbye, and nothing comes any more", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => viewer.counters.packets > 20);
    expect(bench.sfu.end(bench.session)).toBe(true);
    expect(bench.sfu.end(bench.session)).toBe(false);
    await until(() => bench.controls.some((control) => control[1] === RTCP_BYE));
    expect(bench.sfu.stats().viewers).toEqual([]);
    const before = bench.sfu.stats().packets;
    bench.frames(3);
    expect(bench.sfu.stats().packets).toBe(before);
  });

  test("BYE from the viewer, and what comes behind it in the same packet", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => viewer.counters.packets > 20);
    const ssrc = viewer.answer?.ssrc ?? 0;
    const word = [ssrc >>> 24, (ssrc >>> 16) & 255, (ssrc >>> 8) & 255, ssrc & 255];
    const bye = [0x81, 203, 0, 1, 0, 0, 0, 0];
    const { sequence } = bench.packets[0]![0]!;
    const nack = [0x81, 205, 0, 3, 0, 0, 0, 0, ...word, sequence >> 8, sequence & 255, 0, 0];
    viewer.control(Uint8Array.from([...bye, ...nack]));
    await until(() => bench.sfu.stats().viewers.length === 0);
    expect(bench.sfu.stats().bugs).toBe(0);
    expect(bench.lines.at(-1)).toContain("viewer left");
  });

  test("30 s without a check", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    await bench.join();
    await until(() => bench.controls.length === 1);
    bench.now += 29_000;
    // A report that is due tells that the hub looked at the time.
    await until(() => bench.controls.length === 2);
    expect(bench.sfu.stats().viewers).toHaveLength(1);
    bench.now += 2_000;
    await until(() => bench.sfu.stats().viewers.length === 0);
    expect(bench.lines.at(-1)).toContain("consent expired");
  });

  test("15 s without any check", async () => {
    const bench = await Bench.open();
    bench.offer(CHROMIUM_OFFER);
    bench.now += 15_001;
    await until(() => bench.sfu.stats().viewers.length === 0);
    expect(bench.lines.at(-1)).toContain("no connectivity check came");
  });

  test("another certificate than the offered one", async () => {
    const bench = await Bench.open();
    const strange = (sdp: string) => sdp.replace(/(sha-256 )..:../, "$100:00");
    const joining = LightViewer.connect((sdp) => bench.offer(strange(sdp)));
    await until(() => bench.sfu.stats().handshakeFailures === 1);
    expect(bench.sfu.stats().viewers).toEqual([]);
    expect(bench.lines.join()).toContain("not the one in the offer");
    await bench.close();
    // The refused viewer gives up by itself, after its own deadline.
    joining.then((viewer) => viewer.close()).catch(() => {});
  });

  test("closing twice", async () => {
    const bench = await Bench.open();
    await bench.join();
    await bench.sfu.close();
    await bench.sfu.close();
    expect(bench.sfu.stats().viewers).toEqual([]);
  });
});

describe("faults stay where they are", () => {
  test.each(WAYS)("%s: a viewer that is gone disturbs nobody", async (_name, options) => {
    const bench = await Bench.open(options);
    bench.frames(1);
    const gone = await bench.join();
    const staying = await bench.join();
    await until(() => bench.viewer(1)?.state === "live" && bench.viewer(0)?.state === "live");
    gone.close();
    for (let i = 0; i < 40; i++) {
      bench.frames(1);
      await Bun.sleep(1);
    }
    await until(() => staying.counters.packets === bench.track.ring.head);
    expect(staying.counters).toMatchObject({ gaps: 0, notAuthentic: 0 });
    expect(bench.sfu.stats()).toMatchObject({ bugs: 0, dropped: 0 });
  });

  test("a broken assumption ends one viewer only", async () => {
    let made = 0;
    let protectedByFirst = 0;
    const bench = await Bench.open({
      protection: {
        kind: "node",
        protector: (keys) => {
          const right = nodeProtection.protector(keys);
          const wrong = made++ === 0;
          return {
            protect: (out, at, packet) => {
              // Past the first picture: while the track is handing packets around.
              if (wrong && ++protectedByFirst > 100) throw new Error("invented");
              return right.protect(out, at, packet);
            },
            free: () => right.free(),
          };
        },
      },
    });
    bench.frames(1);
    await bench.join();
    const staying = await bench.join();
    bench.frames(9);
    await until(() => staying.counters.packets === bench.track.ring.head);
    expect(bench.sfu.stats()).toMatchObject({ bugs: 1 });
    expect(bench.sfu.stats().viewers).toHaveLength(1);
    expect(bench.lines.join()).toContain("invented");
  });

  test("junk on the media port", async () => {
    const bench = await Bench.open();
    bench.frames(1);
    const viewer = await bench.join();
    await until(() => bench.viewer()?.state === "live");
    for (let first = 0; first < 256; first++) {
      viewer.inject(Uint8Array.from({ length: 40 }, (_, i) => (i === 0 ? first : i * first)));
      viewer.inject(Uint8Array.of(first));
      viewer.inject(Uint8Array.of(first, 200, 0, 1));
    }
    bench.frames(3);
    await until(() => viewer.counters.packets === bench.track.ring.head);
    expect(bench.sfu.stats()).toMatchObject({ bugs: 0 });
    expect(bench.sfu.stats().viewers).toHaveLength(1);
  });
});

describe("limits", () => {
  test("64 viewers may be connecting", async () => {
    const bench = await Bench.open();
    for (let i = 0; i < 64; i++) bench.offer(CHROMIUM_OFFER);
    const fault = (() => {
      try {
        return bench.offer(CHROMIUM_OFFER);
      } catch (error) {
        return error;
      }
    })();
    expect(fault).toBeInstanceOf(Fault);
    expect(fault).toMatchObject({ code: "limit_reached" });
    bench.now += 16_000;
    await until(() => bench.sfu.stats().viewers.length === 0);
    bench.offer(CHROMIUM_OFFER);
  });

  test("a refused offer leaves nothing behind", async () => {
    const bench = await Bench.open();
    expect(() => bench.offer("v=0")).toThrow("offer");
    expect(bench.sfu.stats().viewers).toEqual([]);
  });
});
