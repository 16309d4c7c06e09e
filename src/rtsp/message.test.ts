import { describe, expect, test } from "bun:test";
import { HeaderFields, parseHead, writeRequest, writeResponse } from "./message.ts";
import { printable } from "./printable.ts";

const text = (b: Uint8Array) => new TextDecoder().decode(b);

describe("header fields", () => {
  const head = parseHead(
    'RTSP/1.0 401 Unauthorized\r\ncseq:  7 \r\nWWW-Authenticate: Digest realm="a"\r\n' +
      'www-authenticate: Basic realm="b"\r\nno colon here\r\n: no name\r\nX: 1\x01\x02\r2\r\n\r\n',
  );
  test("names do not mind case, values are trimmed", () => {
    expect(head.headers.get("CSeq")).toBe("7");
  });
  test("several of one name are a list", () => {
    expect(head.headers.all("WWW-Authenticate")).toEqual(['Digest realm="a"', 'Basic realm="b"']);
  });
  test("a missing one is null", () => {
    expect(head.headers.get("Session")).toBeNull();
  });
  test("lines that are no fields are skipped", () => {
    expect([...head.headers].map(([name]) => name)).toEqual([
      "cseq",
      "WWW-Authenticate",
      "www-authenticate",
      "X",
    ]);
  });
  test("control characters do not survive", () => {
    expect(head.headers.get("X")).toBe("1 2");
  });
  test("folded lines go on", () => {
    const folded = parseHead("RTSP/1.0 200 OK\r\n folded before any\r\nA: b,\r\n\t c\r\n");
    expect(folded.headers.get("a")).toBe("b, c");
  });
});

describe("first lines", () => {
  const cases: [line: string, want: object][] = [
    ["RTSP/1.0 200 OK", { kind: "response", status: 200, reason: "OK", version: "1.0" }],
    ["RTSP/2.0 200", { kind: "response", status: 200, reason: "", version: "2.0" }],
    ["RTSP/1.0  401  Not so", { kind: "response", status: 401, reason: "Not so" }],
    ["OPTIONS * RTSP/1.0", { kind: "request", method: "OPTIONS", uri: "*" }],
    ["PLAY rtsp://h/a b RTSP/1.0 ", { kind: "request", uri: "rtsp://h/a b", version: "1.0" }],
    ["GET_PARAMETER rtsp://h/ RTSP/ RTSP/1.0", { kind: "request", uri: "rtsp://h/ RTSP/" }],
  ];
  test.each(cases)("%s", (line, want) => {
    expect(parseHead(line)).toMatchObject(want);
  });
  test.each(["", "RTSP/1.0", "RTSP/1.0 20", "PLAY RTSP/1.0", "P(LAY x RTSP/1.0", "x y z"])(
    "not %p",
    (line) => {
      expect(() => parseHead(line)).toThrow("expected RTSP");
    },
  );
});

test("a request as bytes", () => {
  expect(text(writeRequest("PLAY", "rtsp://h/", [["CSeq", "4"]]))).toBe(
    "PLAY rtsp://h/ RTSP/1.0\r\nCSeq: 4\r\n\r\n",
  );
});

test("a response as bytes, its body's length in bytes", () => {
  expect(text(writeResponse(455, [["CSeq", "4"]], "ü"))).toBe(
    "RTSP/1.0 455 Method Not Valid in This State\r\nCSeq: 4\r\nContent-Length: 2\r\n\r\nü",
  );
});

test("a line break never gets into a header", () => {
  expect(() => writeResponse(200, [["X", "a\r\nInjected: b"]])).toThrow("invariant");
});

test("fields from an iterable", () => {
  expect(new HeaderFields([["A", "b"]]).get("a")).toBe("b");
});

test("what a peer sent is shown shortened and escaped", () => {
  expect(printable('a"\\\n\u00fc\u{1f600}')).toBe('"a\\"\\\\\\x0a\\xfc\\x1f600"');
  expect(printable(new Uint8Array(40).fill(0x41))).toBe(`"${"A".repeat(32)}"…`);
});
