import { describe, expect, test } from "bun:test";
import { Rig, TCP, URI } from "./fixtures/server-rig.ts";

describe("refusals", () => {
  const cases: [name: string, want: number, ask: (rig: Rig) => number][] = [
    ["no CSeq", 400, (rig) => rig.raw("OPTIONS * RTSP/1.0\r\n\r\n")],
    ["RTSP 2.0", 505, (rig) => rig.raw("OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n")],
    ["ANNOUNCE", 405, (rig) => rig.status("ANNOUNCE", URI)],
    ["a made-up method", 501, (rig) => rig.status("DANCE", URI)],
    ["a required option", 551, (rig) => rig.status("DESCRIBE", URI, [["Require", "backchannel"]])],
    ["a description in HTML", 406, (rig) => rig.status("DESCRIBE", URI, [["Accept", "text/html"]])],
    ["DESCRIBE of nothing", 400, (rig) => rig.status("DESCRIBE", "*")],
    ["an unknown path", 404, (rig) => rig.status("DESCRIBE", `${URI}x`)],
    [
      "an unknown track",
      404,
      (rig) => rig.status("SETUP", `${URI}/text`, [rig.ready(), ["Transport", TCP]]),
    ],
    [
      "the stream as a track",
      459,
      (rig) => rig.described().status("SETUP", URI, [["Transport", TCP]]),
    ],
    ["no transport", 461, (rig) => rig.status("SETUP", `${URI}/video`)],
    [
      "multicast",
      461,
      (rig) =>
        rig.status("SETUP", `${URI}/video`, [["Transport", "RTP/AVP;multicast;client_port=1-2"]]),
    ],
    [
      "SRTP",
      461,
      (rig) => rig.status("SETUP", `${URI}/video`, [["Transport", "RTP/SAVP/TCP;interleaved=0-1"]]),
    ],
    [
      "recording",
      461,
      (rig) => rig.status("SETUP", `${URI}/video`, [["Transport", `${TCP};mode=record`]]),
    ],
    [
      "the same track twice",
      455,
      (rig) => rig.status("SETUP", `${URI}/video`, [rig.ready(), ["Transport", TCP]]),
    ],
    [
      "another stream in the session",
      400,
      (rig) => rig.status("SETUP", "rtsp://h/yard/video", [rig.ready(), ["Transport", TCP]]),
    ],
    [
      "another track while playing",
      455,
      (rig) => rig.status("SETUP", `${URI}/audio`, [rig.playing(), ["Transport", TCP]]),
    ],
    ["PLAY without a session", 454, (rig) => rig.status("PLAY", URI)],
    [
      "PLAY of another session",
      454,
      (rig) => rig.described().status("PLAY", URI, [["Session", "x"]]),
    ],
    ["PAUSE before PLAY", 455, (rig) => rig.status("PAUSE", URI, [rig.ready()])],
    ["PAUSE without a session", 454, (rig) => rig.status("PAUSE", URI)],
    ["TEARDOWN without a session", 454, (rig) => rig.status("TEARDOWN", URI)],
    [
      "a sign of life of another session",
      454,
      (rig) => rig.status("GET_PARAMETER", URI, [["Session", "x"]]),
    ],
    ["a parameter", 451, (rig) => rig.status("SET_PARAMETER", URI, [], "volume: 11")],
    [
      "PLAY of one of two tracks",
      460,
      (rig) => {
        const session = rig.ready();
        rig.ask("SETUP", `${URI}/audio`, [session, ["Transport", TCP]]);
        return rig.status("PLAY", `${URI}/audio`, [session]);
      },
    ],
  ];
  test.each(cases)("%s: %p", (_name, want, ask) => {
    expect(ask(new Rig())).toBe(want);
  });

  test("a transport that this server was told not to serve", () => {
    const rig = new Rig({ transports: ["tcp"] });
    const udp = "RTP/AVP;unicast;client_port=5000-5001";
    expect(rig.status("SETUP", `${URI}/video`, [["Transport", udp]])).toBe(461);
    expect(rig.status("SETUP", `${URI}/video`, [["Transport", `${udp},${TCP}`]])).toBe(200);
  });

  test("PLAY of the only track by its own address is fine", () => {
    const rig = new Rig();
    expect(rig.status("PLAY", `${URI}/video`, [rig.ready()])).toBe(200);
  });

  test("PLAY while playing is a sign of life", () => {
    const rig = new Rig();
    expect(rig.status("PLAY", URI, [rig.playing()])).toBe(200);
    expect(rig.kinds.filter((kind) => kind === "play").length).toBe(1);
  });

  test("channels that are taken are not given again", () => {
    const rig = new Rig();
    const session = rig.ready("RTP/AVP/TCP;interleaved=2-3");
    const audio = rig.ask("SETUP", `${URI}/audio`, [
      session,
      ["Transport", "RTP/AVP/TCP;interleaved=3-4"],
    ]);
    expect(audio.headers.get("Transport")).toContain("interleaved=0-1");
  });
});
