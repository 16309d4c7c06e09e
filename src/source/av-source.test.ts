import { describe, expect, test } from "bun:test";
import { Fault } from "../core/fault.ts";
import { avFault } from "../ingest/av-fault.ts";
import { AvError } from "../native/av-demux.ts";
import { avSource, isLocalFile, pullerFor } from "./av-source.ts";

const TLS = { verify: true, fingerprint: null, authorities: "/etc/ca.pem" };
const SETTINGS = { transport: "auto", timeoutMs: 5_000, tls: TLS } as const;
const read = (source: string) => avSource(source, SETTINGS);

describe("sources for libav", () => {
  test.each([
    ["rtsp://10.0.0.9/a", "native"],
    [" RTSPS://10.0.0.9/a", "native"],
    ["rtmp://10.0.0.9/live/a", "ffmpeg"],
    ["/srv/clip.mp4", "ffmpeg"],
  ])("%p is for the %p puller", (source, puller) => {
    expect<string>(pullerFor(source)).toBe(puller);
  });

  test.each(["file:/etc/passwd", "FILE:///etc/passwd", "/dev/video0", " /srv/clip.mp4"])(
    "%p is of this machine",
    (source) => expect(isLocalFile(source)).toBe(true),
  );

  test.each([
    "concat:/etc/passwd",
    "subfile,,start,0,end,0,,:/etc/passwd",
    "data:text/plain,x",
    "pipe:0",
    "crypto:file:/etc/passwd",
    "async:http://10.0.0.9/",
    "clip.mp4",
    "file:clip.mp4",
    "__proto__://x/",
    "http://",
    "rtsp://u:hunter2@:x/",
    "http://10.0.0.9/\nx",
  ])("%p is refused, in words without it", (source) => {
    let message = "";
    try {
      read(source);
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      message = thrown.message;
      expect(thrown.code).toBe("request_invalid");
    }
    expect(message).not.toBe("");
    expect(message).not.toContain("passwd");
    expect(message).not.toContain("hunter2");
  });

  test("no source from the network may open files, and no file the network", () => {
    for (const scheme of ["rtsp", "rtmp", "http", "https", "srt", "tcp", "udp", "rtp"]) {
      const { protocol_whitelist: allowed = "" } = read(`${scheme}://10.0.0.9:1/a`).options;
      expect(allowed).not.toBe("");
      expect(allowed.split(",")).not.toContain("file");
    }
    expect(read("/srv/clip.mp4").options).toEqual({ protocol_whitelist: "file" });
  });

  test("files are looped unless they are to be played once", () => {
    expect(read("file:///srv/clip.mp4")).toMatchObject({ url: "file:/srv/clip.mp4", looped: true });
    expect(read("/srv/clip.mp4#once")).toMatchObject({ url: "file:/srv/clip.mp4", looped: false });
    expect(read("/dev/video0")).toMatchObject({ format: "v4l2", looped: false, paced: false });
  });

  test("a password is encoded, however it was written, and labels hold none", () => {
    const { url, label } = read("rtsp://admin:p@ss:/#%word@10.0.0.9/cam?token=abc");
    expect(url).toStartWith("rtsp://admin:p%40ss%3A%2F%23%25word@10.0.0.9/cam");
    expect(label).toBe("10.0.0.9/cam");
    expect(read("http://u:hunter2@10.0.0.9/a?token=abc").label).toBe("http://10.0.0.9/a");
    expect(read("rtmp://10.0.0.9/live/streamkey").label).toBe("rtmp://10.0.0.9/live/…");
    expect(read("srt://10.0.0.9:9000?passphrase=hunter2").label).toBe("srt://10.0.0.9:9000");
  });

  test.each(["rtsps", "rtmps", "https"])(
    "%s is believed only what its certificate says",
    (scheme) => {
      const source = `${scheme}://u:hunter2@cam.example/a`;
      const optionsOf = (tls: Partial<typeof TLS> | { fingerprint: string }) =>
        avSource(source, { ...SETTINGS, tls: { ...TLS, ...tls } }).options;
      expect(optionsOf({})).toMatchObject({ tls_verify: "1", ca_file: "/etc/ca.pem" });
      expect(optionsOf({ verify: false })).toMatchObject({ tls_verify: "0" });
      expect(() => optionsOf({ fingerprint: "00" })).toThrow("knows no `tls.fingerprint`");
      expect(read(source.replace("s:", ":")).options).not.toHaveProperty("tls_verify");
    },
  );

  test("playlists are paced: they come in bursts of whole segments", () => {
    expect(read("https://10.0.0.9/a/index.m3u8?x=1").paced).toBe(true);
    expect(read("https://10.0.0.9/a.ts").paced).toBe(false);
  });
});

describe("what libav says", () => {
  const source = {
    label: "10.0.0.9/cam",
    url: "http://admin:p%40ss@10.0.0.9/cam/key123?token=abc",
  };
  const said = (...lines: string[]) => avFault(new AvError(-5, lines), source);

  test.each([
    "Connection to http://10.0.0.9/x failed",
    "wrong password p@ss",
    "wrong password p%40ss",
    "no stream key123",
    "token abc is over",
    "user admin",
  ])("%p may hold a secret: not passed on", (line) => {
    const { message } = said(line);
    expect(message).not.toContain(line);
    expect(message).toContain("Input/output error");
  });

  test("harmless words are passed on, and tell what a bare I/O error means", () => {
    const { code, message } = said("Failed to resolve hostname nowhere.invalid: Name not known");
    expect(code).toBe("camera_unreachable");
    expect(message).toContain("10.0.0.9/cam has a host name that is not known here");
    expect(message).toContain("Failed to resolve hostname");
  });

  test("what is no error of libav is passed on as it is", () => {
    const fault = new Fault("track_unsupported", "x");
    expect(avFault(fault, source)).toBe(fault);
  });
});
