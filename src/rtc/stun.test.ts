import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import fc from "fast-check";
import { addressBytes, addressText } from "./address.ts";
import {
  BINDING_ERROR,
  BINDING_REQUEST,
  BINDING_SUCCESS,
  type HmacSha1,
  integrityHolds,
  looksLikeStun,
  readStun,
  type StunMessage,
  writeBindingError,
  writeBindingRequest,
  writeBindingSuccess,
} from "./stun.ts";

const hmac: HmacSha1 = (key, data) => createHmac("sha1", key).update(data).digest();
const bytes = (hex: string) => Uint8Array.fromHex(hex.replaceAll(/\s/g, ""));
const text = (value: string) => new TextEncoder().encode(value);

/** RFC 5769 sections 2.1 to 2.3, password included. */
const PASSWORD = text("VOkJxbRl1RmTxUk/WvJxBt");
const REQUEST = bytes(`
  00010058 2112a442 b7e7a701bc34d686fa87dfae
  80220010 5354554e207465737420636c69656e74 00240004 6e0001ff 80290008 932ff9b151263b36
  00060009 6576746a3a68367659202020 00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
  80280004 e57a3bcf`);
const RESPONSE_IPV4 = bytes(`
  0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
  00200008 0001a147e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7
  80280004 c07d4c96`);
const RESPONSE_IPV6 = bytes(`
  01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
  00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
  00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c`);

function parsed(datagram: Uint8Array): StunMessage {
  const message = readStun(datagram);
  if (message === null) throw new Error("not parsed");
  return message;
}

describe("RFC 5769 vectors", () => {
  test("request", () => {
    const message = parsed(REQUEST);
    expect(message).toMatchObject({ type: BINDING_REQUEST, username: "evtj:h6vY", unknown: [] });
    expect(message.controlled).toBe(true);
    expect(integrityHolds(REQUEST, message, PASSWORD, hmac)).toBe(true);
    expect(integrityHolds(REQUEST, message, text("another"), hmac)).toBe(false);
  });

  test.each([
    ["IPv4", RESPONSE_IPV4, "192.0.2.1"],
    ["IPv6", RESPONSE_IPV6, "2001:db8:1234:5678:11:2233:4455:6677"],
  ])("response with %s", (_name, datagram, address) => {
    const message = parsed(datagram);
    expect(message.type).toBe(BINDING_SUCCESS);
    expect(message.mappedAddress).toEqual({ address, port: 32_853 });
    expect(integrityHolds(datagram, message, PASSWORD, hmac)).toBe(true);
  });
});

describe("what is written is read", () => {
  const transaction = Uint8Array.from({ length: 12 }, (_, i) => i);

  test.each(["192.0.2.77", "2001:db8::5"])("success for %s", (address) => {
    const written = writeBindingSuccess(transaction, { address, port: 5004 }, PASSWORD, hmac);
    const message = parsed(written);
    expect(message.transaction).toEqual(transaction);
    expect(message.mappedAddress?.port).toBe(5004);
    const mapped = message.mappedAddress?.address ?? "";
    expect(addressBytes(mapped)).toEqual(addressBytes(address));
    expect(integrityHolds(written, message, PASSWORD, hmac)).toBe(true);
  });

  test("error with unknown attributes", () => {
    const written = writeBindingError(transaction, 420, [0x30, 0x31, 0x32], PASSWORD, hmac);
    expect(parsed(written)).toMatchObject({ type: BINDING_ERROR, errorCode: 420 });
    expect(integrityHolds(written, parsed(written), PASSWORD, hmac)).toBe(true);
  });

  test.each([true, false])("request, nominating: %p", (useCandidate) => {
    const check = {
      transaction,
      username: "hub:viewer",
      priority: 1,
      tieBreaker: new Uint8Array(8),
      useCandidate,
    };
    const written = writeBindingRequest(check, PASSWORD, hmac);
    const message = parsed(written);
    expect(message).toMatchObject({ username: "hub:viewer", useCandidate, controlled: false });
    expect(integrityHolds(written, message, PASSWORD, hmac)).toBe(true);
  });
});

describe("hostile datagrams", () => {
  test("every truncation is refused", () => {
    for (let end = 0; end < REQUEST.length; end++) {
      expect(readStun(REQUEST.subarray(0, end))).toBeNull();
    }
  });

  test("every flipped bit is refused, or breaks the integrity", () => {
    const covered = REQUEST.length - 8;
    for (let bit = 0; bit < covered * 8; bit++) {
      const bent = REQUEST.slice();
      bent[bit >> 3]! ^= 1 << (bit & 7);
      const message = readStun(bent);
      if (message !== null) {
        expect(integrityHolds(bent, message, PASSWORD, hmac)).toBe(false);
      }
    }
  });

  test("attributes behind the integrity check do not count", () => {
    const end = REQUEST.length - 8;
    const bent = new Uint8Array(end + 4);
    bent.set(REQUEST.subarray(0, end));
    bent.set([0x00, 0x25, 0, 0], end);
    bent[3] = bent.length - 20;
    expect(readStun(bent)?.useCandidate).toBe(false);
  });

  test("attributes that must be understood are named", () => {
    const attribute = bytes("7777000401020304");
    const header = bytes("000100082112a442b7e7a701bc34d686fa87dfae");
    expect(parsed(new Uint8Array([...header, ...attribute])).unknown).toEqual([0x7777]);
  });

  test("junk is parsed or refused, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (junk) => {
        const datagram = new Uint8Array(20 + (junk.length & ~3));
        datagram.set(junk.subarray(0, datagram.length - 20), 20);
        datagram.set(REQUEST.subarray(0, 20));
        datagram[2] = (datagram.length - 20) >> 8;
        datagram[3] = datagram.length - 20;
        const message = readStun(datagram);
        if (message) integrityHolds(datagram, message, PASSWORD, hmac);
        readStun(junk);
        expect(looksLikeStun(datagram)).toBe(true);
      }),
    );
  });
});

describe("addresses", () => {
  test.each([
    ["127.0.0.1", "7f000001"],
    ["::", "00000000000000000000000000000000"],
    ["::1", "00000000000000000000000000000001"],
    ["2001:db8::", "20010db8000000000000000000000000"],
    ["2001:db8::1:2", "20010db8000000000000000000010002"],
    ["::ffff:10.0.0.1", "00000000000000000000ffff0a000001"],
    ["fe80::1%eth0", "fe800000000000000000000000000001"],
  ])("%s", (address, hex) => {
    expect(addressBytes(address)?.toHex()).toBe(hex);
  });

  test.each(["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "::1::", "1:2:3", "12345::", "g::", ":", "a"])(
    "%p is none",
    (address) => {
      expect(addressBytes(address)).toBeNull();
    },
  );

  test("text of bytes is read back", () => {
    const ip = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    fc.assert(fc.property(ip, (b) => expect(addressBytes(addressText(b))).toEqual(b)));
  });
});
