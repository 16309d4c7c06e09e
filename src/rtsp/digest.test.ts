import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Secret } from "../core/secret.ts";
import { Challenger } from "./challenger.ts";
import { Authorizer, digestResponse, type Hash, parseChallenges, strongest } from "./digest.ts";

const hash: Hash = (algorithm, text) =>
  new Bun.CryptoHasher(algorithm === "MD5" ? "md5" : "sha256").update(text).digest("hex");

describe("vectors", () => {
  const common = { session: false, method: "GET", uri: "/dir/index.html" } as const;
  test("RFC 2617 section 3.5", () => {
    const cnonce = "0a4f113b";
    const response = digestResponse(
      {
        ...common,
        algorithm: "MD5",
        user: "Mufasa",
        realm: "testrealm@host.com",
        password: new Secret("Circle Of Life"),
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        counted: { nc: "00000001", cnonce },
        cnonce,
      },
      hash,
    );
    expect(response).toBe("6629fae49393a05397450978507c4ef1");
  });

  const cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
  const rfc7616 = {
    ...common,
    user: "Mufasa",
    realm: "http-auth@example.org",
    password: new Secret("Circle of Life"),
    nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    counted: { nc: "00000001", cnonce },
    cnonce,
  };
  test("RFC 7616 section 3.9.1, MD5", () => {
    const response = digestResponse({ ...rfc7616, algorithm: "MD5" }, hash);
    expect(response).toBe("8ca523f5e9506fed4657c9700eebdbec");
  });
  test("RFC 7616 section 3.9.1, SHA-256", () => {
    const response = digestResponse({ ...rfc7616, algorithm: "SHA-256" }, hash);
    expect(response).toBe("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
  });
  test("RFC 2069 (corrected by its errata), no qop", () => {
    const response = digestResponse(
      {
        ...common,
        algorithm: "MD5",
        user: "Mufasa",
        realm: "testrealm@host.com",
        password: new Secret("CircleOfLife"),
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        counted: null,
        cnonce: "",
      },
      hash,
    );
    expect(response).toBe("1949323746fe6a43ef61f9606e7febea");
  });
  test("the -sess variant hashes the nonces in first", () => {
    const plain = hash("MD5", "Mufasa:http-auth@example.org:Circle of Life");
    const first = hash("MD5", `${plain}:${rfc7616.nonce}:${cnonce}`);
    const second = hash("MD5", "GET:/dir/index.html");
    const want = hash("MD5", `${first}:${rfc7616.nonce}:00000001:${cnonce}:auth:${second}`);
    expect(digestResponse({ ...rfc7616, algorithm: "MD5", session: true }, hash)).toBe(want);
  });
});

describe("challenges", () => {
  test("several in one header, several headers", () => {
    const challenges = parseChallenges([
      'Digest realm="a, b", nonce="n\\"1", qop="auth,auth-int", algorithm=MD5, stale=TRUE, Basic realm=c',
      'digest Realm = "d" , Nonce = "2", algorithm="SHA-256-sess", opaque="o"',
    ]);
    expect(challenges).toEqual([
      {
        scheme: "digest",
        realm: "a, b",
        nonce: 'n\\"1',
        opaque: null,
        algorithm: "MD5",
        session: false,
        algorithmName: "MD5",
        qop: true,
        stale: true,
      },
      { scheme: "basic", realm: "c" },
      {
        scheme: "digest",
        realm: "d",
        nonce: "2",
        opaque: "o",
        algorithm: "SHA-256",
        session: true,
        algorithmName: "SHA-256-sess",
        qop: false,
        stale: false,
      },
    ]);
  });
  test("the strongest is chosen, whatever its place", () => {
    const choose = (...values: string[]) => strongest(parseChallenges(values));
    const basic = 'Basic realm="x"';
    const md5 = 'Digest realm="x", nonce="1"';
    const sha = 'Digest realm="x", nonce="1", algorithm=SHA-256';
    expect(choose(basic, md5, sha)).toMatchObject({ algorithm: "SHA-256" });
    expect(choose(sha, md5, basic)).toMatchObject({ algorithm: "SHA-256" });
    expect(choose(basic, md5)).toMatchObject({ scheme: "digest" });
    expect(choose(basic)).toMatchObject({ scheme: "basic" });
  });
  test("what is not spoken is left out", () => {
    const values = [
      "Negotiate",
      'Digest realm="x", nonce="1", algorithm=SHA-512-256',
      'Digest realm="x"',
      'Digest realm="x", nonce="1", qop="auth-int"',
    ];
    expect(parseChallenges(values)).toEqual([]);
    expect(strongest([])).toBeNull();
  });
  test("any text", () => {
    fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseChallenges([text]))));
  });
});

const password = new Secret("p@ss:/#%word");

function client(user = 'jo"hn', secret = password): Authorizer {
  let count = 0;
  return new Authorizer({ user, password: secret, hash, cnonce: () => `c${count++}` });
}

function server(schemes?: readonly ("SHA-256" | "MD5" | "basic")[]): Challenger {
  let count = 0;
  return new Challenger({
    realm: "cam",
    passwordOf: (user) => (user === 'jo"hn' ? password : null),
    hash,
    nonce: () => `nonce${count++}`,
    ...(schemes ? { schemes } : {}),
  });
}

const values = (c: Challenger, now: number) => c.challenge(false, now).map(([, value]) => value);

describe("client and server", () => {
  const uri = "rtsp://h/s";
  test.each([[["SHA-256"]], [["MD5"]], [["basic"]], [["SHA-256", "MD5", "basic"]]] as const)(
    "agree by %p",
    (schemes) => {
      const s = server(schemes);
      const c = client();
      expect(c.authorize("PLAY", uri)).toBeNull();
      c.challenged(values(s, 0));
      const granted = { kind: "granted", user: 'jo"hn' } as const;
      expect(s.check(c.authorize("PLAY", uri), "PLAY", uri, 1)).toEqual(granted);
      expect(s.check(c.authorize("SETUP", `${uri}/1`), "SETUP", `${uri}/1`, 2)).toEqual(granted);
    },
  );

  test("nc counts up, and from one for a new nonce", () => {
    const c = client();
    const nc = () => /nc=(\w+)/.exec(c.authorize("PLAY", uri) ?? "")?.[1];
    c.challenged(['Digest realm="a", nonce="1", qop="auth"']);
    expect([nc(), nc()]).toEqual(["00000001", "00000002"]);
    c.challenged(['Digest realm="a", nonce="2", qop="auth"']);
    expect(nc()).toBe("00000001");
  });

  test("only what the challenge had is repeated", () => {
    const c = client("u");
    c.challenged(['Digest realm="a", nonce="1"']);
    const shortest = c.authorize("PLAY", uri) ?? "";
    expect(shortest.replace(/response="\w+"/, "")).toBe(
      `Digest username="u", realm="a", nonce="1", uri="${uri}", `,
    );
    c.challenged(['Digest realm="a", nonce="1", opaque="o", algorithm="MD5-sess", qop="auth"']);
    const longest = c.authorize("PLAY", uri) ?? "";
    expect(longest).toEndWith('algorithm=MD5-sess, opaque="o", qop=auth, nc=00000001, cnonce="c1"');
  });

  test("a wrong password, an unknown user, another method or address are denied", () => {
    const s = server();
    const wrong = client('jo"hn', new Secret("x"));
    const unknown = client("jim");
    const right = client();
    for (const c of [wrong, unknown, right]) c.challenged(values(s, 0));
    const denied = { kind: "denied" } as const;
    expect(s.check(wrong.authorize("PLAY", uri), "PLAY", uri, 1)).toEqual(denied);
    expect(s.check(unknown.authorize("PLAY", uri), "PLAY", uri, 1)).toEqual(denied);
    expect(s.check(right.authorize("PLAY", uri), "PAUSE", uri, 1)).toEqual(denied);
    expect(s.check(right.authorize("PLAY", "rtsp://h/t"), "PLAY", uri, 1)).toEqual(denied);
    expect(s.check("Bearer x", "PLAY", uri, 1)).toEqual(denied);
    expect(s.check("", "PLAY", uri, 1)).toEqual(denied);
    expect(s.check(null, "PLAY", uri, 1)).toEqual({ kind: "absent" });
  });

  test("a wrong Basic password is denied", () => {
    const s = server(["basic"]);
    for (const text of ['jo"hn:x', 'jo"hn', "", `jim:${password.reveal()}`]) {
      const header = `Basic ${new TextEncoder().encode(text).toBase64()}`;
      expect(s.check(header, "PLAY", uri, 1)).toEqual({ kind: "denied" });
    }
    expect(s.check("Basic %", "PLAY", uri, 1)).toEqual({ kind: "denied" });
  });

  test("schemes that are not offered are denied", () => {
    const s = server(["SHA-256"]);
    const c = client();
    c.challenged(['Basic realm="cam"']);
    expect(s.check(c.authorize("PLAY", uri), "PLAY", uri, 1)).toEqual({ kind: "denied" });
    c.challenged(['Digest realm="cam", nonce="nonce1"']);
    expect(s.check(c.authorize("PLAY", uri), "PLAY", uri, 1)).toEqual({ kind: "denied" });
  });

  test("an old nonce is stale, a new one follows", () => {
    const s = server();
    const c = client();
    c.challenged(values(s, 0));
    const late = 300_000;
    expect(s.check(c.authorize("PLAY", uri), "PLAY", uri, late)).toEqual({ kind: "stale" });
    const again = s.challenge(true, late).map(([, value]) => value);
    expect(c.challenged(again)).toMatchObject({ stale: true });
    expect(s.check(c.authorize("PLAY", uri), "PLAY", uri, late)).toMatchObject({ kind: "granted" });
  });

  test("quirk: Digest of SETUP over the address of the stream, not of the track (live555)", () => {
    const s = server();
    const c = client();
    c.challenged(values(s, 0));
    const answer = c.authorize("SETUP", `${uri}/`);
    expect(s.check(answer, "SETUP", `${uri}/track1`, 1)).toMatchObject({ kind: "granted" });
    expect(s.check(answer, "SETUP", "rtsp://h/sx", 1)).toEqual({ kind: "denied" });
  });

  test("any header is judged, none throws", () => {
    const s = server();
    fc.assert(
      fc.property(fc.string(), (text) => {
        const verdicts = [text, `Digest ${text}`, `Basic ${text}`].map((header) =>
          s.check(header, "PLAY", uri, 1),
        );
        for (const { kind } of verdicts) expect(kind).toBe("denied");
      }),
    );
  });
});
