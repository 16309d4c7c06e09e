import { describe, expect, test } from "bun:test";
import { Rig, sdp, TCP, URI } from "./fixtures/server-rig.ts";

const SDP_TYPE: [string, string] = ["Content-Type", "application/sdp"];
const RECORD: [string, string] = ["Transport", `${TCP};mode=record`];

const rig = (): Rig => new Rig({ publishing: true });

function announced(): Rig {
  const announcing = rig();
  announcing.ask("ANNOUNCE", URI, [SDP_TYPE], sdp);
  return announcing;
}

describe("a client that sends a stream", () => {
  test("over TCP", () => {
    const server = rig();
    expect(server.ask("OPTIONS", "*").headers.get("Public")).toContain("RECORD");
    expect(server.status("ANNOUNCE", URI, [SDP_TYPE], sdp)).toBe(200);
    const setup = server.ask("SETUP", `${URI}/video`, [RECORD]);
    expect(setup.headers.get("Transport")).toContain("interleaved=0-1;ssrc=00abcdef;mode=record");
    const session: [string, string] = ["Session", "token0"];
    expect(server.status("RECORD", URI, [session, ["Range", "npt=0.000-"]])).toBe(200);
    server.push(new Uint8Array([0x24, 0, 0, 2, 0xaa, 0xbb]));
    expect(server.controls).toEqual(["0:aabb"]);
    expect(server.status("TEARDOWN", URI, [session])).toBe(200);
    expect(server.kinds).toEqual(["announce", "setup", "record", "teardown"]);
    expect(server.events[0]).toMatchObject({
      path: "/lobby",
      description: { media: [{ kind: "video", control: "video" }, { control: "audio" }] },
    });
    expect(server.events[1]).toMatchObject({ mode: "record", control: "video" });
  });

  test("quirk: publishers of before RFC 2326 set tracks up to receive", () => {
    const transport: [string, string] = ["Transport", `${TCP};mode=receive`];
    expect(announced().status("SETUP", `${URI}/video`, [transport])).toBe(200);
  });

  test("quirk: a publisher does not say the mode", () => {
    expect(announced().status("SETUP", `${URI}/video`, [["Transport", TCP]])).toBe(200);
  });

  const cases: [name: string, want: number, ask: (rig: Rig) => number][] = [
    ["HTML", 415, (r) => r.status("ANNOUNCE", URI, [["Content-Type", "text/html"]], "<p>")],
    ["nonsense", 400, (r) => r.status("ANNOUNCE", URI, [SDP_TYPE], "hello")],
    ["an empty description", 400, (r) => r.status("ANNOUNCE", URI, [SDP_TYPE])],
    ["ANNOUNCE of nothing", 400, (r) => r.status("ANNOUNCE", "*", [SDP_TYPE], sdp)],
    ["RECORD without a session", 454, (r) => r.status("RECORD", URI)],
    ["RECORD of what is played", 455, (r) => r.status("RECORD", URI, [r.ready()])],
    ["ANNOUNCE while playing", 455, (r) => r.status("ANNOUNCE", URI, [r.playing()])],
    [
      "a track to be recorded that was described",
      461,
      (r) => r.described().status("SETUP", `${URI}/video`, [RECORD]),
    ],
  ];
  test.each(cases)("%s is %i", (_name, want, ask) => {
    expect(ask(rig())).toBe(want);
  });

  test("PLAY, and a second RECORD, in a session that records", () => {
    const server = announced();
    server.ask("SETUP", `${URI}/video`, [RECORD]);
    const session: [string, string] = ["Session", "token0"];
    expect(server.status("PLAY", URI, [session])).toBe(455);
    expect(server.status("RECORD", URI, [session])).toBe(200);
    expect(server.status("RECORD", URI, [session])).toBe(455);
  });

  test("a refusal says why, where people look", () => {
    const server = rig();
    server.answering = false;
    const asked = () => server.ask("ANNOUNCE", URI, [SDP_TYPE], sdp);
    expect(asked).toThrow("no response");
    server.engine.refuse(403, "Somebody Else Publishes Here");
    server.drain();
    expect(server.responses.at(-1)).toMatchObject({
      status: 403,
      reason: "Somebody Else Publishes Here",
    });
  });

  test("servers without publishers refuse the method", () => {
    expect(new Rig().status("ANNOUNCE", URI, [SDP_TYPE], sdp)).toBe(405);
    expect(new Rig().status("RECORD", URI)).toBe(405);
  });
});
