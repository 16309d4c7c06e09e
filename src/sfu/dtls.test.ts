import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { DtlsClient } from "werift";
import type { MasterKeys } from "../rtc/srtp.ts";
import { createIdentity, type DtlsIdentity, DtlsPeer } from "./dtls.ts";

setDefaultTimeout(20_000);

const [HUB, OWN, OTHER] = await Promise.all([createIdentity(), createIdentity(), createIdentity()]);

type Outcome =
  | { readonly at: "connected"; readonly profile: number }
  | { readonly at: "failed"; readonly reason: string };

interface Setup {
  /** The client's certificate and key. */
  readonly client?: DtlsIdentity;
  readonly fingerprints?: readonly string[];
  readonly profiles?: (1 | 7)[];
  /** Sees each datagram of the client; what it returns arrives instead, in that order. */
  readonly bend?: (datagram: Buffer) => readonly Buffer[];
  /** Changes the client before it starts. */
  readonly prepare?: (client: DtlsClient) => void;
}

/** A hub's peer and werift's client, joined by two queues. */
class Pair {
  readonly outcome = Promise.withResolvers<Outcome>();
  readonly left = Promise.withResolvers<void>();
  hubLeft = false;
  readonly peer: DtlsPeer;
  readonly client: DtlsClient;
  hubKeys: { readonly local: MasterKeys; readonly remote: MasterKeys } | null = null;
  /** What the hub sent. */
  readonly sent: Buffer[] = [];

  constructor(setup: Setup) {
    const { client = OWN, fingerprints = [OWN.fingerprint], profiles = [7, 1] } = setup;
    const { bend = (datagram) => [datagram], prepare } = setup;
    const transport = {
      type: "udp",
      address: { address: "", family: "", port: 0 },
      closed: false,
      onData: (_datagram: Buffer) => {},
      send: async (datagram: Buffer) => {
        const arriving = bend(Buffer.from(datagram));
        setImmediate(() => {
          for (const one of arriving) this.peer.receive(one);
        });
      },
      close: async () => {},
    };
    this.peer = new DtlsPeer(HUB, fingerprints, {
      send: (datagram) => {
        const copy = Buffer.from(datagram);
        this.sent.push(copy);
        setImmediate(() => transport.onData(copy));
      },
      connected: (keys) => {
        this.hubKeys = keys;
        this.outcome.resolve({ at: "connected", profile: keys.local.profile });
      },
      failed: (reason) => this.outcome.resolve({ at: "failed", reason }),
      closed: () => {
        this.hubLeft = true;
        this.left.resolve();
      },
    });
    this.client = new DtlsClient({
      cert: client.certPem,
      key: client.keyPem,
      signatureHash: client.signatureHash,
      transport,
      srtpProfiles: profiles,
      extendedMasterSecret: true,
    });
    prepare?.(this.client);
    // A refused client repeats itself until the test ends it.
    this.client.connect().catch(() => {});
  }

  [Symbol.dispose](): void {
    this.peer.close();
    this.client.dtls.flight = Number.MAX_SAFE_INTEGER;
  }
}

/** Lets everything that is under way happen: both queues are emptied once a turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((done) => setImmediate(done));
}

/** Type of the first record's first handshake message, when in the clear. */
const messageType = (datagram: Buffer) =>
  datagram[0] === 22 && datagram.readUInt16BE(3) === 0 ? (datagram[13] ?? -1) : -1;
/** A handshake record under the new keys: the client's Finished. */
const isSealed = (datagram: Buffer) => datagram[0] === 22 && datagram.readUInt16BE(3) === 1;
const CLIENT_KEY_EXCHANGE = 16;

describe("handshake", () => {
  test.each([
    [[7, 1], 7],
    [[1, 7], 7],
    [[1], 1],
  ] as const)("client offers %p: profile %d", async (profiles, profile) => {
    using pair = new Pair({ profiles: [...profiles] });
    expect(await pair.outcome.promise).toEqual({ at: "connected", profile });
  });

  test("both sides have the same keys, crosswise", async () => {
    using pair = new Pair({});
    await pair.outcome.promise;
    const client = pair.client.extractSessionKeys(16, 12);
    expect(pair.hubKeys?.local.key.toHex()).toBe(client.remoteKey.toString("hex"));
    expect(pair.hubKeys?.remote.salt.toHex()).toBe(client.localSalt.toString("hex"));
  });

  test("one of several fingerprints is enough", async () => {
    using pair = new Pair({ fingerprints: [OTHER.fingerprint, OWN.fingerprint] });
    expect((await pair.outcome.promise).at).toBe("connected");
  });
});

describe("a client that is not the one in the offer", () => {
  test("stolen certificate, other key", async () => {
    using pair = new Pair({ client: { ...OWN, keyPem: OTHER.keyPem } });
    expect(await pair.outcome.promise).toEqual({
      at: "failed",
      reason: "the client does not own its certificate",
    });
  });

  test("own key, corrupt Finished", async () => {
    using pair = new Pair({
      prepare: ({ cipher }) => {
        const verifyData = cipher.verifyData.bind(cipher);
        cipher.verifyData = (log) => {
          const data = verifyData(log);
          data[0]! ^= 0xff;
          return data;
        };
      },
    });
    expect(await pair.outcome.promise).toEqual({
      at: "failed",
      reason: "the client saw another handshake",
    });
  });

  test("another certificate, its own key", async () => {
    using pair = new Pair({ client: OTHER });
    expect(await pair.outcome.promise).toEqual({
      at: "failed",
      reason: "the certificate is not the one in the offer",
    });
  });

  test("no proof at all", async () => {
    const finished = Promise.withResolvers<void>();
    using pair = new Pair({
      bend: (datagram) => {
        if (isSealed(datagram)) finished.resolve();
        return messageType(datagram) === 15 ? [] : [datagram];
      },
    });
    await finished.promise;
    await settle();
    expect(pair.hubKeys).toBeNull();
  });
});

describe("a bad network", () => {
  test("repeated messages do not change the keys", async () => {
    using pair = new Pair({ bend: (datagram) => [datagram, Buffer.from(datagram)] });
    expect((await pair.outcome.promise).at).toBe("connected");
  });

  test("messages in the wrong order are put right, at once", async () => {
    const late: Buffer[] = [];
    let flights = 0;
    using pair = new Pair({
      bend: (datagram) => {
        if (isSealed(datagram)) flights++;
        // The certificate arrives behind the key exchange.
        if (messageType(datagram) === 11) {
          late.push(datagram);
          return [];
        }
        return messageType(datagram) === CLIENT_KEY_EXCHANGE
          ? [datagram, ...late.splice(0)]
          : [datagram];
      },
    });
    expect((await pair.outcome.promise).at).toBe("connected");
    expect(flights).toBe(1);
  });

  test("a first hello that arrives late does not start anew", async () => {
    const hellos: Buffer[] = [];
    using pair = new Pair({
      bend: (datagram) => {
        if (messageType(datagram) !== 1) return [datagram, ...hellos];
        hellos.push(datagram);
        return [datagram, ...hellos];
      },
    });
    expect((await pair.outcome.promise).at).toBe("connected");
    const answers = pair.sent.map(messageType);
    expect(answers.lastIndexOf(3)).toBeLessThan(answers.indexOf(2));
  });

  test("the client's whole flight in one datagram, as browsers send it", async () => {
    const flight: Buffer[] = [];
    let arrivals = 0;
    using pair = new Pair({
      bend: (datagram) => {
        const ofFlight = [11, 16, 15, -1].includes(messageType(datagram));
        if (!ofFlight) return [datagram];
        flight.push(datagram);
        if (!isSealed(datagram)) return [];
        arrivals++;
        return [Buffer.concat(flight.splice(0))];
      },
    });
    expect((await pair.outcome.promise).at).toBe("connected");
    expect(arrivals).toBe(1);
  });

  test("a lost Finished is repeated with its whole flight", async () => {
    let lost = false;
    using pair = new Pair({
      bend: (datagram) => {
        if (!isSealed(datagram) || lost) return [datagram];
        lost = true;
        return [];
      },
    });
    expect((await pair.outcome.promise).at).toBe("connected");
  });
});

describe("forgeries by someone who knows the address", () => {
  const record = (type: number, body: readonly number[]) =>
    Buffer.from([type, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, body.length, ...body]);

  test("alerts in the clear end nothing", async () => {
    using pair = new Pair({
      bend: (datagram) => [record(21, [2, 40]), record(21, [1, 0]), record(77, [1]), datagram],
    });
    expect((await pair.outcome.promise).at).toBe("connected");
    for (const body of [[2, 40], [1, 0], []]) pair.peer.receive(record(21, body));
    const sealed = record(21, [...new Uint8Array(26)]);
    sealed[4] = 1;
    pair.peer.receive(sealed);
    await settle();
    expect(pair.hubLeft).toBe(false);
  });

  test("a ClientHello does not start anew", async () => {
    let hello: Buffer | null = null;
    using pair = new Pair({
      bend: (datagram) => {
        hello ??= datagram;
        return [datagram];
      },
    });
    await pair.outcome.promise;
    const before = pair.sent.length;
    pair.peer.receive(hello ?? Buffer.alloc(0));
    await settle();
    expect(pair.sent.length).toBe(before);
  });

  test("a flood ends the handshake", async () => {
    using pair = new Pair({ bend: () => [] });
    const junk = record(22, [11, 0, 0, 4, 0, 2, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]);
    for (let i = 0; i < 100; i++) pair.peer.receive(junk);
    expect((await pair.outcome.promise).at).toBe("failed");
  });

  test("cut and junk datagrams are no trouble", async () => {
    using pair = new Pair({
      bend: (datagram) => [
        datagram.subarray(0, 7),
        datagram.subarray(0, datagram.length - 1),
        Buffer.from([22]),
        datagram,
      ],
    });
    expect((await pair.outcome.promise).at).toBe("connected");
  });
});

describe("goodbye", () => {
  test("the client's is heard", async () => {
    using pair = new Pair({});
    await pair.outcome.promise;
    const { cipher, dtls } = pair.client;
    const header = { type: 21, version: 0xfefd, epoch: 1, sequenceNumber: 500 };
    const body = cipher.cipher.encrypt(1, Buffer.from([1, 0]), header);
    const prefix = Buffer.from([21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 1, 0xf4, 0, body.length]);
    expect(dtls.epoch).toBe(1);
    pair.peer.receive(Buffer.concat([prefix, body]));
    await pair.left.promise;
  });

  test("ours is heard by the client", async () => {
    using pair = new Pair({});
    await pair.outcome.promise;
    const heard = Promise.withResolvers<void>();
    pair.client.onClose.subscribe(() => heard.resolve());
    pair.peer.close();
    await heard.promise;
    const before = pair.sent.length;
    pair.peer.close();
    expect(pair.sent.length).toBe(before);
  });
});
