import { describe, expect, test } from "bun:test";
import {
  ClientRig,
  camera,
  digest,
  goodCamera,
  reply,
  type Script,
  SDP,
  source,
} from "./fixtures/client-rig.ts";
import type { Request } from "./message.ts";

const SDP_AV = SDP.replace("RTP/AVP 14", "RTP/AVP 0");
const text = (b: Uint8Array | null) => new TextDecoder().decode(b ?? new Uint8Array(0));
const bytes = (s: string) => new TextEncoder().encode(s);
const uris = (rig: ClientRig) => rig.requests.map(({ uri }) => uri);

/** The good camera, every answer rewritten. */
const rewritten =
  (how: (answer: string) => string): Script =>
  (request) =>
    bytes(how(text(goodCamera(request))));

/** Answers DESCRIBE with this, the rest as a good camera does. */
const described = (fields: [string, string][], sdp: string, odd: Script = goodCamera) =>
  camera((r, rig) =>
    r.method === "DESCRIBE" ? reply(r, 200, fields, sdp) : (odd(r, rig) ?? undefined),
  );

const plays = (script: Script, options = {}) => {
  const rig = new ClientRig(script, options).run(60_000);
  expect(rig.kinds.at(-1)).toBe("playing");
  return rig;
};

describe("messages", () => {
  test("quirk: lines end in LF alone", () => {
    const head = /^.*?\r\n\r\n/s;
    plays(rewritten((answer) => answer.replace(head, (lines) => lines.replaceAll("\r", ""))));
  });

  test("quirk: header fields come twice", () => {
    plays(
      rewritten((answer) =>
        answer.replace(/^(CSeq|Session|Content-Length|Transport): .*\r\n/gm, "$&$&"),
      ),
    );
  });

  test("quirk: every answer comes twice", () => {
    const rig = plays((r) => bytes(text(goodCamera(r)).repeat(2)));
    expect(rig.methods.slice(0, 4)).toEqual(["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]);
  });

  test("quirk: every answer has the number of the first", () => {
    plays(rewritten((answer) => answer.replace(/CSeq: \d+/, "CSeq: 1")));
  });

  test("quirk: notes of the firmware between the header lines", () => {
    plays(rewritten((answer) => answer.replace("\r\n", "\r\n[debug] heap 1024\r\n")));
  });
});

describe("addresses", () => {
  const nat = "rtsp://192.168.1.64:554/stream/";

  test("quirk: Content-Base with the address behind a NAT", () => {
    const rig = plays(described([["Content-Base", nat]], SDP));
    expect(uris(rig).slice(2, 4)).toEqual(["rtsp://cam/stream/trackID=1", "rtsp://cam/stream/"]);
  });

  test("quirk: controls with the address behind a NAT", () => {
    const sdp = SDP.replace("control:*", `control:${nat}`).replace("trackID=1", `${nat}trackID=1`);
    const rig = plays(described([], sdp), { source: "rtsps://cam/stream" });
    expect(uris(rig).slice(2, 4)).toEqual(["rtsps://cam/stream/trackID=1", "rtsps://cam/stream/"]);
  });

  test("quirk: Content-Base that the camera does not know itself", () => {
    const odd = (r: Request) =>
      r.method === "SETUP" && !r.uri.startsWith("rtsp://cam/stream/") ? reply(r, 404) : null;
    const rig = plays(described([["Content-Base", "rtsp://cam/elsewhere/"]], SDP, odd));
    expect(uris(rig).slice(2, 4)).toEqual([
      "rtsp://cam/elsewhere/trackID=1",
      "rtsp://cam/stream/trackID=1",
    ]);
  });

  test("quirk: a control with a query", () => {
    const rig = plays(described([], SDP.replace("trackID=1", "?ctype=video&track=1")));
    expect(uris(rig)[2]).toBe("rtsp://cam/stream?ctype=video&track=1");
  });
});

describe("sessions", () => {
  const session = (setup: string, play: string) =>
    camera((r) => {
      if (r.method === "SETUP") return reply(r, 200, [["Session", setup]]);
      return r.method === "PLAY" ? reply(r, 200, [["Session", play]]) : undefined;
    });

  test("quirk: the timeout is stated once, and left out later", () => {
    const rig = new ClientRig(session("7;timeout=10", "7")).run(5_000);
    expect(rig.methods.at(-1)).toBe("GET_PARAMETER");
  });

  test("quirk: the timeout is stated with PLAY alone, among other parameters", () => {
    const rig = new ClientRig(session("7", "7;x=y;timeout=10;z")).run(5_000);
    expect(rig.methods.at(-1)).toBe("GET_PARAMETER");
  });

  test("quirk: PLAY is not answered, packets come", () => {
    const rig = new ClientRig(
      camera((r) => (r.method === "PLAY" ? new Uint8Array([0x24, 0, 0, 1, 0]) : undefined)),
    ).run(10_000);
    expect(rig.kinds).toEqual(["tracks", "playing"]);
  });

  test("quirk: nothing is answered while packets come over UDP", () => {
    const rig = new ClientRig(
      camera((r, self) => {
        if (r.method !== "GET_PARAMETER") return undefined;
        self.client.heard(self.now + 1);
        return null;
      }),
      { transport: "udp" },
    ).run(600_000);
    expect(rig.fault).toBeNull();
  });
});

describe("transports", () => {
  const answered = (transport: string) =>
    camera((r) => (r.method === "SETUP" ? reply(r, 200, [["Transport", transport]]) : undefined));
  const agreed = (rig: ClientRig) =>
    rig.events.flatMap((event) => (event.kind === "tracks" ? event.tracks : []))[0]?.transport;

  test("quirk: TCP is left out of the answer, the channels are not", () => {
    const rig = plays(answered("RTP/AVP;unicast;interleaved=2-3"));
    expect(agreed(rig)).toEqual({ lower: "tcp", channels: [2, 3] });
  });

  const udp: [name: string, transport: string, serverPort: [number, number] | null][] = [
    ["one server port", "RTP/AVP;unicast;client_port=5000-5001;server_port=6001", [6001, 6002]],
    ["an odd server port", "RTP/AVP;unicast;server_port=6001-6002", [6001, 6002]],
    ["no server port", "RTP/AVP/UDP;unicast;client_port=5000-5001", null],
    ["a server port that is none", "RTP/AVP;unicast;server_port=99999-x", null],
  ];
  test.each(udp)("quirk: %s", (_name, transport, serverPort) => {
    const rig = plays(answered(transport), { transport: "udp" });
    expect(agreed(rig)).toEqual({ lower: "udp", serverPort, source: null });
  });
});

describe("audio", () => {
  const setups = (rig: ClientRig) => rig.requests.filter(({ method }) => method === "SETUP").length;

  test("the video comes first, whatever the order of the description", () => {
    const rig = plays(described([], SDP_AV));
    expect(uris(rig).slice(2, 4)).toEqual([
      "rtsp://cam/stream/trackID=1",
      "rtsp://cam/stream/audio",
    ]);
    expect(rig.events[0]).toMatchObject({
      tracks: [
        { index: 0, carries: { codec: "h264" }, transport: { channels: [0, 1] } },
        { index: 1, carries: { codec: "pcmu" }, transport: { channels: [2, 3] } },
      ],
    });
  });

  test.each([400, 404, 454, 459, 461, 500])("its SETUP is answered %p: video alone", (status) => {
    const odd = (r: Request) =>
      r.method === "SETUP" && r.uri.endsWith("audio") ? reply(r, status) : null;
    const rig = plays(described([], SDP_AV, odd));
    expect(rig.events[0]).toMatchObject({ tracks: [{ index: 0 }] });
    expect(setups(rig)).toBe(2);
    expect(rig.client.wantsMore).toBe(false);
  });

  test("its SETUP is not answered: the end, and the client knows of what", () => {
    const odd = (r: Request, rig: ClientRig) => {
      if (r.method === "SETUP" && r.uri.endsWith("audio")) rig.inject(bytes("\r\n"));
      return null;
    };
    const silent = camera((r, rig) => {
      if (r.method === "DESCRIBE") return reply(r, 200, [], SDP_AV);
      return r.method === "SETUP" && r.uri.endsWith("audio") ? odd(r, rig) : undefined;
    });
    const rig = new ClientRig(silent).run(60_000);
    expect(rig.fault?.code).toBe("camera_timeout");
    expect(rig.client.wantsMore).toBe(true);
    expect(setups(plays(silent, { audio: false }))).toBe(1);
  });

  test("quirk: a loudspeaker is described as one more audio track (ONVIF backchannel)", () => {
    const talk = "m=audio 0 RTP/AVP 0\r\na=control:talk\r\na=sendonly\r\n";
    const listen = "m=audio 0 RTP/AVP 8\r\na=control:listen\r\na=recvonly\r\n";
    const video = SDP.slice(SDP.indexOf("m=video"));
    const rig = plays(described([], `v=0\r\ns=x\r\n${talk}${listen}${video}`));
    expect(uris(rig)[3]).toBe("rtsp://cam/stream/listen");
  });
});

describe("passwords", () => {
  test.each(["DESCRIBE", "SETUP", "PLAY"])("quirk: asked for again at %s", (method) => {
    let asked = 0;
    const script = camera((r) =>
      r.method === method && asked++ === 0
        ? reply(r, 401, [["WWW-Authenticate", digest.replace("n1", "n2")]])
        : undefined,
    );
    const rig = plays(script, { source });
    expect(rig.methods.filter((each) => each === method).length).toBe(2);
  });

  test("auth-int alone is refused by its name", () => {
    const challenge = 'Digest realm="cam", nonce="n", qop="auth-int"';
    const asks = camera((r) => reply(r, 401, [["WWW-Authenticate", challenge]]));
    const { fault } = new ClientRig(asks, { source }).run(0);
    expect(fault?.code).toBe("camera_unauthorized");
    expect(fault?.message).toContain('(Digest, qop="auth-int")');
  });

  test("auth-int beside Basic: Basic", () => {
    const fields: [string, string][] = [
      ["WWW-Authenticate", 'Digest realm="cam", nonce="n", qop="auth-int"'],
      ["WWW-Authenticate", 'Basic realm="cam"'],
    ];
    const asks = camera((r) =>
      r.headers.get("Authorization") ? undefined : reply(r, 401, fields),
    );
    expect(plays(asks, { source }).requests[1]?.headers.get("Authorization")).toStartWith("Basic ");
  });
});
