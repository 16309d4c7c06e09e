import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { CONSENT_TIMEOUT_MS, FIRST_CHECK_TIMEOUT_MS, IceLite, type IceReply } from "./ice-lite.ts";
import {
  BINDING_SUCCESS,
  type HmacSha1,
  integrityHolds,
  readStun,
  writeBindingError,
  writeBindingRequest,
  writeBindingSuccess,
} from "./stun.ts";

const hmac: HmacSha1 = (key, data) => createHmac("sha1", key).update(data).digest();
const LOCAL = { ufrag: "hub1", password: "0123456789abcdef0123456789abcdef" };
const KEY = new TextEncoder().encode(LOCAL.password);
const FROM = { address: "192.0.2.1", port: 1000 };
const TRANSACTION = new Uint8Array(12).fill(7);

interface Check {
  readonly username?: string;
  readonly useCandidate?: boolean;
  readonly key?: Uint8Array;
  readonly path?: string;
}

function request({ username = "hub1:peer", useCandidate = false, key = KEY }: Check): Uint8Array {
  const tieBreaker = new Uint8Array(8);
  const check = { transaction: TRANSACTION, username, priority: 1, tieBreaker, useCandidate };
  return writeBindingRequest(check, key, hmac);
}

function feed(ice: IceLite, datagram: Uint8Array, path: string, now: number): IceReply {
  const message = readStun(datagram);
  if (message === null) throw new Error("not parsed");
  return ice.handle(datagram, message, FROM, path, now);
}

const check = (ice: IceLite, now: number, options: Check = {}) =>
  feed(ice, request(options), options.path ?? "a", now);

const open = () => new IceLite(LOCAL, "peer", hmac, 0);

describe("checks", () => {
  test("the first authenticated check is answered with its address and selects the path", () => {
    const ice = open();
    const reply = check(ice, 10);
    if (reply.kind !== "selected") throw new Error(reply.kind);
    const answer = readStun(reply.bytes);
    expect(answer).toMatchObject({ type: BINDING_SUCCESS, mappedAddress: FROM });
    expect(answer?.transaction).toEqual(TRANSACTION);
    expect(answer && integrityHolds(reply.bytes, answer, KEY, hmac)).toBe(true);
    expect(ice.connected).toBe(true);
  });

  test.each([
    ["another password", { key: new TextEncoder().encode("guessed") }],
    ["another session's ufrag", { username: "hub2:peer" }],
    ["another peer's ufrag", { username: "hub1:else" }],
    ["ufrags the wrong way round", { username: "peer:hub1" }],
    ["no username", { username: "" }],
  ])("silence for %s", (_name, options) => {
    const ice = open();
    expect(check(ice, 10, { ...options, useCandidate: true }).kind).toBe("silence");
    expect(ice.connected).toBe(false);
    expect(ice.deadline).toBe(FIRST_CHECK_TIMEOUT_MS);
  });

  test("silence for responses and for requests without integrity", () => {
    const ice = open();
    expect(feed(ice, writeBindingSuccess(TRANSACTION, FROM, KEY, hmac), "a", 1).kind).toBe(
      "silence",
    );
    expect(feed(ice, writeBindingError(TRANSACTION, 487, [], KEY, hmac), "a", 1).kind).toBe(
      "silence",
    );
    const bare = request({}).slice(0, -32);
    bare[3] = bare.length - 20;
    expect(feed(ice, bare, "a", 1).kind).toBe("silence");
  });

  test("an answer is never longer than its request", () => {
    const datagram = request({});
    const reply = feed(open(), datagram, "a", 1);
    expect(reply.kind === "selected" && reply.bytes.length <= datagram.length).toBe(true);
  });

  test("a peer that calls itself controlled is told of the conflict", () => {
    const datagram = authenticated([0x80, 0x29, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    const ice = open();
    const reply = feed(ice, datagram, "a", 1);
    expect(reply.kind === "answer" && readStun(reply.bytes)?.errorCode).toBe(487);
    expect(ice.connected).toBe(false);
  });

  test("an attribute that must be understood and is not is refused by name", () => {
    const reply = feed(open(), authenticated([0x00, 0x33, 0, 0]), "a", 1);
    expect(reply.kind === "answer" && readStun(reply.bytes)?.errorCode).toBe(420);
  });
});

describe("path", () => {
  test("moves only when nominated", () => {
    const ice = open();
    check(ice, 1);
    expect(check(ice, 2, { path: "b" }).kind).toBe("answer");
    expect(check(ice, 3, { path: "b", useCandidate: true }).kind).toBe("selected");
    expect(check(ice, 4, { path: "b", useCandidate: true }).kind).toBe("answer");
  });

  test("is not moved by a nomination that is not authentic", () => {
    const ice = open();
    check(ice, 1);
    const forged = { path: "b", useCandidate: true, key: new Uint8Array(3) };
    expect(check(ice, 2, forged).kind).toBe("silence");
    expect(check(ice, 3, { path: "a" }).kind).toBe("answer");
  });
});

describe("time", () => {
  test("without a check the session ends after 15 s", () => {
    expect(open().deadline).toBe(15_000);
  });

  test("each check on the path renews consent for 30 s", () => {
    const ice = open();
    for (let now = 0; now < 600_000; now += 2_500) {
      check(ice, now);
      expect(ice.deadline).toBe(now + CONSENT_TIMEOUT_MS);
    }
  });

  test("a check on another path is no consent for this one", () => {
    const ice = open();
    check(ice, 0);
    check(ice, 20_000, { path: "b" });
    expect(ice.deadline).toBe(30_000);
  });
});

/** A request with more attributes in front of its integrity check. */
function authenticated(attributes: readonly number[]): Uint8Array {
  const base = request({}).slice(0, -32);
  const b = new Uint8Array([...base, ...attributes, 0, 8, 0, 20, ...new Uint8Array(20)]);
  b[3] = b.length - 20;
  b.set(hmac(KEY, b.subarray(0, b.length - 24)), b.length - 20);
  return b;
}
