import { describe, expect, test } from "bun:test";
import {
  ClientRig,
  camera,
  digest,
  goodCamera,
  reply,
  SDP,
  source,
} from "./fixtures/client-rig.ts";
import { type Request, writeRequest } from "./message.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("passwords", () => {
  const asks = (values: string[], until: (r: Request, asked: number) => boolean) => {
    let asked = 0;
    return camera((r) => {
      if (until(r, asked)) return undefined;
      asked++;
      return reply(
        r,
        401,
        values.map((value) => ["WWW-Authenticate", value]),
      );
    });
  };
  const authorized = (r: Request) => r.headers.get("Authorization") !== null;

  test("are asked for once, given from then on, nc counting", () => {
    const rig = new ClientRig(asks([digest], authorized), { source }).run(0);
    expect(rig.methods).toEqual(["OPTIONS", "OPTIONS", "DESCRIBE", "SETUP", "PLAY"]);
    const nc = rig.requests.map((r) => /nc=(\w+)/.exec(r.headers.get("Authorization") ?? "")?.[1]);
    expect(nc).toEqual([undefined, "00000001", "00000002", "00000003", "00000004"]);
    expect(rig.requests[1]?.headers.get("Authorization")).toContain(
      'uri="rtsp://cam:8554/stream?x=1"',
    );
    expect(rig.kinds.at(-1)).toBe("playing");
  });

  test("the strongest challenge is answered", () => {
    const rig = new ClientRig(asks(['Basic realm="c"', digest], authorized), { source }).run(0);
    expect(rig.requests[1]?.headers.get("Authorization")).toStartWith("Digest");
  });

  test("cameras that offer Basic alone get it", () => {
    const rig = new ClientRig(asks(['Basic realm="c"'], authorized), { source }).run(0);
    const want = `Basic ${bytes("user:p@ss").toBase64()}`;
    expect(rig.requests[1]?.headers.get("Authorization")).toBe(want);
  });

  test("a second refusal is a fault that names no secret", () => {
    const rig = new ClientRig(
      asks([digest], () => false),
      { source },
    ).run(60_000);
    expect(rig.methods).toEqual(["OPTIONS", "OPTIONS"]);
    expect(rig.fault).toEqual({
      code: "camera_unauthorized",
      message: "cam:8554/stream rejected the user name or password: check `source`",
    });
  });

  test("none configured: other words", () => {
    const rig = new ClientRig(asks([digest], () => false)).run(60_000);
    expect(rig.methods).toEqual(["OPTIONS"]);
    expect(rig.fault?.code).toBe("camera_unauthorized");
    expect(rig.fault?.message).toContain("asks for a user name and password");
  });

  test("a stale nonce is answered once more, not for ever", () => {
    const stale = `${digest}, stale=true`;
    const twice = new ClientRig(
      asks([stale], (_r, asked) => asked === 2),
      { source },
    ).run(0);
    expect(twice.kinds.at(-1)).toBe("playing");
    const ever = new ClientRig(
      asks([stale], () => false),
      { source },
    ).run(60_000);
    expect(ever.methods.length).toBe(3);
    expect(ever.fault?.code).toBe("camera_unauthorized");
  });

  test("a nonce that runs out while playing is renewed without a fault", () => {
    let asked = false;
    const script = camera((r) => {
      if (r.method !== "GET_PARAMETER" || asked) return undefined;
      asked = true;
      return reply(r, 401, [["WWW-Authenticate", digest]]);
    });
    const rig = new ClientRig(script, { source }).run(60_000);
    expect(rig.methods.slice(4)).toEqual(["GET_PARAMETER", "GET_PARAMETER", "GET_PARAMETER"]);
    expect(rig.fault).toBeNull();
  });

  test("a challenge that is not spoken", () => {
    const rig = new ClientRig(
      asks(["Negotiate"], () => false),
      { source },
    ).run(0);
    expect(rig.fault?.message).toContain("(Negotiate)");
  });
});

describe("refusals", () => {
  const cases: [name: string, method: string, status: number, code: string, says: string][] = [
    ["wrong path", "DESCRIBE", 404, "camera_not_found", "check the path"],
    ["no such track", "SETUP", 404, "camera_not_found", "check the path"],
    ["no right", "DESCRIBE", 403, "camera_unauthorized", "check its rights"],
    ["transport", "SETUP", 461, "track_unsupported", "set `transport: udp`"],
    ["busy", "PLAY", 453, "camera_protocol", "answered PLAY with 453 Not Enough Bandwidth"],
    ["broken", "DESCRIBE", 500, "camera_protocol", "answered DESCRIBE with 500"],
  ];
  test.each(cases)("%s", (_name, method, status, code, says) => {
    const rig = new ClientRig(camera((r) => (r.method === method ? reply(r, status) : undefined)));
    rig.run(60_000);
    expect(rig.fault?.code).toBe(code);
    expect(rig.fault?.message).toContain("cam/stream");
    expect(rig.fault?.message).toContain(says);
  });

  test("quirk: OPTIONS is refused", () => {
    const rig = new ClientRig(camera((r) => (r.method === "OPTIONS" ? reply(r, 405) : undefined)));
    expect(rig.run(0).kinds.at(-1)).toBe("playing");
  });

  const described = (sdp: string) =>
    new ClientRig(
      camera((r) => (r.method === "DESCRIBE" ? reply(r, 200, [], sdp) : undefined)),
    ).run(0);

  test("another codec is named", () => {
    const { fault } = described(SDP.replace("H264", "MP4V-ES"));
    expect(fault?.code).toBe("track_unsupported");
    expect(fault?.message).toContain("offers audio MPA, video MP4V-ES; none of it");
  });

  test("no description is named", () => {
    const { fault } = described("<html>");
    expect(fault).toMatchObject({ code: "camera_protocol" });
    expect(fault?.message).toContain('cam/stream: no session description: "<html>"');
  });

  test("a transport other than asked for", () => {
    const other = (r: Request) =>
      r.method === "SETUP"
        ? reply(r, 200, [["Transport", "RTP/AVP;unicast;client_port=1-2;server_port=3-4"]])
        : undefined;
    expect(new ClientRig(camera(other)).run(0).fault?.code).toBe("track_unsupported");
  });

  test("what is not RTSP", () => {
    const rig = new ClientRig(() => bytes("HTTP/1.1 400 Bad Request\r\n\r\n")).run(0);
    expect(rig.fault?.code).toBe("camera_protocol");
    expect(rig.fault?.message).toContain("cam/stream broke the protocol");
    expect(rig.fault?.message).toContain("this is HTTP");
  });
});

describe("redirects", () => {
  const location = "rtsp://other/stream";
  test.each([301, 302])("%p", (status) => {
    const moved = camera((r) =>
      r.method === "DESCRIBE" ? reply(r, status, [["Location", location]]) : undefined,
    );
    expect(new ClientRig(moved).run(60_000).events).toEqual([{ kind: "redirected", location }]);
  });
  test("without a place to go is a refusal", () => {
    const moved = camera((r) => (r.method === "DESCRIBE" ? reply(r, 302) : undefined));
    expect(new ClientRig(moved).run(0).fault?.message).toContain("302 Moved Temporarily");
  });
  test("by the camera's own request", () => {
    const rig = new ClientRig(goodCamera).run(0);
    rig.inject(
      writeRequest("REDIRECT", "*", [
        ["CSeq", "1"],
        ["Location", location],
      ]),
    );
    rig.run(0);
    expect(rig.answers).toMatchObject([{ status: 200 }]);
    expect(rig.events.at(-1)).toEqual({ kind: "redirected", location });
  });
});
