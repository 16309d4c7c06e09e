import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseTransports, plainTransport, writeTransport } from "./transport.ts";

describe("Transport", () => {
  const cases: [text: string, want: object][] = [
    ["RTP/AVP/TCP;unicast;interleaved=0-1", { lower: "tcp", interleaved: [0, 1] }],
    ["RTP/AVP;unicast;client_port=5000-5001", { lower: "udp", clientPort: [5000, 5001] }],
    ["rtp/avp/udp;unicast", { lower: "udp", profile: "RTP/AVP" }],
    ["RTP/AVP;multicast", { delivery: "multicast" }],
    ["RTP/SAVP/TCP", { profile: "RTP/SAVP", lower: "tcp" }],
    [
      'RTP/AVP;unicast;client_port=1-2;server_port=6970-6971;source=10.0.0.9;ssrc=1a2B3c4D;mode="PLAY"',
      { serverPort: [6970, 6971], source: "10.0.0.9", ssrc: 0x1a2b3c4d, mode: "play" },
    ],
    ["RTP/AVP/TCP; interleaved = 2", { interleaved: [2, 3] }],
    ["RTP/AVP/TCP;interleaved=300-301", { interleaved: null }],
    ["RTP/AVP;client_port=70000-1;ssrc=xyz", { clientPort: null, ssrc: null }],
    ["RTP/AVP;some=thing;new;=;;", { lower: "udp", delivery: "unicast" }],
  ];
  test.each(cases)("%s", (text, want) => {
    expect(parseTransports(text)).toMatchObject([want]);
  });

  test("alternatives in order, nonsense left out", () => {
    const got = parseTransports("x,RTP/AVP/TCP;interleaved=0-1, RTP/AVP;unicast;client_port=4-5");
    expect(got.map((t) => t.lower)).toEqual(["tcp", "udp"]);
  });

  test("what is written reads the same", () => {
    const port = fc.integer({ min: 0, max: 255 });
    const pair = fc.option(fc.tuple(port, port));
    const transport = fc.record({
      lower: fc.constantFrom("tcp" as const, "udp" as const),
      delivery: fc.constantFrom("unicast" as const, "multicast" as const),
      interleaved: pair,
      clientPort: pair,
      serverPort: pair,
      source: fc.option(fc.ipV4()),
      ssrc: fc.option(fc.integer({ min: 0, max: 0xffffffff })),
      mode: fc.option(fc.constantFrom("play", "record")),
    });
    fc.assert(
      fc.property(transport, (given) => {
        const whole = { ...plainTransport("tcp"), ...given };
        expect(parseTransports(writeTransport(whole))).toEqual([whole]);
      }),
    );
  });

  test("any text", () => {
    fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseTransports(text))));
  });
});
