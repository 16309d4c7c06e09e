/**
 * The client's side of RTSP (RFC 2326): from a camera's address to packets.
 *
 * OPTIONS, DESCRIBE, SETUP of each wanted track, PLAY, then a sign of life every half session
 * timeout. One request is under way at a time. Packets on the connection go to the sink from the
 * first on, whether PLAY was answered or not. After every call the driver polls until it is told to
 * wait.
 *
 * @module
 */
import type { Engine, Output } from "../core/engine.ts";
import { assert, Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { AnswerCount, answerTo } from "./client-answer.ts";
import type { ClientEvent, ClientOptions } from "./client-event.ts";
import {
  nothingToForward,
  refused,
  sessionEnded,
  transportRefused,
  unanswered,
  unauthorized,
  unknownAuthentication,
} from "./client-fault.ts";
import { NO_SESSION, readSession } from "./client-session.ts";
import { Setup } from "./client-setup.ts";
import { wantedTransport } from "./client-track.ts";
import { Authorizer } from "./digest.ts";
import { type Field, type Message, type Request, type Response, writeRequest } from "./message.ts";
import { RtspReader } from "./reader.ts";
import { type Pair, writeTransport } from "./transport.ts";

/** Cameras answer within milliseconds, those that start an encoder for it within seconds. */
const REPLY_TIMEOUT_MS = 10_000;
/** Saying goodbye is a courtesy; closing must not wait for a camera that is gone. */
const TEARDOWN_TIMEOUT_MS = 500;

type Step =
  | { readonly kind: "options" }
  | { readonly kind: "describe" }
  | { readonly kind: "setup"; readonly index: number }
  | { readonly kind: "play" }
  | { readonly kind: "keepalive" };

/** A request that wants its response. */
interface Pending {
  readonly step: Step;
  readonly method: string;
  readonly uri: string;
  readonly fields: readonly Field[];
  /** Challenges answered for it. */
  readonly answers: number;
}

/** Each deadline is when time alone changes the state; while playing it is a keepalive's. */
type State =
  | { readonly at: "waiting"; readonly pending: Pending; readonly deadline: Millis }
  | { readonly at: "binding"; readonly index: number; readonly deadline: Millis }
  | { readonly at: "playing"; readonly deadline: Millis }
  | { readonly at: "closing"; readonly cseq: number; readonly deadline: Millis }
  | { readonly at: "ended" };

/** One connection's engine; asks for OPTIONS as soon as it is made. */
export class RtspClient implements Engine<ClientEvent> {
  readonly #options: ClientOptions;
  readonly #authorizer: Authorizer | null;
  readonly #reader: RtspReader;
  readonly #out: Output<ClientEvent>[] = [];
  #state: State = { at: "ended" };
  #now: Millis;
  /** When a packet last came on the connection. */
  #packetAt: Millis = Number.NEGATIVE_INFINITY;
  #cseq = 0;
  readonly #answers = new AnswerCount();
  /** The track whose SETUP comes next or is under way. */
  #settingUp = 0;
  #setup: Setup | null = null;
  #session = NO_SESSION;
  #keepaliveMethod: "GET_PARAMETER" | "OPTIONS" = "OPTIONS";

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#now = options.now;
    const { user, password } = options.address;
    const { hash, cnonce } = options;
    this.#authorizer =
      user === null || password === null ? null : new Authorizer({ user, password, hash, cnonce });
    this.#reader = new RtspReader(
      (channel, buffer, start, end) => {
        if (this.#state.at === "ended") return;
        this.#packetAt = this.#now;
        options.sink(channel, buffer, start, end);
      },
      (message) => this.#received(message),
    );
    this.#ask({ kind: "options" }, "OPTIONS", options.address.requestUri);
  }

  handle(bytes: Uint8Array | null, now: Millis): void {
    if (this.#state.at === "ended") return;
    this.#now = now;
    if (bytes !== null) this.#read(bytes);
    this.#checkTime();
  }

  poll(): Output<ClientEvent> {
    return this.#out.shift() ?? { kind: "wait", until: this.#deadline() };
  }

  /** True while a track after the first is being set up, and when that was the end of it. */
  get wantsMore(): boolean {
    return this.#settingUp > 0;
  }

  /** Packets of the tracks come over UDP: a sign of life like those on the connection. */
  heard(now: Millis): void {
    this.#packetAt = now;
  }

  /** Answers a `bind` event with the track's own ports. */
  bound(clientPort: Pair, now: Millis): void {
    const state = this.#state;
    if (state.at !== "binding") return;
    this.#now = now;
    this.#askSetup(state.index, clientPort);
  }

  /** Takes leave of the camera: `closed` follows, at the latest after half a second. */
  close(now: Millis): void {
    const { at } = this.#state;
    if (at === "ended" || at === "closing") return;
    this.#now = now;
    if (this.#session.id === null) {
      this.#end({ kind: "closed" });
      return;
    }
    this.#send("TEARDOWN", this.#described.aggregateUri, []);
    this.#state = { at: "closing", cseq: this.#cseq, deadline: now + TEARDOWN_TIMEOUT_MS };
  }

  #read(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const message = `${this.#options.address.label} broke the protocol: ${error.message}`;
      this.#fail(new Fault(error.code, message, { cause: error }));
    }
  }

  #received(message: Message): void {
    const { at } = this.#state;
    if (at === "ended") return;
    if (message.kind === "request") this.#answer(message);
    else this.#responded(message);
  }

  #answer(request: Request): void {
    const location = request.headers.get("Location");
    this.#out.push({ kind: "send", bytes: answerTo(request) });
    if (request.method === "REDIRECT" && location !== null) {
      this.#end({ kind: "redirected", location });
    }
  }

  #responded(response: Response): void {
    const state = this.#state;
    switch (state.at) {
      case "waiting":
        // One request is under way, so this is its response, whatever number it states.
        if (response.status < 200 || this.#isStale(response)) return;
        this.#settle(state.pending, response);
        return;
      case "closing":
        if (response.headers.get("CSeq") === String(state.cseq)) this.#end({ kind: "closed" });
        return;
      case "binding":
      case "playing":
      case "ended":
        // Nothing was asked: some cameras answer twice.
        return;
      default:
        state satisfies never;
    }
  }

  /** Some cameras answer twice: what came before the request was sent is no answer to it. */
  #isStale({ headers }: Response): boolean {
    if (this.#out.some(({ kind }) => kind === "send")) return true;
    return this.#answers.isStale(headers.get("CSeq"), this.#cseq);
  }

  #settle(pending: Pending, response: Response): void {
    const { status, headers } = response;
    const location = headers.get("Location");
    if (status === 401) this.#challenged(pending, headers.all("WWW-Authenticate"));
    else if (status >= 300 && status < 400 && location !== null) {
      this.#end({ kind: "redirected", location });
    } else this.#advance(pending, response);
  }

  /** Answers a challenge once for each request, and once more when only the nonce was too old. */
  #challenged(pending: Pending, values: readonly string[]): void {
    const { address } = this.#options;
    const challenge = this.#authorizer?.challenged(values);
    const stale = challenge?.scheme === "digest" && challenge.stale;
    const answersMax = stale ? 2 : 1;
    if (challenge === undefined) this.#fail(unauthorized(address));
    else if (challenge === null) this.#fail(unknownAuthentication(address, values));
    else if (pending.answers >= answersMax) this.#fail(unauthorized(address));
    else this.#await({ ...pending, answers: pending.answers + 1 });
  }

  #advance(pending: Pending, response: Response): void {
    const { step, method } = pending;
    const ok = response.status < 300;
    // Some cameras do not know OPTIONS; what they can do shows later.
    if (step.kind === "options") this.#onOptions(response);
    else if (step.kind === "keepalive") this.#onKeepalive(method, response);
    else if (!ok) this.#onRefusal(step, method, response);
    else if (step.kind === "describe") this.#onDescription(response);
    else if (step.kind === "setup") this.#onSetup(step.index, response);
    else this.#onPlay(response);
  }

  #onRefusal(step: Step, method: string, response: Response): void {
    const { address } = this.#options;
    if (step.kind !== "setup") this.#fail(refused(address, method, response));
    else if (step.index > 0) this.#prepare(step.index + 1);
    else if (response.status === 461) this.#otherTransport();
    else if (response.status === 404 && this.#described.distrustBase()) this.#prepare(0);
    else this.#fail(refused(address, method, response));
  }

  #otherTransport(): void {
    const { address, transport, mayFallBack } = this.#options;
    const fault = transportRefused(address, mayFallBack === true ? null : transport);
    if (this.#described.turn()) this.#prepare(0);
    else this.#fail(fault);
  }

  #onOptions(response: Response): void {
    const methods = response.headers.all("Public").join(",");
    if (/\bGET_PARAMETER\b/i.test(methods)) this.#keepaliveMethod = "GET_PARAMETER";
    const { requestUri } = this.#options.address;
    this.#ask({ kind: "describe" }, "DESCRIBE", requestUri, [["Accept", "application/sdp"]]);
  }

  #onDescription(response: Response): void {
    const { address } = this.#options;
    try {
      this.#setup = new Setup(response, this.#options);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#fail(new Fault(error.code, `${address.label}: ${error.message}`, { cause: error }));
      return;
    }
    if (this.#setup.tracks.length > 0) this.#prepare(0);
    else this.#fail(nothingToForward(address, this.#setup.description));
  }

  /** Sets up the track of this index, once there are ports for it where ports are needed. */
  #prepare(index: number): void {
    this.#settingUp = index % this.#described.tracks.length;
    if (index === this.#described.tracks.length) this.#askPlay();
    else if (this.#described.lower === "tcp") this.#askSetup(index, null);
    else {
      this.#state = { at: "binding", index, deadline: this.#now + this.#replyTimeoutMs };
      this.#tell({ kind: "bind", index });
    }
  }

  #askSetup(index: number, clientPort: Pair | null): void {
    const transport = writeTransport(wantedTransport(index, clientPort));
    const uri = this.#described.trackUri(index);
    this.#ask({ kind: "setup", index }, "SETUP", uri, [["Transport", transport]]);
  }

  #onSetup(index: number, response: Response): void {
    // Further tracks join the session of the first, whether their responses say so or not.
    this.#session = readSession(response.headers.get("Session"), this.#session);
    const agreed = this.#described.agree(index, response);
    // The video does not wait for an audio track that cannot be had.
    if (agreed || index > 0) this.#prepare(index + 1);
    else this.#otherTransport();
  }

  #askPlay(): void {
    const { agreed, aggregateUri } = this.#described;
    this.#tell({ kind: "tracks", tracks: agreed });
    this.#ask({ kind: "play" }, "PLAY", aggregateUri, [["Range", "npt=0.000-"]]);
  }

  #onPlay(response: Response): void {
    const session = response.headers.get("Session");
    if (this.#session.id !== null) this.#session = readSession(session, this.#session);
    this.#played();
  }

  #played(): void {
    this.#rest();
    this.#tell({ kind: "playing" });
  }

  /** Nothing to ask until the next keepalive. */
  #rest(): void {
    this.#state = { at: "playing", deadline: this.#now + this.#session.keepaliveMs };
  }

  #onKeepalive(method: string, { status }: Response): void {
    if (status === 454) {
      this.#fail(sessionEnded(this.#options.address));
      return;
    }
    // Any answer is a sign of life; some cameras list GET_PARAMETER and refuse it all the same.
    if (status >= 400 && method === "GET_PARAMETER") this.#keepaliveMethod = "OPTIONS";
    this.#rest();
  }

  get #described(): Setup {
    assert(this.#setup !== null, "tracks and sessions follow a description");
    return this.#setup;
  }

  get #replyTimeoutMs(): Millis {
    return this.#options.replyTimeoutMs ?? REPLY_TIMEOUT_MS;
  }

  #ask(step: Step, method: string, uri: string, fields: readonly Field[] = []): void {
    this.#await({ step, method, uri, fields, answers: 0 });
  }

  #await(pending: Pending): void {
    this.#send(pending.method, pending.uri, pending.fields);
    this.#state = { at: "waiting", pending, deadline: this.#now + this.#replyTimeoutMs };
  }

  #send(method: string, uri: string, fields: readonly Field[]): void {
    const authorization = this.#authorizer?.authorize(method, uri) ?? null;
    const all: Field[] = [
      ["CSeq", String(++this.#cseq)],
      ["User-Agent", "onepull"],
    ];
    if (this.#session.id !== null) all.push(["Session", this.#session.id]);
    if (authorization !== null) all.push(["Authorization", authorization]);
    this.#out.push({ kind: "send", bytes: writeRequest(method, uri, [...all, ...fields]) });
  }

  #deadline(): Millis {
    return this.#state.at === "ended" ? Number.POSITIVE_INFINITY : this.#state.deadline;
  }

  #checkTime(): void {
    const state = this.#state;
    if (this.#now < this.#deadline()) return;
    switch (state.at) {
      case "waiting":
        this.#unanswered(state.pending, state.deadline);
        return;
      case "binding":
        this.#fail(new Fault("internal", "no UDP ports were bound for a camera"));
        return;
      case "playing":
        this.#ask({ kind: "keepalive" }, this.#keepaliveMethod, this.#described.aggregateUri);
        return;
      case "closing":
        this.#end({ kind: "closed" });
        return;
      case "ended":
        return;
      default:
        state satisfies never;
    }
  }

  #unanswered({ step, method }: Pending, deadline: Millis): void {
    // Some cameras answer nothing while they send; what they send is an answer as well.
    const sends = this.#packetAt >= deadline - this.#replyTimeoutMs;
    if (sends && step.kind === "keepalive") this.#rest();
    else if (sends && step.kind === "play") this.#played();
    else this.#fail(unanswered(this.#options.address, method, this.#replyTimeoutMs));
  }

  #fail(fault: Fault): void {
    this.#end({ kind: "failed", fault });
  }

  /** Once: what is left of a chunk may be broken after a message that was the end. */
  #end(event: ClientEvent): void {
    if (this.#state.at === "ended") return;
    this.#state = { at: "ended" };
    this.#tell(event);
  }

  #tell(event: ClientEvent): void {
    this.#out.push({ kind: "event", event });
  }
}
