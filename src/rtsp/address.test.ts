import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../core/fault.ts";
import { parseAddress } from "./address.ts";

function parts(text: string) {
  const { password, ...rest } = parseAddress(text);
  return { ...rest, password: password?.reveal() ?? null };
}

describe("addresses", () => {
  const bare = { user: null, password: null };
  const cases: [name: string, text: string, want: object][] = [
    [
      "plain",
      "rtsp://10.0.0.9/stream1",
      { host: "10.0.0.9", port: 554, ...bare, requestUri: "rtsp://10.0.0.9/stream1" },
    ],
    [
      "port, query kept",
      "rtsp://cam:8554/a?b=c/d&e",
      { port: 8554, requestUri: "rtsp://cam:8554/a?b=c/d&e" },
    ],
    ["TLS", "RTSPS://u:p@cam/a", { port: 322, secure: true, requestUri: "rtsps://cam/a" }],
    ["HTTP", "rtsp+http://u:p@cam/a", { port: 80, tunnel: true, requestUri: "rtsp://cam/a" }],
    ["HTTPS", "rtsp+https://cam:8443/a", { port: 8443, tunnel: true, secure: true }],
    ["TLS, other port", "rtsps://cam:8322/a", { port: 8322, secure: true }],
    ["no path", "rtsp://cam", { host: "cam", requestUri: "rtsp://cam", label: "cam" }],
    ["query without path", "rtsp://cam?x=1", { host: "cam", requestUri: "rtsp://cam?x=1" }],
    [
      "upper case and blanks",
      " RTSP://Cam_1/x \n",
      { host: "Cam_1", requestUri: "rtsp://Cam_1/x" },
    ],
    ["IPv6", "rtsp://[fe80::1]:554/x", { host: "fe80::1", requestUri: "rtsp://[fe80::1]:554/x" }],
    [
      "credentials leave the request",
      "rtsp://user:pass@10.0.0.9:554/s",
      { user: "user", password: "pass", requestUri: "rtsp://10.0.0.9:554/s" },
    ],
    [
      "encoded",
      "rtsp://us%40er:p%40ss%3A%2F%23%25word@h/s",
      { user: "us@er", password: "p@ss:/#%word" },
    ],
    ["UTF-8", "rtsp://u:%C3%BC@h/s", { password: "ü" }],
    ["colon in the password", "rtsp://u:a:b@h/s", { user: "u", password: "a:b" }],
    ["user alone", "rtsp://u@h/s", { user: "u", password: "" }],
    ["fragment dropped", "rtsp://h/s#t", { requestUri: "rtsp://h/s" }],
    ["blank in the path", "rtsp://h/a b", { requestUri: "rtsp://h/a%20b" }],
    ["@ in the path", "rtsp://h/a@b", { host: "h", ...bare, label: "h/a@b" }],
    ["@ in path after a port", "rtsp://h:554/a@b", { host: "h", port: 554, ...bare }],
    ["unencoded @", "rtsp://u:p@ss@10.0.0.9/s", { host: "10.0.0.9", user: "u", password: "p@ss" }],
    [
      "unencoded /",
      "rtsp://u:p/ss@10.0.0.9/s",
      { host: "10.0.0.9", password: "p/ss", label: "10.0.0.9/s" },
    ],
    ["unencoded #", "rtsp://u:#ss@10.0.0.9/s", { host: "10.0.0.9", password: "#ss" }],
    ["unencoded ?", "rtsp://u:p?@10.0.0.9:99", { host: "10.0.0.9", port: 99, password: "p?" }],
    ["a percent sign that encodes nothing", "rtsp://u:50%zz@h/", { password: "50%zz" }],
    ["percent bytes that are no UTF-8", "rtsp://u:%FF@h/", { password: "%FF" }],
  ];
  test.each(cases)("%s", (_name, text, want) => {
    expect(parts(text)).toMatchObject(want);
  });
});

describe("labels hold no secret", () => {
  const cases: [text: string, label: string][] = [
    ["rtsp://user:hunter2@10.0.0.9:8554/s?password=hunter2", "10.0.0.9:8554/s"],
    ["rtsp://h/user=admin_password=hunter2_channel=1.sdp", "h/user=admin_password=…"],
    ["rtsp://h/user=admin&pwd=hunter2&channel=1", "h/user=admin&pwd=…"],
    ["rtsp://[::1]:554/s", "[::1]:554/s"],
  ];
  test.each(cases)("%s", (text, label) => {
    expect(parseAddress(text).label).toBe(label);
  });
});

describe("what cannot be read", () => {
  const cases: [name: string, text: string, says: string][] = [
    ["no scheme", "10.0.0.9/hunter2", "must look like rtsp://"],
    ["HTTP", "http://u:hunter2@h/", "must look like rtsp://"],
    ["no host", "rtsp:///hunter2", "names no host"],
    ["empty", "", "must look like rtsp://"],
    ["port 0", "rtsp://u:hunter2@h:0/", "port outside"],
    ["a port too high", "rtsp://u:hunter2@h:70000/", "port outside"],
    ["a word for a port", "rtsp://u:hunter2@h:x/", "%3A %2F %3F %23 %40 %25"],
    ["two places where it may end", "rtsp://u:hunter2/a@b/c@d/", "%3A %2F %3F %23 %40 %25"],
    ["line break", "rtsp://u:hunter2@h/\r\nX: y", "control character"],
    ["blank in the host", "rtsp://u:hunter2@h h/", "no valid host"],
  ];
  test.each(cases)("%s", (_name, text, says) => {
    let thrown: unknown;
    try {
      parseAddress(text);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(Fault);
    expect(thrown).toMatchObject({ code: "request_invalid" });
    expect(String(thrown)).toContain(says);
    expect(String(thrown)).not.toContain("hunter2");
  });

  test("any text gives an address or a Fault that does not repeat it", () => {
    const secret = fc.string({ minLength: 8, maxLength: 20 }).map((s) => `hunter2${s}`);
    fc.assert(
      fc.property(fc.string(), secret, fc.string(), (before, password, after) => {
        try {
          parseAddress(`rtsp://${before}:${password}@${after}`);
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          expect(error.message).not.toContain("hunter2");
        }
      }),
    );
  });

  test("an encoded password comes back whatever it is, and the request does not have it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 3 }), (password) => {
        const got = parts(`rtsp://u:${encodeURIComponent(password)}@host:99/path`);
        expect(got).toMatchObject({ password, host: "host", requestUri: "rtsp://host:99/path" });
      }),
    );
  });
});
