/**
 * Who subscribes to what. A topic may be asked for in several spellings, each of which has to be
 * sent as it was asked for: ZeroMQ compares bytes.
 *
 * @module
 */
import { Fault, faultOf } from "../core/fault.ts";
import type { BusStats, TopicDemand } from "../process/protocol.ts";
import { parseTopic, topicText } from "./topic.ts";

/** Each is a picture to scale: a client may not ask for more work than a machine has. */
const TOPICS_PER_CAMERA_MAX = 8;
/** Bounds what subscriptions can make the bus keep, whatever their spelling. */
const SPELLINGS_MAX = 4_096;

/** One topic in one spelling. */
export interface Spelling {
  /** What messages begin with, without the NUL. */
  readonly text: string;
  readonly bytes: Uint8Array;
  subscribers: number;
}

interface Wanted {
  readonly camera: string;
  readonly spellings: Map<string, Spelling>;
  sent: number;
  dropped: number;
}

export class Subscriptions {
  /** By canonical topic. */
  readonly #topics = new Map<string, Wanted>();
  #spellings = 0;

  /**
   * Somebody asks for a topic.
   *
   * @throws Fault `request_invalid`, `limit_reached`
   */
  add(text: string): void {
    const topic = parseTopic(text);
    const name = topicText(topic);
    const known = this.#topics.get(name)?.spellings.get(text);
    if (known) {
      known.subscribers++;
      return;
    }
    if (this.#spellings >= SPELLINGS_MAX) {
      throw new Fault("limit_reached", `The frame bus serves ${SPELLINGS_MAX} topics at most.`);
    }
    const wanted = this.#topics.get(name) ?? this.#open(name, topic.camera);
    const bytes = new TextEncoder().encode(text);
    wanted.spellings.set(text, { text, bytes, subscribers: 1 });
    this.#spellings++;
  }

  /** Somebody no longer asks. False when the subscription was refused, and changes nothing. */
  remove(text: string): boolean {
    const name = canonical(text);
    const wanted = name === null ? undefined : this.#topics.get(name);
    const spelling = wanted?.spellings.get(text);
    if (name === null || !wanted || !spelling) return false;
    spelling.subscribers--;
    if (spelling.subscribers > 0) return true;
    wanted.spellings.delete(text);
    this.#spellings--;
    if (wanted.spellings.size === 0) this.#topics.delete(name);
    return true;
  }

  /** The spellings in which a topic is wanted; empty when nobody does. */
  spellings(topic: string): Iterable<Spelling> {
    return this.#topics.get(topic)?.spellings.values() ?? [];
  }

  /** A message went out under the topic, or did not. */
  count(topic: string, sent: boolean): void {
    const wanted = this.#topics.get(topic);
    if (!wanted) return;
    if (sent) wanted.sent++;
    else wanted.dropped++;
  }

  demand(): TopicDemand[] {
    return [...this.#topics].map(([topic, wanted]) => {
      return { topic, subscribers: subscribersOf(wanted) };
    });
  }

  stats(): BusStats["topics"] {
    return [...this.#topics].map(([topic, wanted]) => {
      const { sent, dropped } = wanted;
      return { topic, subscribers: subscribersOf(wanted), sent, dropped };
    });
  }

  #open(name: string, camera: string): Wanted {
    let others = 0;
    for (const wanted of this.#topics.values()) if (wanted.camera === camera) others++;
    if (others >= TOPICS_PER_CAMERA_MAX) {
      const message = `No frames for ${name}: ${others} other sizes of ${camera} are subscribed to already.`;
      throw new Fault("limit_reached", message);
    }
    const wanted = { camera, spellings: new Map(), sent: 0, dropped: 0 };
    this.#topics.set(name, wanted);
    return wanted;
  }
}

function subscribersOf(wanted: Wanted): number {
  let subscribers = 0;
  for (const spelling of wanted.spellings.values()) subscribers += spelling.subscribers;
  return subscribers;
}

/** `null` for what `add` refused. */
function canonical(text: string): string | null {
  try {
    return topicText(parseTopic(text));
  } catch (thrown) {
    if (faultOf(thrown).code === "request_invalid") return null;
    throw thrown;
  }
}
