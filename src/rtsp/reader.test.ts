import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../core/fault.ts";
import { INTERLEAVED_PACKET_BYTES_MAX, writeInterleavedHeader } from "./interleaved.ts";
import { HEADERS_MAX, writeRequest, writeResponse } from "./message.ts";
import { BODY_BYTES_MAX, HEAD_BYTES_MAX, RtspReader } from "./reader.ts";

const text = (b: Uint8Array) => new TextDecoder().decode(b);
const bytes = (s: string) => new TextEncoder().encode(s);

function packet(channel: number, payload: Uint8Array): Uint8Array {
  const framed = new Uint8Array(4 + payload.length);
  framed.set(payload, writeInterleavedHeader(framed, 0, channel, payload.length));
  return framed;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** Every element as one line, so that two readings compare. */
function read(chunks: readonly Uint8Array[]): string[] {
  const elements: string[] = [];
  const reader = new RtspReader(
    (channel, b, start, end) => elements.push(`$${channel} ${b.subarray(start, end).toHex()}`),
    (m) => {
      const first = m.kind === "request" ? `${m.method} ${m.uri}` : `${m.status} ${m.reason}`;
      elements.push([m.version, first, ...[...m.headers].flat(), text(m.body)].join("|"));
    },
  );
  for (const chunk of chunks) reader.push(chunk);
  return elements;
}

const wire = join([
  writeResponse(200, [["CSeq", "1"]]),
  packet(0, bytes("hello")),
  packet(1, new Uint8Array(0)),
  writeResponse(200, [["CSeq", "2"]], "v=0\r\n\r\n$not a packet\r\n"),
  packet(0, new Uint8Array(300).fill(7)),
  bytes("\r\n\r\n"),
  writeRequest("OPTIONS", "rtsp://h/a b", [["CSeq", "9"]]),
  bytes("RTSP/1.0 404 Not Found\nCSeq: 3\nX-Folded: one\n\ttwo\n\n"),
  bytes("ANNOUNCE rtsp://h/ RTSP/2.0\r\ncontent-length: 3\r\n\r\nabc"),
  packet(255, bytes("$$")),
]);
const elements = [
  "1.0|200 OK|CSeq|1|",
  "$0 68656c6c6f",
  "$1 ",
  "1.0|200 OK|CSeq|2|Content-Length|22|v=0\r\n\r\n$not a packet\r\n",
  `$0 ${"07".repeat(300)}`,
  "1.0|OPTIONS rtsp://h/a b|CSeq|9|",
  "1.0|404 Not Found|CSeq|3|X-Folded|one two|",
  "2.0|ANNOUNCE rtsp://h/|content-length|3|abc",
  "$255 2424",
];

describe("elements", () => {
  test("in one chunk", () => {
    expect(read([wire])).toEqual(elements);
  });

  test("cut at every place", () => {
    for (let cut = 0; cut <= wire.length; cut++) {
      expect(read([wire.subarray(0, cut), wire.subarray(cut)])).toEqual(elements);
    }
  });

  test("byte by byte", () => {
    expect(read([...wire].map((b) => new Uint8Array([b])))).toEqual(elements);
  });

  test("in any chunks", () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 90 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(sizes, (lengths) => {
        const chunks: Uint8Array[] = [];
        for (let at = 0, i = 0; at < wire.length; i++) {
          const length = lengths[i % lengths.length] || 1;
          chunks.push(wire.subarray(at, at + length));
          at += length;
        }
        expect(read(chunks)).toEqual(elements);
      }),
    );
  });
});

describe("packets", () => {
  test("whole ones are delivered in place, without a copy", () => {
    const chunk = join([packet(0, bytes("abc")), packet(2, bytes("de")), bytes("$")]);
    const seen: unknown[] = [];
    const reader = new RtspReader(
      (channel, b, start, end) => seen.push([channel, b === chunk, start, end]),
      () => {},
    );
    reader.push(chunk);
    expect(seen).toEqual([
      [0, true, 4, 7],
      [2, true, 11, 13],
    ]);
  });

  test("after a cut one, the rest of the chunk is in place again", () => {
    const cut = packet(0, bytes("abcdef"));
    const chunk = join([cut.subarray(6), packet(0, bytes("xyz"))]);
    const inPlace: boolean[] = [];
    const reader = new RtspReader(
      (_channel, b) => inPlace.push(b === chunk),
      () => {},
    );
    reader.push(cut.subarray(0, 6));
    reader.push(chunk);
    expect(inPlace).toEqual([false, true]);
  });

  test("of the largest size, cut again and again, in bounded memory", () => {
    const largest = packet(0, new Uint8Array(INTERLEAVED_PACKET_BYTES_MAX).fill(1));
    let received = 0;
    const reader = new RtspReader(
      (_channel, _b, start, end) => {
        received += end - start;
      },
      () => {},
    );
    const stream = join([largest, largest, largest]);
    for (let at = 0; at < stream.length; at += 1000) reader.push(stream.subarray(at, at + 1000));
    expect(received).toBe(3 * INTERLEAVED_PACKET_BYTES_MAX);
    expect(reader.stashBytes).toBeLessThanOrEqual(128 << 10);
  });
});

describe("what is not RTSP", () => {
  const cases = [
    { name: "HTTP", junk: "HTTP/1.1 400 Bad Request\r\n", says: "this is HTTP" },
    { name: "an HTTP client", junk: "GET / HTTP/1.1\r\n", says: "this is HTTP" },
    { name: "another banner", junk: "SSH-2.0-OpenSSH_9.2\r\n", says: "SSH-2.0" },
    { name: "binary", junk: "\x16\x03\x01\n", says: '"\\x16' },
    { name: "a bad length", junk: "RTSP/1.0 200 OK\r\nContent-Length: x\r\n\r\n", says: "length" },
    {
      name: "a negative length",
      junk: "RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
      says: "no l",
    },
    {
      name: "a huge body",
      junk: `RTSP/1.0 200 OK\r\nContent-Length: ${BODY_BYTES_MAX + 1}\r\n\r\n`,
      says: "too long",
    },
    { name: "no line end", junk: "R".repeat(HEAD_BYTES_MAX + 1), says: "does not end" },
    {
      name: "endless headers",
      junk: `RTSP/1.0 200 OK\r\n${"A: b\r\n".repeat(HEADERS_MAX + 1)}`,
      says: "does not end",
    },
  ];
  test.each(cases)("$name", ({ junk, says }) => {
    const chunks = [[bytes(junk)], [...bytes(junk)].map((b) => new Uint8Array([b]))];
    for (const chunk of chunks) {
      let thrown: unknown;
      try {
        read(chunk);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(Fault);
      expect(thrown).toMatchObject({ code: "camera_protocol" });
      expect(String(thrown)).toContain(says);
    }
  });

  test("a first line made to be slow to read", () => {
    const line = `A b${" ".repeat(60_000)}x\r\n`;
    const before = process.cpuUsage().user;
    expect(() => read([bytes(line)])).toThrow(Fault);
    // Quadratic time would take seconds.
    expect(process.cpuUsage().user - before).toBeLessThan(1_000_000);
  });

  const junk = fc.oneof(
    fc.uint8Array({ maxLength: 4000 }),
    fc.string({ maxLength: 500 }).map((s) => bytes(`RTSP/1.0 200 OK\r\n${s}\r\n\r\n`)),
    fc.string({ maxLength: 200 }).map((s) => bytes(`OPTIONS ${s} RTSP/1.0\r\n\r\n`)),
  );
  test("any bytes give elements or a Fault, nothing else", () => {
    fc.assert(
      fc.property(fc.array(junk, { maxLength: 5 }), (chunks) => {
        try {
          read(chunks);
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});

test("a large body leaves no large stash behind", () => {
  const reader = new RtspReader(
    () => {},
    () => {},
  );
  const message = writeResponse(200, [], "x".repeat(BODY_BYTES_MAX));
  for (let at = 0; at < message.length; at += 50_000)
    reader.push(message.subarray(at, at + 50_000));
  expect(reader.stashBytes).toBeLessThanOrEqual(128 << 10);
});
