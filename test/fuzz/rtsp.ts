/** Junk for everything that reads what a camera says: `bun test/fuzz/rtsp.ts [inputs] [seed]`. */
import { assert } from "../../src/core/fault.ts";
import { Secret } from "../../src/core/secret.ts";
import { parseAddress } from "../../src/rtsp/address.ts";
import { chooseTracks } from "../../src/rtsp/client-track.ts";
import { baseUri, controlUri } from "../../src/rtsp/control.ts";
import { Authorizer, parseChallenges } from "../../src/rtsp/digest.ts";
import {
  ClientRig,
  digest,
  goodCamera,
  reply,
  SDP,
  source,
} from "../../src/rtsp/fixtures/client-rig.ts";
import { contentLength, parseHead } from "../../src/rtsp/message.ts";
import { BODY_BYTES_MAX, HEAD_BYTES_MAX, RtspReader } from "../../src/rtsp/reader.ts";
import { offeredBy, parseSdp } from "../../src/rtsp/sdp.ts";
import { parseTransports, writeTransport } from "../../src/rtsp/transport.ts";
import { below, main, type Target } from "./fuzz.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (b: Uint8Array) => new TextDecoder().decode(b);

const HEADS = [
  "RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 12;timeout=60\r\nContent-Length: 5\r\n\r\nhello",
  'RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\nWWW-Authenticate: Digest realm="a", nonce="b"\r\n\r\n',
  "OPTIONS rtsp://h/s RTSP/1.0\r\nCSeq: 3\r\nX: a\r\n b\r\n\r\n",
  "$\0\0\x04abcd$\x01\0\0RTSP/1.0 200 OK\nCSeq: 1\n\n",
];
const HEAD_WORDS = ["\r\n", "\n\n", "$", "RTSP/1.0 ", "Content-Length: ", "-1", "99999999", ":"];
const SDPS = [
  SDP,
  "v=0\ns=x\nm=video 0 RTP/AVP 96 97\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-vps=QAEMAf//;sprop-sps=QgEB\n" +
    "a=rtpmap:97 JPEG/90000\na=framesize:97 640-480\na=control:rtsp://h/t\n",
  "v=0\nm=audio 0 RTP/AVP 0 8 9 97\na=rtpmap:97 MPEG4-GENERIC/48000/2\n" +
    "a=fmtp:97 mode=AAC-hbr;config=1190;sizeLength=13;indexLength=3;indexDeltaLength=3\na=recvonly\n",
];
const SDP_WORDS = [
  "m=video 0 RTP/AVP ",
  "a=rtpmap:",
  "a=fmtp:",
  "H264/90000",
  "96 ",
  ";",
  "=",
  "\n",
  "AAAA",
];
const TRANSPORTS = [
  'RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=1234ABCD;mode="PLAY"',
  "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;source=10.0.0.3,RTP/AVP/TCP",
];
const CHALLENGES = [
  digest,
  'Digest realm="a\\"b", nonce="c", qop="auth,auth-int", algorithm=SHA-256-sess, stale=TRUE, opaque=""',
  'Basic realm="x", Digest nonce=y',
];
const ADDRESSES = [
  "rtsp://user:p%40ss@cam:8554/stream?x=1#f",
  "rtsps://[fe80::1%eth0]:322/",
  "rtsp://h",
];

const reader: Target = {
  name: "rtsp-reader",
  seeds: HEADS.map(bytes),
  words: HEAD_WORDS,
  run: (input, random) => {
    let delivered = 0;
    const parser = new RtspReader(
      (_channel, _b, start, end) => {
        delivered += end - start;
      },
      (message) => {
        delivered += message.body.length;
      },
    );
    try {
      for (let at = 0; at < input.length; ) {
        const next = at + 1 + below(40, random);
        parser.push(input.subarray(at, next));
        at = next;
      }
    } finally {
      assert(delivered <= input.length, "nothing is delivered that did not come");
      assert(parser.stashBytes <= 2 * (HEAD_BYTES_MAX + BODY_BYTES_MAX), "the stash is bounded");
    }
  },
};

const message: Target = {
  name: "rtsp-message",
  seeds: HEADS.map(bytes),
  words: HEAD_WORDS,
  run: (input) => {
    const { headers } = parseHead(text(input));
    contentLength(headers);
    controlUri(baseUri(headers, headers.get("X"), "rtsp://h/s"), headers.get("Session"));
  },
};

const sdp: Target = {
  name: "sdp",
  seeds: SDPS.map(bytes),
  words: SDP_WORDS,
  run: (input) => {
    const description = parseSdp(text(input));
    offeredBy(description);
    for (const { carries } of chooseTracks(description)) {
      assert(carries.clockHz > 0 && carries.channels > 0, "a track has a clock and channels");
    }
  },
};

const transport: Target = {
  name: "rtsp-transport",
  seeds: TRANSPORTS.map(bytes),
  words: [";", "-", "=", ",", "interleaved=", "server_port=", "65535", "RTP/AVP"],
  run: (input) => {
    for (const each of parseTransports(text(input))) {
      const again = parseTransports(writeTransport(each))[0];
      assert(again?.lower === each.lower, "what is written reads the same");
      for (const port of [...(each.clientPort ?? []), ...(each.serverPort ?? [])]) {
        assert(port <= 0xffff, "a port has 16 bits");
      }
    }
  },
};

const challenge: Target = {
  name: "digest-challenge",
  seeds: CHALLENGES.map(bytes),
  words: ['"', "\\", "=", ",", "Digest ", "nonce=", "qop=", "algorithm=MD5"],
  run: (input) => {
    const values = [text(input)];
    parseChallenges(values);
    const password = new Secret("hunter2-hunter2");
    const hash = () => "0";
    const authorizer = new Authorizer({ user: "u", password, hash, cnonce: () => "c" });
    const chosen = authorizer.challenged(values);
    const answer = authorizer.authorize("OPTIONS", "rtsp://h/");
    assert((chosen === null) === (answer === null), "each challenge that is known has an answer");
    if (chosen?.scheme === "digest") assert(!answer?.includes("hunter2"), "no secret is told");
  },
};

const address: Target = {
  name: "rtsp-address",
  seeds: ADDRESSES.map(bytes),
  words: ["@", ":", "/", "?", "%", "[", "]", "rtsp://"],
  run: (input) => {
    const { port, requestUri } = parseAddress(text(input));
    assert(port > 0 && port <= 0xffff, "a port has 16 bits");
    assert(!/[\s\p{Cc}]/u.test(requestUri), "an address fits a request line");
  },
};

/** Answers that are cut out of the input, one after another, to a client that asks. */
const client: Target = {
  name: "rtsp-client",
  seeds: [SDP].map((body) => {
    const request = { kind: "request", uri: "*", version: "1.0", body: new Uint8Array(0) } as const;
    const { headers } = parseHead(
      "X * RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1",
    );
    const good = (method: string) => text(goodCamera({ ...request, method, headers }));
    const denied = text(
      reply({ ...request, method: "X", headers }, 401, [["WWW-Authenticate", digest]]),
    );
    const described = text(reply({ ...request, method: "X", headers }, 200, [], body));
    return bytes(
      [good("OPTIONS"), denied, good("OPTIONS"), described, good("SETUP"), good("PLAY")].join("\0"),
    );
  }),
  words: [...HEAD_WORDS, ...SDP_WORDS, "\0", "Location: ", "302", "461", "401"],
  run: (input) => {
    const answers = text(input).split("\0");
    const rig = new ClientRig(() => bytes(answers.shift() ?? ""), { source }).run(120_000);
    const ends = rig.kinds.filter((kind) => !["tracks", "playing", "bind"].includes(kind));
    assert(ends.length <= 1, "a client ends once");
    assert(!JSON.stringify(rig.fault).includes("p@ss"), "no secret is told");
  },
};

export const RTSP_TARGETS = [reader, message, sdp, transport, challenge, address, client];

if (import.meta.main) main(RTSP_TARGETS);
