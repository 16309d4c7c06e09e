import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monotonicMs } from "../native/clock.ts";
import { ZmqContext, type ZmqOptions, ZmqPoller, type ZmqSocket } from "../native/zmq.ts";
import type { TopicDemand } from "../process/protocol.ts";
import type { FrameFacts, FrameFormat } from "../stream/sinks.ts";
import { Log } from "../telemetry/log.ts";
import { FrameBus } from "./bus.ts";
import { type FrameMessage, readMessage } from "./header.ts";
import { FramePublisher } from "./publisher.ts";

const PATIENCE_MS = 5_000;

let folder = "";
let stack = new DisposableStack();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bus-"));
  stack = new DisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
});
afterEach(() => stack.dispose());

function openBus() {
  const demands: TopicDemand[][] = [];
  const lines: string[] = [];
  const bus = stack.use(
    new FrameBus({
      endpoints: [`ipc://${join(folder, "frames")}`, "tcp://127.0.0.1:*"],
      intake: `ipc://${join(folder, "intake")}`,
      demand: (topics) => demands.push(topics),
      log: new Log({ level: "warn", format: "text", write: (line) => lines.push(line) }, {}),
    }),
  );
  return { bus, demands, lines };
}

/** Connected: what it publishes before that is lost. */
function openPublisher(bus: FrameBus): FramePublisher {
  const intake = `ipc://${join(folder, "intake")}`;
  const publisher = stack.use(new FramePublisher({ intake, folder: join(folder, "shm") }));
  const sink = publisher.openSink("warm-up", SHM);
  serve(bus, () => {
    const lost = publisher.lost;
    sink.claim(16, 4);
    sink.publish(facts(0));
    return publisher.lost === lost;
  });
  sink.close();
  publisher.lost = 0;
  return publisher;
}

function subscribe(bus: FrameBus, prefix: string, options: ZmqOptions = {}, endpoint = 0) {
  const context = stack.use(new ZmqContext());
  const socket = context.open("sub", options);
  socket.subscribe(new TextEncoder().encode(prefix));
  socket.connect(bus.endpoints[endpoint] ?? "");
  return { context, socket };
}

/** Lets the bus serve until something is so. */
function serve(bus: FrameBus, condition: () => boolean): void {
  const deadline = monotonicMs() + PATIENCE_MS;
  while (!condition()) {
    if (monotonicMs() > deadline) throw new Error("did not happen in time");
    bus.turn(5);
  }
}

const inbox = new Uint8Array(8192);
function receive(socket: ZmqSocket): FrameMessage | null {
  const length = socket.receive(inbox);
  return length < 0 ? null : readMessage(inbox.slice(0, length));
}

/** The next message, while the bus serves. */
function next(bus: FrameBus, socket: ZmqSocket): FrameMessage {
  let message: FrameMessage | null = null;
  serve(bus, () => {
    message = receive(socket);
    return message !== null;
  });
  if (!message) throw new Error("no message");
  return message;
}

const SHM: FrameFormat = { kind: "shm", width: 640 };

function facts(sequence: number, over: Partial<FrameFacts> = {}): FrameFacts {
  return {
    sequence,
    width: 16,
    height: 4,
    stride: 48,
    timestamp: sequence * 3600,
    mediaTicks: sequence * 3600,
    captured: 1_788_000_000_000.25,
    capturedClock: "rtcp",
    decoded: 1_788_000_000_001.5,
    keyframe: false,
    damaged: false,
    droppedBefore: 0,
    ...over,
  };
}

describe("demand", () => {
  test("first subscription to last, summed over spellings, vanished peers included", () => {
    const { bus, demands } = openBus();
    const one = subscribe(bus, "lobby/shm\0");
    serve(bus, () => demands.length === 1);
    const two = subscribe(bus, "lobby/shm?width=640\0", {}, 1);
    serve(bus, () => demands.length === 2);
    const plain = subscribe(bus, "lobby/shm", { conflate: true });
    serve(bus, () => demands.length === 3);
    subscribe(bus, "gate/shm?width=320\0");
    serve(bus, () => demands.length === 4);
    for (const { context } of [one, two, plain]) context.close();
    serve(bus, () => demands.at(-1)?.length === 1);
    expect(demands.slice(0, 4)).toEqual([
      [{ topic: "lobby/shm", subscribers: 1 }],
      [{ topic: "lobby/shm", subscribers: 2 }],
      [{ topic: "lobby/shm", subscribers: 3 }],
      [
        { topic: "lobby/shm", subscribers: 3 },
        { topic: "gate/shm?width=320", subscribers: 1 },
      ],
    ]);
    expect(demands.at(-1)).toEqual([{ topic: "gate/shm?width=320", subscribers: 1 }]);
  });

  test("what is no topic is refused in words, costs nothing and disturbs nobody", () => {
    const { bus, demands, lines } = openBus();
    const odd = ["", "lobby", "lobby/jpeg\0", "lobby/shm?width=1\0", "\0", "x".repeat(300)];
    const refused = odd.map((prefix) => subscribe(bus, prefix));
    serve(bus, () => lines.length === 1);
    for (const { context } of refused) context.close();
    subscribe(bus, "lobby/shm\0");
    serve(bus, () => demands.length === 1);
    expect(demands).toEqual([[{ topic: "lobby/shm", subscribers: 1 }]]);
    expect(lines[0]).toContain("No frames for");
  });

  test("a camera is not asked for in ever more sizes", () => {
    const { bus, demands, lines } = openBus();
    const context = stack.use(new ZmqContext());
    const socket = context.open("sub", {});
    for (let width = 100; width < 120; width++) {
      socket.subscribe(new TextEncoder().encode(`lobby/shm?width=${width}\0`));
    }
    socket.connect(bus.endpoints[0] ?? "");
    serve(bus, () => lines.length === 1);
    expect(demands.at(-1)?.length ?? bus.topics().length).toBeLessThanOrEqual(8);
    subscribe(bus, "gate/shm\0");
    serve(bus, () => demands.at(-1)?.some(({ topic }) => topic === "gate/shm") === true);
    expect(bus.topics().length).toBe(9);
    expect(lines[0]).toContain("other sizes");
  });
});

describe("frames", () => {
  test("the message names the picture, and the picture is there", () => {
    const { bus, demands } = openBus();
    const publisher = openPublisher(bus);
    const sink = publisher.openSink("lobby", SHM);
    stack.defer(() => sink.close());
    const { socket } = subscribe(bus, "lobby/shm\0");
    serve(bus, () => demands.length === 1);
    sink.claim(16, 4).fill(77);
    sink.publish(facts(3));
    const { topic, header, payload } = next(bus, socket);
    expect(topic).toBe("lobby/shm");
    expect(payload.length).toBe(0);
    expect(header).toMatchObject({
      camera: "lobby",
      seq: 3,
      format: "shm",
      ptsNs: 120_000_000n,
      capturedAtNs: 1_788_000_000_000_250_000n,
      path: join(folder, "shm", "lobby.shm"),
      slot: 0,
      size: 16 * 4 * 3,
    });
    const file = Bun.mmap(header.path, { shared: true });
    expect(file.subarray(header.offset, header.offset + header.size).every((b) => b === 77)).toBe(
      true,
    );
    expect(bus.topics()).toEqual([{ topic: "lobby/shm", subscribers: 1, sent: 1, dropped: 0 }]);
    expect(publisher.lost).toBe(0);
  });

  test("each subscriber gets its camera and size, under the topic as it spelled it", () => {
    const { bus, demands } = openBus();
    const publisher = openPublisher(bus);
    const spellings = ["a/shm\0", "a/shm?width=640\0", "a/shm?width=320\0", "b/shm\0"];
    const subscribers = spellings.map((spelling) => subscribe(bus, spelling));
    serve(bus, () => bus.topics().reduce((sum, one) => sum + one.subscribers, 0) === 4);
    const sinks = [
      publisher.openSink("a", SHM),
      publisher.openSink("a", { kind: "shm", width: 320 }),
      publisher.openSink("b", SHM),
      publisher.openSink("nobody", SHM),
    ];
    for (const [i, sink] of sinks.entries()) {
      sink.claim(16, 4);
      sink.publish(facts(i));
    }
    const got = subscribers.map(({ socket }) => next(bus, socket));
    expect(got.map(({ topic }) => `${topic}\0`)).toEqual(spellings);
    expect(got.map(({ header }) => header.seq)).toEqual([0, 0, 1, 2]);
    bus.turn(5);
    expect(subscribers.map(({ socket }) => receive(socket))).toEqual([null, null, null, null]);
    expect(demands.length).toBeGreaterThan(0);
    expect(readdirSync(join(folder, "shm")).sort()).toEqual([
      "a.shm",
      "a.shm.320",
      "b.shm",
      "nobody.shm",
    ]);
    for (const sink of sinks) sink.close();
    expect(readdirSync(join(folder, "shm"))).toEqual([]);
  });

  test("a camera that changes its size gets a new file; readers of the old one find out", () => {
    const { bus, demands } = openBus();
    const sink = openPublisher(bus).openSink("a", SHM);
    stack.defer(() => sink.close());
    const { socket } = subscribe(bus, "a/shm\0");
    serve(bus, () => demands.length === 1);
    sink.claim(16, 4);
    sink.publish(facts(0));
    const before = next(bus, socket).header;
    sink.claim(32, 8).fill(5);
    sink.publish(facts(1, { width: 32, height: 8, stride: 96 }));
    const after = next(bus, socket).header;
    expect(after.path).toBe(before.path);
    expect(after.size).toBe(32 * 8 * 3);
    expect(after.generation).toBeGreaterThan(before.generation);
    expect(existsSync(after.path)).toBe(true);
  });

  test("junk from the intake is counted and goes nowhere", () => {
    const { bus, demands } = openBus();
    const { socket } = subscribe(bus, "a/shm\0");
    serve(bus, () => demands.length === 1);
    const push = stack.use(new ZmqContext()).open("push", {});
    push.connect(bus.intake);
    for (const length of [0, 10, 300, 5_000]) push.send(new Uint8Array(length).fill(65), length);
    serve(bus, () => bus.malformed === 4);
    expect(receive(socket)).toBeNull();
  });

  test("a subscriber that stopped costs bounded memory and delays nobody", () => {
    const { bus, demands } = openBus();
    const sink = openPublisher(bus).openSink("a", SHM);
    stack.defer(() => sink.close());
    const stopped = subscribe(bus, "a/shm\0", { receiveHighWater: 1 });
    const { socket } = subscribe(bus, "a/shm\0", { conflate: true });
    serve(bus, () => demands.at(-1)?.[0]?.subscribers === 2);
    const publish = (from: number, to: number) => {
      for (let i = from; i < to; i++) {
        sink.claim(16, 4);
        sink.publish(facts(i));
        bus.turn(0);
      }
    };
    publish(0, 5_000);
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    publish(5_000, 50_000);
    Bun.gc(true);
    expect(process.memoryUsage.rss() - before).toBeLessThan(30 << 20);
    serve(bus, () => (receive(socket)?.header.seq ?? 0) > 49_000);
    expect(receive(stopped.socket)).not.toBeNull();
  });
});

describe("life", () => {
  test("sockets are the hub's group's and the hub's own; everything goes with close", () => {
    const { bus } = openBus();
    expect(statSync(join(folder, "frames")).mode & 0o777).toBe(0o660);
    expect(statSync(join(folder, "intake")).mode & 0o777).toBe(0o600);
    expect(bus.endpoints[1]).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    bus.close();
    bus.close();
  });

  test("a bus that starts again finds its subscribers and publishers", () => {
    const first = openBus();
    const publisher = openPublisher(first.bus);
    const { socket } = subscribe(first.bus, "a/shm\0");
    serve(first.bus, () => first.demands.length === 1);
    const sink = publisher.openSink("a", SHM);
    stack.defer(() => sink.close());
    first.bus.close();
    const { bus, demands } = openBus();
    // ZeroMQ subscribes anew when its user next looks at the socket.
    serve(bus, () => receive(socket) === null && demands.length === 1);
    let sequence = 0;
    serve(bus, () => {
      sink.claim(16, 4);
      sink.publish(facts(sequence++));
      return receive(socket) !== null;
    });
  });

  test("run serves with the event loop in between, and ends with its signal", async () => {
    const { bus, demands } = openBus();
    const abort = new AbortController();
    const running = bus.run(abort.signal);
    const { socket } = subscribe(bus, "a/shm\0");
    const deadline = monotonicMs() + PATIENCE_MS;
    while (demands.length === 0 && monotonicMs() < deadline) await Bun.sleep(1);
    expect(demands).toEqual([[{ topic: "a/shm", subscribers: 1 }]]);
    const sink = openPublisher(bus).openSink("a", SHM);
    stack.defer(() => sink.close());
    const poller = new ZmqPoller([socket]);
    for (let i = 0; !poller.wait(0) && monotonicMs() < deadline; i++) {
      sink.claim(16, 4);
      sink.publish(facts(i));
      await Bun.sleep(1);
    }
    expect(receive(socket)?.topic).toBe("a/shm");
    abort.abort();
    await running;
  });
});
