/**
 * Where pictures leave a decode process: into a ring file each (ring-file.ts), and a message about
 * it to the bus process. Nothing here waits: when the bus does not keep up, or is restarting,
 * messages are lost and the next picture's goes out.
 *
 * @module
 */
import { assert } from "../core/fault.ts";
import { monotonicMs } from "../native/clock.ts";
import { ZmqContext, type ZmqSocket } from "../native/zmq.ts";
import type { FrameFacts, FrameFormat, FrameSink } from "../stream/sinks.ts";
import { HEAD_BYTES_MAX, writeMessage } from "./header.ts";
import { RingFile } from "./ring-file.ts";
import { type FrameTopic, topicText, WIDTH_DEFAULT } from "./topic.ts";

/** Two pictures of each camera of a group: more would be pictures of the past. */
const QUEUE_MESSAGES_MAX = 16;

export interface PublisherOptions {
  /** The bus's intake, a ZeroMQ endpoint. */
  readonly intake: string;
  /** Where ring files go, on tmpfs. */
  readonly folder: string;
}

export class FramePublisher implements Disposable {
  /** Messages that the bus did not take. */
  lost = 0;
  readonly #context = new ZmqContext();
  readonly #socket: ZmqSocket;
  readonly #folder: string;
  /** One message at a time: ZeroMQ copies it. */
  readonly #message = new Uint8Array(HEAD_BYTES_MAX);

  /** @throws Fault `native_unavailable`, `config_invalid` */
  constructor(options: PublisherOptions) {
    this.#folder = options.folder;
    this.#socket = this.#context.open("push", {
      sendHighWater: QUEUE_MESSAGES_MAX,
      immediate: true,
    });
    this.#socket.connect(options.intake);
  }

  /** A sink for one camera in one format; whoever asks closes it. */
  openSink(camera: string, format: FrameFormat): FrameSink {
    const topic = { camera, format };
    return new RingSink(topic, this.#folder, (name, facts, ring) => {
      const place = ring.end();
      const length = writeMessage(this.#message, name, topic, facts, place);
      if (!this.#socket.send(this.#message, length)) this.lost++;
    });
  }

  /** Idempotent. Sinks that are still open lose their pictures. */
  close(): void {
    this.#context.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

type Publish = (name: string, facts: FrameFacts, ring: RingFile) => void;

class RingSink implements FrameSink {
  readonly #name: string;
  readonly #file: string;
  readonly #folder: string;
  readonly #publish: Publish;
  #ring: RingFile | null = null;

  constructor(topic: FrameTopic, folder: string, publish: Publish) {
    this.#name = topicText(topic);
    this.#file = fileName(topic);
    this.#folder = folder;
    this.#publish = publish;
  }

  claim(width: number, height: number): Uint8Array {
    const ring = this.#ring;
    if (ring?.width === width && ring.height === height) return ring.begin();
    const [folder, name, now] = [this.#folder, this.#file, monotonicMs()];
    this.#ring = new RingFile({ folder, name, width, height, now });
    ring?.close();
    return this.#ring.begin();
  }

  publish(facts: FrameFacts): void {
    assert(this.#ring !== null, "a picture is published after it was claimed");
    this.#publish(this.#name, facts, this.#ring);
  }

  close(): void {
    this.#ring?.close();
    this.#ring = null;
  }
}

/** `lobby.shm`, or `lobby.shm.1280` for another width. */
function fileName({ camera, format }: FrameTopic): string {
  const name = `${camera}.${format.kind}`;
  return format.width === WIDTH_DEFAULT ? name : `${name}.${format.width}`;
}
