import { describe, expect, test } from "bun:test";
import { Fault } from "../core/fault.ts";
import { parseConfig } from "./load.ts";
import { nearest } from "./suggest.ts";

function faultsOf(text: string): string[] {
  try {
    parseConfig(text, "onepull.yaml");
  } catch (error) {
    expect(error).toBeInstanceOf(Fault);
    expect(error).toMatchObject({ code: "config_invalid" });
    return error instanceof Fault ? error.message.split("\n") : [];
  }
  return [];
}

describe("configuration", () => {
  test("an empty file is the defaults", () => {
    const config = parseConfig("", "onepull.yaml");
    expect(config.http).toEqual({ address: "127.0.0.1", port: 8080 });
    expect(config.webrtc).toEqual({ addresses: [], port: 8555 });
    expect(config.framebus).toEqual({ address: "127.0.0.1", port: 5555 });
    expect(config.cameras).toEqual({});
  });

  test("cameras, and their credentials do not print", () => {
    const config = parseConfig(
      'cameras:\n  lobby: { source: "rtsp://user:p%40ss@10.0.0.9/stream1", transport: udp }\n',
      "onepull.yaml",
    );
    expect(config.cameras["lobby"]?.transport).toBe("udp");
    expect(config.cameras["lobby"]?.source.reveal()).toBe("rtsp://user:p%40ss@10.0.0.9/stream1");
    expect(JSON.stringify(config) + Bun.inspect(config)).not.toContain("p%40ss");
  });

  test.each([
    [
      "a misspelt key",
      'cameras:\n  lobby:\n    sorce: "rtsp://x/1"\n    source: "rtsp://x/1"\n',
      ["onepull.yaml:3:5: cameras.lobby.sorce: unknown key; did you mean `source`?"],
    ],
    [
      "a misspelt section and one that is nothing like any",
      "htpt: {}\nbanana: 1\n",
      [
        "onepull.yaml:1:1: htpt: unknown key; did you mean `http`?",
        "onepull.yaml:2:1: banana: unknown key; known keys: instance, data, log, http, webrtc, rtsp, transcode, framebus, cameras",
      ],
    ],
    [
      "a key inside a section",
      "http:\n  prot: 80\n",
      ["onepull.yaml:2:3: http.prot: unknown key; did you mean `port`?"],
    ],
    [
      "a wrong scheme",
      "cameras:\n  lobby: { source: gopher://x/1 }\n",
      [
        "onepull.yaml:2:12: cameras.lobby.source: the source's address is of no kind that can be pulled: it must begin with one of rtsp://, rtsps://, rtmp://, rtmps://, http://, https://, srt://, tcp://, udp://, rtp://, file:",
      ],
    ],
    [
      "a camera name with a slash",
      'cameras:\n  "a/b": { source: "rtsp://x/1" }\n',
      [
        "onepull.yaml:2:3: cameras.a/b: this name must be 1 to 63 letters, digits, - or _, and start with a letter or digit",
      ],
    ],
    [
      "a port out of range",
      "http:\n  port: 70000\n",
      ["onepull.yaml:2:3: http.port: Too big: expected number to be <=65535"],
    ],
  ])("%s", (_name, text, want) => {
    expect(faultsOf(text)).toEqual(want);
  });

  test.each([
    ["a missing source", "cameras:\n  lobby: {}\n", "onepull.yaml:2:3: cameras.lobby.source"],
    ["not YAML", "cameras: [\n", "onepull.yaml:"],
    ["a key twice", "http: {}\nhttp: {}\n", "onepull.yaml:2:1: Map keys must be unique"],
    ["a list where a map is due", "- 1\n", "onepull.yaml:1:1: configuration"],
  ])("%s", (_name, text, start) => {
    expect(faultsOf(text)[0]).toStartWith(start);
  });

  test("suggestions are near or none", () => {
    expect(nearest("soruce", ["source", "transport"])).toBe("source");
    expect(nearest("Transprot", ["source", "transport"])).toBe("transport");
    expect(nearest("zebra", ["source", "transport"])).toBeNull();
  });
});
