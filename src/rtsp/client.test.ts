import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  ClientRig,
  camera,
  digest,
  goodCamera,
  reply,
  SDP,
  source,
} from "./fixtures/client-rig.ts";
import { writeRequest, writeResponse } from "./message.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const packet = new Uint8Array([0x24, 0, 0, 2, 0xaa, 0xbb]);

describe("a good camera", () => {
  test("over TCP: every request, in order, as the RFC writes it", () => {
    const rig = new ClientRig(goodCamera).run(0);
    expect(rig.requests.map((r) => [r.method, r.uri])).toEqual([
      ["OPTIONS", "rtsp://cam/stream"],
      ["DESCRIBE", "rtsp://cam/stream"],
      ["SETUP", "rtsp://cam/stream/trackID=1"],
      ["PLAY", "rtsp://cam/stream/"],
    ]);
    expect(rig.requests.map((r) => r.headers.get("CSeq"))).toEqual(["1", "2", "3", "4"]);
    expect(rig.requests[1]?.headers.get("Accept")).toBe("application/sdp");
    expect(rig.requests[2]?.headers.get("Transport")).toBe("RTP/AVP/TCP;unicast;interleaved=0-1");
    expect(rig.requests.map((r) => r.headers.get("Session"))).toEqual([null, null, null, "42"]);
    expect(rig.events).toMatchObject([
      {
        kind: "tracks",
        tracks: [
          {
            index: 0,
            format: { payloadType: 96, encoding: "H264" },
            transport: { lower: "tcp", channels: [0, 1] },
          },
        ],
      },
      { kind: "playing" },
    ]);
  });

  test("over UDP: ports are bound first, the camera's are told", () => {
    const rig = new ClientRig(
      camera((r) =>
        r.method === "SETUP"
          ? reply(r, 200, [
              ["Transport", `${r.headers.get("Transport")};server_port=6000-6001;source=10.0.0.3`],
            ])
          : undefined,
      ),
      { transport: "udp" },
    ).run(0);
    expect(rig.requests[2]?.headers.get("Transport")).toBe("RTP/AVP;unicast;client_port=5000-5001");
    expect(rig.events).toMatchObject([
      { kind: "bind", index: 0 },
      {
        kind: "tracks",
        tracks: [{ transport: { lower: "udp", serverPort: [6000, 6001], source: "10.0.0.3" } }],
      },
      { kind: "playing" },
    ]);
  });

  test("quirk: packets come before PLAY is answered", () => {
    const rig = new ClientRig(
      camera((r) =>
        r.method === "PLAY" ? new Uint8Array([...packet, ...goodCamera(r), ...packet]) : undefined,
      ),
    ).run(0);
    expect(rig.packets).toEqual(["0:aabb", "0:aabb"]);
  });

  test("ten quiet minutes: a keepalive each half minute, no event", () => {
    const rig = new ClientRig(goodCamera).run(600_000);
    expect(rig.kinds).toEqual(["tracks", "playing"]);
    expect(rig.methods.slice(4)).toEqual(Array(20).fill("GET_PARAMETER"));
    expect(rig.requests.at(-1)?.uri).toBe("rtsp://cam/stream/");
  });

  test("leaves when told to", () => {
    const rig = new ClientRig(goodCamera).run(1000);
    rig.client.close(rig.now);
    rig.client.close(rig.now);
    rig.run(rig.now);
    expect(rig.methods.slice(4)).toEqual(["TEARDOWN"]);
    expect(rig.kinds).toEqual(["tracks", "playing", "closed"]);
    rig.run(600_000);
    expect(rig.methods.length).toBe(5);
  });
});

describe("sessions", () => {
  const withSession = (session: string) =>
    camera((r) => (r.method === "SETUP" ? reply(r, 200, [["Session", session]]) : undefined));
  const cases: [session: string, intervalMs: number, id: string][] = [
    ["7", 30_000, "7"],
    ["7;timeout=20", 10_000, "7"],
    ["  7 ; timeout = 20 ", 10_000, "7"],
    ["7;timeout=1", 1_000, "7"],
    ["7;timeout=0", 30_000, "7"],
    ["7;timeout=86400", 60_000, "7"],
    ["7;timeout=x", 30_000, "7"],
  ];
  test.each(cases)("%p is kept alive every %p ms", (session, intervalMs, id) => {
    const rig = new ClientRig(withSession(session)).run(intervalMs - 1);
    expect(rig.methods.length).toBe(4);
    rig.run(intervalMs * 3);
    expect(rig.methods.length).toBe(7);
    expect(rig.requests.at(-1)?.headers.get("Session")).toBe(id);
  });

  test("quirk: no Session header in the response to SETUP", () => {
    const rig = new ClientRig(camera((r) => (r.method === "SETUP" ? reply(r) : undefined))).run(0);
    expect(rig.kinds).toContain("playing");
    rig.client.close(0);
    rig.run(0);
    expect(rig.methods.length).toBe(4);
    expect(rig.kinds.at(-1)).toBe("closed");
  });

  test("quirk: GET_PARAMETER is not offered: kept alive by OPTIONS", () => {
    const rig = new ClientRig(
      camera((r) => (r.method === "OPTIONS" ? reply(r, 200, [["Public", "PLAY"]]) : undefined)),
    ).run(30_000);
    expect(rig.methods.at(-1)).toBe("OPTIONS");
  });

  test("quirk: GET_PARAMETER is listed and refused: kept alive by OPTIONS", () => {
    const rig = new ClientRig(
      camera((r) => (r.method === "GET_PARAMETER" ? reply(r, 501) : undefined)),
    ).run(90_000);
    expect(rig.methods.slice(4)).toEqual(["GET_PARAMETER", "OPTIONS", "OPTIONS"]);
    expect(rig.fault).toBeNull();
  });

  test("a lost keepalive is a fault", () => {
    const rig = new ClientRig(camera((r) => (r.method === "GET_PARAMETER" ? null : undefined))).run(
      600_000,
    );
    expect(rig.now).toBe(40_000);
    expect(rig.fault).toMatchObject({ code: "camera_timeout" });
  });

  test("quirk: requests go unanswered while packets come", () => {
    const rig = new ClientRig(
      camera((r, self) => {
        if (r.method !== "GET_PARAMETER") return undefined;
        self.now += 1;
        self.inject(packet);
        return null;
      }),
    ).run(600_000);
    expect(rig.fault).toBeNull();
    expect(rig.methods.length).toBeGreaterThan(10);
  });

  test("a session that the camera forgot is a fault", () => {
    const rig = new ClientRig(
      camera((r) => (r.method === "GET_PARAMETER" ? reply(r, 454) : undefined)),
    ).run(600_000);
    expect(rig.fault).toEqual({ code: "camera_closed", message: "cam/stream ended the session" });
  });
});

describe("silence", () => {
  test.each(["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])("after %s is a fault in 10 s", (method) => {
    const rig = new ClientRig(camera((r) => (r.method === method ? null : undefined))).run(60_000);
    expect(rig.now).toBe(10_000);
    expect(rig.fault?.code).toBe("camera_timeout");
    expect(rig.fault?.message).toContain(`did not answer ${method} within 10 s`);
  });

  test("after TEARDOWN is waited for half a second", () => {
    const rig = new ClientRig(camera((r) => (r.method === "TEARDOWN" ? null : undefined))).run(0);
    rig.client.close(0);
    rig.run(600_000);
    expect(rig.kinds.at(-1)).toBe("closed");
    expect(rig.now).toBe(500);
  });

  test("packets are no answer", () => {
    const rig = new ClientRig(() => null);
    for (let i = 0; i < 50; i++) rig.inject(packet);
    rig.run(60_000);
    expect(rig.fault?.code).toBe("camera_timeout");
  });
});

describe("odd cameras", () => {
  const goes = (script: ReturnType<typeof camera>) => {
    expect(new ClientRig(script).run(60_000).kinds).toEqual(["tracks", "playing"]);
  };

  test("quirk: CSeq is wrong or missing in responses", () => {
    goes((r) => bytes(new TextDecoder().decode(goodCamera(r)).replace(/CSeq: \d+/, "CSeq: 99")));
    goes((r) => bytes(new TextDecoder().decode(goodCamera(r)).replace(/CSeq: \d+\r\n/, "")));
  });
  test("a provisional response first", () => {
    goes((r) => new Uint8Array([...reply(r, 100), ...goodCamera(r)]));
  });
  test("quirk: a response that nobody asked for", () => {
    const rig = new ClientRig(goodCamera).run(0);
    rig.inject(writeResponse(404, []));
    expect(rig.run(60_000).kinds).toEqual(["tracks", "playing"]);
  });
  test("quirk: no Transport in the response to SETUP", () => {
    goes(camera((r) => (r.method === "SETUP" ? reply(r, 200, [["Session", "1"]]) : undefined)));
  });
  test("quirk: interleaved channels other than asked for", () => {
    const own = [["Transport", "RTP/AVP/TCP;interleaved=4-5"]] as const;
    const rig = new ClientRig(
      camera((r) => (r.method === "SETUP" ? reply(r, 200, own) : undefined)),
    );
    expect(rig.run(0).events[0]).toMatchObject({
      tracks: [{ transport: { channels: [4, 5] } }],
    });
  });
  test("quirk: lower-case header names, headers and parameters that nobody knows", () => {
    goes((r) =>
      bytes(
        new TextDecoder()
          .decode(goodCamera(r))
          .replace("CSeq", "cseq")
          .replace("Session: 42", "X-Odd: 1\r\nsession: 42;a=b;c"),
      ),
    );
  });

  const asked: [method: string, status: number][] = [
    ["OPTIONS", 200],
    ["GET_PARAMETER", 200],
    ["SET_PARAMETER", 200],
    ["ANNOUNCE", 501],
    ["DANCE", 501],
  ];
  test.each(asked)("asks its client: %s is answered %p", (method, status) => {
    const rig = new ClientRig(goodCamera).run(0);
    rig.inject(writeRequest(method, "rtsp://cam/stream", [["CSeq", "77"]], "body"));
    rig.run(0);
    expect(rig.answers).toMatchObject([{ status }]);
    expect(rig.answers[0]?.headers.get("CSeq")).toBe("77");
    expect(rig.kinds).toEqual(["tracks", "playing"]);
  });
});

describe("leaving early", () => {
  test("before there is a session there is nothing to say", () => {
    const rig = new ClientRig(() => null);
    rig.drain();
    rig.client.close(0);
    rig.run(0);
    expect(rig.methods).toEqual(["OPTIONS"]);
    expect(rig.kinds).toEqual(["closed"]);
  });
  test("while PLAY is under way: its response is not TEARDOWN's", () => {
    const rig = new ClientRig(camera((r) => (r.method === "PLAY" ? null : undefined))).run(0);
    const play = rig.requests.at(-1);
    rig.client.close(0);
    if (play) rig.inject(goodCamera(play));
    expect(rig.run(0).kinds).toEqual(["tracks", "closed"]);
  });
  test("no packet comes after the end", () => {
    const rig = new ClientRig(goodCamera).run(0);
    rig.client.close(0);
    rig.run(0);
    rig.inject(packet);
    expect(rig.run(600_000).packets).toEqual([]);
  });
});

test("any answers: events and an end, never a throw, never a loop", () => {
  const status = fc.constantFrom(100, 200, 200, 200, 301, 401, 404, 454, 461, 500);
  const field = fc.constantFrom(
    ["Session", "1;timeout=1"],
    ["Transport", "RTP/AVP/TCP;interleaved=0-1"],
    ["WWW-Authenticate", digest],
    ["Location", "x"],
    ["Public", "GET_PARAMETER"],
    ["Content-Base", "/"],
  );
  const answer = fc.oneof(
    { weight: 9, arbitrary: fc.tuple(status, fc.array(field, { maxLength: 3 })) },
    fc.uint8Array({ maxLength: 60 }),
  );
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 12 }), (answers) => {
      const queue = [...answers];
      const rig = new ClientRig(
        (request) => {
          const next = queue.shift();
          if (next === undefined || next instanceof Uint8Array) return next ?? null;
          const [code, fields] = next;
          const list = fields.map(([name = "", value = ""]) => [name, value] as const);
          return reply(request, code, list, request.method === "DESCRIBE" ? SDP : "");
        },
        { source },
      ).run(900_000);
      const ends = rig.kinds.filter((kind) => ["failed", "redirected"].includes(kind));
      expect(ends.length).toBe(1);
      expect(rig.fault?.message ?? "").not.toContain("p@ss");
    }),
    { numRuns: 300 },
  );
});
