import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Secret } from "../core/secret.ts";
import { Authorizer, type Hash } from "./digest.ts";
import { Rig, sdp, TCP, URI } from "./fixtures/server-rig.ts";
import { writeInterleavedHeader } from "./interleaved.ts";
import { writeRequest } from "./message.ts";
import { SESSION_TIMEOUT_MS } from "./server.ts";

const hash: Hash = (algorithm, text) =>
  new Bun.CryptoHasher(algorithm === "MD5" ? "md5" : "sha256").update(text).digest("hex");
describe("a whole session", () => {
  test("over TCP", () => {
    const rig = new Rig();
    const options = rig.ask("OPTIONS", "*");
    expect(options.headers.get("Public")).toContain("GET_PARAMETER");
    const described = rig.ask("DESCRIBE", URI, [["Accept", "application/sdp"]]);
    expect(described.headers.get("Content-Base")).toBe(`${URI}/`);
    expect(described.headers.get("Content-Type")).toBe("application/sdp");
    expect(new TextDecoder().decode(described.body)).toBe(sdp);
    const setup = rig.ask("SETUP", `${URI}/video`, [["Transport", TCP]]);
    expect(setup.headers.get("Transport")).toBe(
      "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=00abcdef",
    );
    expect(setup.headers.get("Session")).toBe("token0;timeout=60");
    const session: [string, string] = ["Session", "token0"];
    const audio = rig.ask("SETUP", `${URI}/audio`, [["Transport", TCP], session]);
    expect(audio.headers.get("Transport")).toContain("interleaved=2-3");
    const play = rig.ask("PLAY", `${URI}/`, [session, ["Range", "npt=0.000-"]]);
    expect(play.headers.get("RTP-Info")).toBe(`url=${URI}/video;seq=5;rtptime=9000`);
    expect(rig.status("GET_PARAMETER", URI, [session])).toBe(200);
    expect(rig.status("PAUSE", URI, [session])).toBe(200);
    expect(rig.status("PLAY", URI, [session])).toBe(200);
    expect(rig.status("TEARDOWN", URI, [session])).toBe(200);
    expect(rig.events).toEqual([
      { kind: "describe", path: "/lobby", query: "", user: null },
      {
        kind: "setup",
        path: "/lobby",
        query: "",
        control: "video",
        mode: "play",
        transport: { lower: "tcp", channels: [0, 1] },
        user: null,
      },
      {
        kind: "setup",
        path: "/lobby",
        query: "",
        control: "audio",
        mode: "play",
        transport: { lower: "tcp", channels: [2, 3] },
        user: null,
      },
      { kind: "play", path: "/lobby", user: null },
      { kind: "pause" },
      { kind: "play", path: "/lobby", user: null },
      { kind: "teardown" },
    ]);
  });

  test("over UDP", () => {
    const rig = new Rig();
    rig.ask("DESCRIBE", URI);
    const asked = "RTP/AVP;unicast;client_port=5000-5001;destination=10.9.9.9";
    const setup = rig.ask("SETUP", `${URI}/video`, [["Transport", asked]]);
    expect(setup.headers.get("Transport")).toBe(
      "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001",
    );
    expect(rig.events.at(-1)).toMatchObject({
      transport: { lower: "udp", clientPort: [5000, 5001] },
    });
  });

  test("a second one on the same connection, after the first", () => {
    const rig = new Rig();
    rig.ask("TEARDOWN", URI, [rig.playing()]);
    const [, second] = rig.playing();
    expect(second).toBe("token1");
  });

  test("a stream whose address has a query", () => {
    const rig = new Rig();
    const uri = `${URI}?token=a/b`;
    rig.ask("DESCRIBE", uri);
    rig.ask("SETUP", `${uri}/video`, [["Transport", TCP]]);
    expect(rig.events).toMatchObject([
      { path: "/lobby", query: "token=a/b" },
      { path: "/lobby", query: "token=a/b", control: "video" },
    ]);
  });

  test("paths are decoded, a track may be set up without a description", () => {
    const rig = new Rig();
    rig.ask("SETUP", "rtsp://h/front%20door/video/", [["Transport", TCP]]);
    expect(rig.events).toMatchObject([{ path: "/front door", control: "video" }]);
  });

  test("cut into single bytes", () => {
    const rig = new Rig();
    for (const byte of writeRequest("DESCRIBE", URI, [["CSeq", "1"]])) {
      rig.push(new Uint8Array([byte]));
    }
    expect(rig.responses.map((r) => r.status)).toEqual([200]);
  });
});

describe("an owner that answers later", () => {
  test("requests wait their turn and are answered in order", () => {
    const rig = new Rig();
    rig.answering = false;
    rig.push(writeRequest("DESCRIBE", URI, [["CSeq", "1"]]));
    rig.push(writeRequest("OPTIONS", "*", [["CSeq", "2"]]));
    expect(rig.responses).toEqual([]);
    rig.engine.describe(sdp);
    rig.drain();
    expect(rig.responses.map((r) => r.headers.get("CSeq"))).toEqual(["1", "2"]);
  });

  test("too late is an unanswered request and a closed connection; the answer is ignored", () => {
    const rig = new Rig();
    rig.answering = false;
    const until = rig.push(writeRequest("DESCRIBE", URI, [["CSeq", "1"]]));
    expect(until).toBe(10_000);
    rig.at(until);
    expect(rig.responses.map((r) => r.status)).toEqual([503]);
    expect(rig.events.at(-1)).toMatchObject({ kind: "closed", reason: "unanswered" });
    rig.engine.describe(sdp);
    rig.engine.refuse(404);
    expect(rig.drain()).toBe(Number.POSITIVE_INFINITY);
    expect(rig.responses.length).toBe(1);
  });

  test("a flood meanwhile closes the connection", () => {
    const rig = new Rig();
    rig.answering = false;
    for (let i = 0; i < 30; i++) rig.push(writeRequest("DESCRIBE", URI, [["CSeq", String(i)]]));
    expect(rig.events.at(-1)).toMatchObject({ kind: "closed", reason: "protocol" });
  });

  test("an answer to what was not asked is our bug", () => {
    const rig = new Rig();
    expect(() => rig.engine.describe(sdp)).toThrow("invariant");
    rig.answering = false;
    rig.push(writeRequest("DESCRIBE", URI, [["CSeq", "1"]]));
    expect(() => rig.engine.play([])).toThrow("invariant");
  });
});

describe("signs of life", () => {
  test("none for the session timeout closes the connection", () => {
    const rig = new Rig();
    rig.playing();
    expect(rig.at(SESSION_TIMEOUT_MS - 1)).toBe(SESSION_TIMEOUT_MS);
    expect(rig.kinds).not.toContain("closed");
    rig.at(SESSION_TIMEOUT_MS);
    expect(rig.events.at(-1)).toMatchObject({ kind: "closed", reason: "timeout" });
    expect(rig.responses.length).toBe(3);
  });

  test("a connection that never asks anything is closed too", () => {
    const rig = new Rig();
    rig.at(SESSION_TIMEOUT_MS);
    expect(rig.kinds).toEqual(["closed"]);
  });

  const report = new Uint8Array([0, 0, 0, 0, 0x80, 0xc9, 0, 1]);
  writeInterleavedHeader(report, 0, 1, 4);
  const signs: [name: string, give: (rig: Rig, session: [string, string]) => void][] = [
    ["any request", (rig, session) => rig.ask("GET_PARAMETER", URI, [session])],
    ["OPTIONS", (rig, session) => rig.ask("OPTIONS", URI, [session])],
    ["RTCP on the connection", (rig) => rig.push(report)],
    ["RTCP over UDP", (rig) => rig.engine.alive(rig.now)],
  ];
  test.each(signs)("%s keeps the session for ten minutes", (_name, give) => {
    const rig = new Rig();
    const session = rig.playing();
    for (let now = 0; now <= 600_000; now += 30_000) {
      rig.at(now);
      give(rig, session);
    }
    expect(rig.kinds).not.toContain("closed");
    rig.at(600_000 + SESSION_TIMEOUT_MS);
    expect(rig.kinds).toContain("closed");
  });

  test("receiver reports reach the sink", () => {
    const rig = new Rig();
    rig.playing();
    rig.push(report);
    expect(rig.controls).toEqual(["1:80c90001"]);
  });
});

describe("authentication", () => {
  const password = new Secret("p@ss:/#%word");
  const authentication = {
    realm: "onepull",
    passwordOf: (user: string) => (user === "jim" ? password : null),
    hash,
  };
  const client = (secret = password) =>
    new Authorizer({ user: "jim", password: secret, hash, cnonce: () => "c" });

  test("OPTIONS is free, DESCRIBE is not; the user is told to the owner", () => {
    const rig = new Rig({ authentication });
    expect(rig.status("OPTIONS", URI)).toBe(200);
    const asked = rig.ask("DESCRIBE", URI);
    expect(asked.status).toBe(401);
    const c = client();
    expect(c.challenged(asked.headers.all("WWW-Authenticate"))).toMatchObject({
      algorithm: "SHA-256",
    });
    const answer = c.authorize("DESCRIBE", URI) ?? "";
    expect(rig.status("DESCRIBE", URI, [["Authorization", answer]])).toBe(200);
    expect(rig.events).toMatchObject([{ kind: "describe", user: "jim" }]);
  });

  test("wrong passwords are answered five times", () => {
    const rig = new Rig({ authentication });
    const c = client(new Secret("wrong"));
    c.challenged(rig.ask("DESCRIBE", URI).headers.all("WWW-Authenticate"));
    for (let i = 0; i < 5; i++) {
      expect(rig.kinds).not.toContain("closed");
      const answer = c.authorize("DESCRIBE", URI) ?? "";
      expect(rig.status("DESCRIBE", URI, [["Authorization", answer]])).toBe(401);
    }
    expect(rig.events).toMatchObject([{ kind: "closed", reason: "unauthorized" }]);
  });

  test("asking without a password is ordinary", () => {
    const rig = new Rig({ authentication });
    for (let i = 0; i < 20; i++) expect(rig.status("DESCRIBE", URI)).toBe(401);
    expect(rig.kinds).toEqual([]);
  });
});

describe("what is not RTSP", () => {
  test("gets a 400 and is closed", () => {
    const rig = new Rig();
    rig.push(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    expect(rig.responses.map((r) => r.status)).toEqual([400]);
    expect(rig.events).toMatchObject([{ kind: "closed", reason: "protocol" }]);
    rig.push(writeRequest("OPTIONS", "*", [["CSeq", "1"]]));
    expect(rig.responses.length).toBe(1);
  });

  test("any bytes and any order of requests: responses or a close, never a throw", () => {
    const method = fc.constantFrom(
      "OPTIONS",
      "DESCRIBE",
      "SETUP",
      "PLAY",
      "PAUSE",
      "TEARDOWN",
      "X",
    );
    const uri = fc.constantFrom("*", URI, `${URI}/video`, `${URI}/`, "rtsp://", "x");
    const field = fc.constantFrom(["Session", "token0"], ["Transport", TCP], ["Accept", "x"]);
    const request = fc
      .tuple(method, uri, fc.array(field, { maxLength: 2 }))
      .map(([m, u, f]) => writeRequest(m, u, [["CSeq", "1"], ...(f as [string, string][])]));
    const junk = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 20, arbitrary: request }, junk)), (chunks) => {
        const rig = new Rig();
        for (const chunk of chunks) rig.push(chunk);
        expect(rig.kinds.filter((kind) => kind === "closed").length).toBeLessThan(2);
      }),
      { numRuns: 300 },
    );
  });
});
