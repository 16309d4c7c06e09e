/**
 * The frame bus's one stable address: workers subscribe here, decode processes deliver here. A
 * subscription is a request, which the hub hears of as demand; a message goes out under the topic
 * as it was asked for. Pictures in shared memory do not pass through here, only words about them.
 *
 * @module
 */
import { chmodSync } from "node:fs";
import { type Fault, faultOf } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { monotonicMs } from "../native/clock.ts";
import { ZmqContext, ZmqPoller, type ZmqSocket } from "../native/zmq.ts";
import type { BusStats, TopicDemand } from "../process/protocol.ts";
import type { Log } from "../telemetry/log.ts";
import { HEAD_BYTES_MAX } from "./header.ts";
import { Subscriptions } from "./subscriptions.ts";
import { TOPIC_BYTES_MAX } from "./topic.ts";

/**
 * Messages that wait for one subscriber. One that conflates takes them at once; one that stopped
 * costs this many, of half a kilobyte each.
 */
const SUBSCRIBER_MESSAGES_MAX = 32;
/** Eight decode processes with two pictures of eight cameras each. */
const INTAKE_MESSAGES_MAX = 128;
/** After so many of one kind the other is looked at. */
const BATCH_MESSAGES_MAX = 64;
/** How long one turn blocks: what the process hears from the hub waits for so long. */
const TURN_MS: Millis = 20;
/** A client that asks for nonsense in a loop does not fill the log. */
const REFUSAL_LOG_INTERVAL_MS: Millis = 1_000;

/** Workers of the same group may connect. */
const SUBSCRIBERS_MODE = 0o660;
/** Only the hub's own processes deliver. */
const INTAKE_MODE = 0o600;

const NUL = 0;

export interface BusOptions {
  /** Where workers connect, ZeroMQ endpoints; `tcp://127.0.0.1:*` lets the system choose. */
  readonly endpoints: readonly string[];
  /** Where decode processes deliver. */
  readonly intake: string;
  /** All topics that anyone subscribes to, in canonical spelling, whenever that changes. */
  readonly demand: (topics: TopicDemand[]) => void;
  readonly log: Log;
}

export class FrameBus implements Disposable {
  /** Where it listens, with the ports that the system chose. */
  readonly endpoints: readonly string[];
  readonly intake: string;
  /** Messages that came from decode processes and were none. */
  malformed = 0;

  readonly #options: BusOptions;
  readonly #context = new ZmqContext();
  readonly #subscribers: ZmqSocket;
  readonly #intake: ZmqSocket;
  readonly #poller: ZmqPoller;
  readonly #subscriptions = new Subscriptions();
  /** A message as it came; one that is longer is none of ours. */
  readonly #message = new Uint8Array(HEAD_BYTES_MAX);
  /** The same under another spelling of its topic. */
  readonly #respelled = new Uint8Array(TOPIC_BYTES_MAX + HEAD_BYTES_MAX);
  readonly #subscription = new Uint8Array(1 + TOPIC_BYTES_MAX + 1);
  readonly #decoder = new TextDecoder();
  #changed = false;
  #refused = 0;
  #refusalLoggedAt: Millis = Number.NEGATIVE_INFINITY;

  /**
   * Listens everywhere at once.
   *
   * @throws Fault `port_taken`, `config_invalid`, `native_unavailable`
   */
  constructor(options: BusOptions) {
    this.#options = options;
    this.#subscribers = this.#context.open("xpub", {
      everySubscription: true,
      sendHighWater: SUBSCRIBER_MESSAGES_MAX,
      messageBytesMax: TOPIC_BYTES_MAX * 2,
    });
    this.#intake = this.#context.open("pull", { receiveHighWater: INTAKE_MESSAGES_MAX });
    try {
      this.intake = listen(this.#intake, options.intake, INTAKE_MODE);
      this.endpoints = options.endpoints.map((endpoint) =>
        listen(this.#subscribers, endpoint, SUBSCRIBERS_MODE),
      );
    } catch (thrown) {
      this.#context.close();
      throw thrown;
    }
    this.#poller = new ZmqPoller([this.#subscribers, this.#intake]);
  }

  /** Serves until `signal`, with the event loop in between. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.turn(TURN_MS);
      await new Promise(setImmediate);
    }
  }

  /** Serves for so long, blocking the thread; ends earlier when the hub has to hear of demand. */
  turn(timeoutMs: Millis): void {
    const deadline = monotonicMs() + timeoutMs;
    for (let left = timeoutMs; left >= 0 && !this.#changed; left = deadline - monotonicMs()) {
      if (!this.#poller.wait(Math.ceil(left))) continue;
      if (this.#poller.readable(0)) this.#takeSubscriptions();
      if (this.#poller.readable(1)) this.#takeFrames();
    }
    if (!this.#changed) return;
    this.#changed = false;
    this.#options.demand(this.#subscriptions.demand());
  }

  topics(): BusStats["topics"] {
    return this.#subscriptions.stats();
  }

  /** Ends every connection. Idempotent. */
  close(): void {
    this.#context.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #takeSubscriptions(): void {
    for (let i = 0; i < BATCH_MESSAGES_MAX; i++) {
      const length = this.#subscribers.receive(this.#subscription);
      if (length < 0) return;
      // A subscriber may send anything; what is too long was no topic and is refused as it is cut.
      const end = Math.min(length, this.#subscription.length);
      if (length > 0) this.#takeSubscription(this.#subscription[0] === 1, end);
    }
  }

  #takeSubscription(begins: boolean, end: number): void {
    const ended = this.#subscription[end - 1] === NUL && end > 1;
    const text = this.#decoder.decode(this.#subscription.subarray(1, ended ? end - 1 : end));
    if (!begins) {
      this.#changed = this.#subscriptions.remove(text) || this.#changed;
      return;
    }
    try {
      this.#subscriptions.add(text);
      this.#changed = true;
    } catch (thrown) {
      this.#refuse(faultOf(thrown));
    }
  }

  /** The subscriber stays connected, and gets what others asked for in its name: nothing. */
  #refuse(fault: Fault): void {
    this.#refused++;
    const now = monotonicMs();
    if (now < this.#refusalLoggedAt + REFUSAL_LOG_INTERVAL_MS) return;
    this.#refusalLoggedAt = now;
    this.#options.log.warn(fault.message, { code: fault.code, count: this.#refused });
    this.#refused = 0;
  }

  #takeFrames(): void {
    for (let i = 0; i < BATCH_MESSAGES_MAX; i++) {
      const length = this.#intake.receive(this.#message);
      if (length < 0) return;
      this.#forward(length);
    }
  }

  #forward(length: number): void {
    const nul = this.#message.indexOf(NUL);
    if (length > this.#message.length || nul < 0 || nul >= Math.min(length, TOPIC_BYTES_MAX)) {
      this.malformed++;
      return;
    }
    const topic = this.#decoder.decode(this.#message.subarray(0, nul));
    for (const spelling of this.#subscriptions.spellings(topic)) {
      const sent =
        spelling.text === topic
          ? this.#subscribers.send(this.#message, length)
          : this.#sendAs(spelling.bytes, nul, length);
      this.#subscriptions.count(topic, sent);
    }
  }

  #sendAs(name: Uint8Array, nul: number, length: number): boolean {
    this.#respelled.set(name);
    this.#respelled.set(this.#message.subarray(nul, length), name.length);
    return this.#subscribers.send(this.#respelled, name.length + length - nul);
  }
}

/** Listens, and lets in whom `mode` says when the endpoint is a file. */
function listen(socket: ZmqSocket, endpoint: string, mode: number): string {
  const bound = socket.bind(endpoint);
  const file = /^ipc:\/\/(\/.*)$/.exec(bound)?.[1];
  if (file !== undefined) chmodSync(file, mode);
  return bound;
}
