/**
 * The server's side of one RTSP connection (RFC 2326): what players and the hub itself connect to.
 *
 * The engine knows no streams. It asks its owner by events, and the owner answers, at once or later,
 * with `describe`, `setup`, `play` or `refuse`. Requests that come meanwhile wait their turn.
 * After every call the driver polls until it is told to wait.
 *
 * Packets do not pass through `poll`: the owner writes them to the connection itself, framed by
 * `writeInterleavedHeader`, once the response to PLAY is out. Responses go between whole packets.
 *
 * @module
 */
import type { Engine, Output } from "../core/engine.ts";
import { assert, Fault } from "../core/fault.ts";
import type { Millis } from "../core/units.ts";
import { Challenger } from "./challenger.ts";
import { type Field, type Message, type Request, writeResponse } from "./message.ts";
import { RtspReader } from "./reader.ts";
import type { ServerEvent, ServerOptions } from "./server-event.ts";
import {
  acceptsSdp,
  agreedTransport,
  chooseTransport,
  objectionTo,
  placeOf,
  type Refusal,
  SERVED_METHODS,
  servedMethod,
  type TrackAnswer,
  trackPlaceOf,
} from "./server-request.ts";
import { ServerSession, type TrackStart } from "./server-session.ts";
import { writeTransport } from "./transport.ts";

/** RFC 2326 section 12.37: a session without a sign of life for this long is over. */
export const SESSION_TIMEOUT_MS = 60_000;
/** An owner that takes longer to answer has lost the question; the client gives up around then too. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Clients wait for each response; only a flood has more of them under way. */
const QUEUED_REQUESTS_MAX = 16;
/** Wrong passwords on one connection, before it is closed: guessing shall cost a handshake each. */
const DENIALS_MAX = 5;

/** Events that want an answer. */
type Question = Extract<ServerEvent, { readonly kind: "describe" | "setup" | "play" }>;

type State =
  | { readonly at: "ready" }
  | {
      readonly at: "asking";
      readonly request: Request;
      readonly question: Question;
      readonly deadline: Millis;
    }
  | { readonly at: "closed" };

/** One connection's engine. */
export class ServerConnection implements Engine<ServerEvent> {
  readonly #options: ServerOptions;
  readonly #challenger: Challenger | null;
  readonly #reader: RtspReader;
  readonly #out: Output<ServerEvent>[] = [];
  readonly #queue: Request[] = [];
  #state: State = { at: "ready" };
  #session: ServerSession | null = null;
  /** The address of the last description given. */
  #described: string | null = null;
  #now: Millis;
  #aliveAt: Millis;
  #denials = 0;
  #user: string | null = null;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#now = options.now;
    this.#aliveAt = options.now;
    const { authentication, token } = options;
    this.#challenger = authentication ? new Challenger({ ...authentication, nonce: token }) : null;
    this.#reader = new RtspReader(
      (channel, buffer, start, end) => {
        this.#aliveAt = this.#now;
        options.sink(channel, buffer, start, end);
      },
      (message) => this.#received(message),
    );
  }

  handle(bytes: Uint8Array | null, now: Millis): void {
    if (this.#state.at === "closed") return;
    this.#now = now;
    if (bytes !== null) this.#read(bytes);
    this.#serve();
    this.#checkTime();
  }

  poll(): Output<ServerEvent> {
    return this.#out.shift() ?? { kind: "wait", until: this.#deadline() };
  }

  /** Receiver reports arrived over UDP: a sign of life that the connection does not see. */
  alive(now: Millis): void {
    this.#aliveAt = now;
  }

  /** Answers a `describe` event with the stream's description (see writeSdp). */
  describe(sdp: string): void {
    const asked = this.#answered("describe");
    if (asked === null) return;
    const { uri } = asked.request;
    this.#described = uri;
    const base: Field = ["Content-Base", uri.endsWith("/") ? uri : `${uri}/`];
    this.#reply(asked.request, 200, [base, ["Content-Type", "application/sdp"]], sdp);
    this.#serve();
  }

  /** Answers a `setup` event: the track will be sent. */
  setup(answer: TrackAnswer): void {
    const asked = this.#answered("setup");
    if (asked === null) return;
    const { request, question } = asked;
    this.#session ??= new ServerSession(this.#options.token(), request.uri, question);
    this.#session.add(question.control, question.transport);
    this.#reply(request, 200, [
      ["Transport", writeTransport(agreedTransport(question.transport, answer))],
      ["Session", `${this.#session.id};timeout=${SESSION_TIMEOUT_MS / 1000}`],
    ]);
    this.#serve();
  }

  /** Answers a `play` event. Send packets only after what `poll` has to send. */
  play(starts: readonly TrackStart[]): void {
    const asked = this.#answered("play");
    if (asked === null) return;
    const session = this.#session;
    assert(session !== null, "only a session is played");
    session.playing = true;
    this.#reply(asked.request, 200, [
      ["Session", session.id],
      ["Range", "npt=now-"],
      ...(starts.length > 0 ? [["RTP-Info", session.rtpInfo(starts)] as const] : []),
    ]);
    this.#serve();
  }

  /** Answers any event that asks, with a status of RFC 2326: 403, 404, 453, 461, 503. */
  refuse(status: number): void {
    const state = this.#state;
    if (state.at === "closed") return;
    assert(state.at === "asking", "the owner answers only what it was asked");
    this.#state = { at: "ready" };
    this.#reply(state.request, status, []);
    this.#serve();
  }

  #read(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#send(writeResponse(400, [["Connection", "close"]]));
      this.#close("protocol", error.message);
    }
  }

  #received(message: Message): void {
    this.#aliveAt = this.#now;
    // The server asks its clients nothing, so what responds was not asked.
    if (message.kind === "response" || this.#state.at === "closed") return;
    if (this.#queue.length >= QUEUED_REQUESTS_MAX) {
      this.#close("protocol", "more requests at once than responses can keep up with");
    } else this.#queue.push(message);
  }

  #serve(): void {
    while (this.#state.at === "ready") {
      const request = this.#queue.shift();
      if (request === undefined) return;
      const refusal =
        objectionTo(request) ?? this.#authenticate(request) ?? this.#dispatch(request);
      if (refusal) this.#reply(request, refusal.status, refusal.fields ?? []);
      if (this.#denials >= DENIALS_MAX) {
        this.#close("unauthorized", "too many wrong passwords on one connection");
      }
    }
  }

  #authenticate(request: Request): Refusal | null {
    // Clients ask for the methods before they know that a password is wanted.
    if (this.#challenger === null || request.method === "OPTIONS") return null;
    const authorization = request.headers.get("Authorization");
    const verdict = this.#challenger.check(authorization, request.method, request.uri, this.#now);
    if (verdict.kind === "granted") {
      this.#user = verdict.user;
      return null;
    }
    if (verdict.kind === "denied") this.#denials++;
    const fields = this.#challenger.challenge(verdict.kind === "stale", this.#now);
    return { status: 401, fields };
  }

  /** Serves a request; returns why not when it cannot. */
  #dispatch(request: Request): Refusal | null {
    const method = servedMethod(request.method);
    assert(method !== null, "requests of other methods were refused before");
    switch (method) {
      case "OPTIONS":
        return this.#onOptions(request);
      case "DESCRIBE":
        return this.#onDescribe(request);
      case "SETUP":
        return this.#onSetup(request);
      case "PLAY":
        return this.#onPlay(request);
      case "PAUSE":
        return this.#onPause(request);
      case "GET_PARAMETER":
      case "SET_PARAMETER":
        return this.#onParameter(request);
      case "TEARDOWN":
        return this.#onTeardown(request);
      default:
        return method satisfies never;
    }
  }

  #onOptions(request: Request): Refusal | null {
    if (this.#namesOtherSession(request)) return { status: 454 };
    this.#reply(request, 200, [["Public", SERVED_METHODS.join(", ")]]);
    return null;
  }

  #onDescribe(request: Request): Refusal | null {
    const place = placeOf(request.uri);
    if (place === null) return { status: 400 };
    if (!acceptsSdp(request)) return { status: 406 };
    this.#ask(request, { kind: "describe", ...place, user: this.#user });
    return null;
  }

  #onSetup(request: Request): Refusal | null {
    const session = this.#session;
    if (this.#namesOtherSession(request)) return { status: 454 };
    const place = trackPlaceOf(request.uri, this.#described);
    if (place === null || (session && place.path !== session.path)) return { status: 400 };
    if (session?.playing || session?.has(place.control)) return { status: 455 };
    const allowed = this.#options.transports ?? ["tcp", "udp"];
    const transport = chooseTransport(
      request.headers.get("Transport"),
      allowed,
      session?.usedChannels() ?? [],
    );
    if (transport === null) return { status: 461 };
    this.#ask(request, { kind: "setup", ...place, transport, user: this.#user });
    return null;
  }

  #onPlay(request: Request): Refusal | null {
    const session = this.#sessionOf(request);
    if (session === null) return { status: 454 };
    // Some players repeat PLAY to keep the session alive.
    if (session.playing) {
      this.#reply(request, 200, [["Session", session.id]]);
      return null;
    }
    const place = trackPlaceOf(request.uri, session.base);
    if (session.tracks > 1 && place && session.has(place.control)) {
      return { status: 460 };
    }
    this.#ask(request, { kind: "play", path: session.path, user: this.#user });
    return null;
  }

  #onPause(request: Request): Refusal | null {
    const session = this.#sessionOf(request);
    if (session === null) return { status: 454 };
    if (!session.playing) return { status: 455 };
    session.playing = false;
    this.#reply(request, 200, [["Session", session.id]]);
    this.#tell({ kind: "pause" });
    return null;
  }

  /** Without a body it is a sign of life; there are no parameters to read or set. */
  #onParameter(request: Request): Refusal | null {
    if (this.#namesOtherSession(request)) return { status: 454 };
    if (request.body.length > 0) return { status: 451 };
    const session = this.#session;
    this.#reply(request, 200, session ? [["Session", session.id]] : []);
    return null;
  }

  #onTeardown(request: Request): Refusal | null {
    if (this.#sessionOf(request) === null) return { status: 454 };
    this.#session = null;
    this.#reply(request, 200, []);
    this.#tell({ kind: "teardown" });
    return null;
  }

  /** The session that the request names; `null` when it names none or another. */
  #sessionOf(request: Request): ServerSession | null {
    const id = request.headers.get("Session")?.split(";")[0]?.trim();
    return this.#session !== null && this.#session.id === id ? this.#session : null;
  }

  #namesOtherSession(request: Request): boolean {
    return request.headers.get("Session") !== null && this.#sessionOf(request) === null;
  }

  #ask(request: Request, question: Question): void {
    this.#state = { at: "asking", request, question, deadline: this.#now + ANSWER_TIMEOUT_MS };
    this.#tell(question);
  }

  /** Takes back what the owner answers; `null` when the connection closed meanwhile. */
  #answered<K extends Question["kind"]>(
    kind: K,
  ): { readonly request: Request; readonly question: Extract<Question, { kind: K }> } | null {
    const state = this.#state;
    if (state.at === "closed") return null;
    assert(state.at === "asking", "the owner answers only what it was asked");
    const { request, question } = state;
    assert(isKind(question, kind), "the answer fits the question");
    this.#state = { at: "ready" };
    return { request, question };
  }

  #reply(request: Request, status: number, fields: readonly Field[], body = ""): void {
    const cseq = request.headers.get("CSeq");
    const common: Field[] = [...(cseq === null ? [] : [["CSeq", cseq] as const])];
    this.#send(writeResponse(status, [...common, ["Server", "onepull"], ...fields], body));
  }

  #send(bytes: Uint8Array): void {
    this.#out.push({ kind: "send", bytes });
  }

  #tell(event: ServerEvent): void {
    this.#out.push({ kind: "event", event });
  }

  #deadline(): Millis {
    const { at } = this.#state;
    if (at === "closed") return Number.POSITIVE_INFINITY;
    const idle = this.#aliveAt + SESSION_TIMEOUT_MS;
    return this.#state.at === "asking" ? Math.min(idle, this.#state.deadline) : idle;
  }

  #checkTime(): void {
    const state = this.#state;
    if (state.at === "closed") return;
    if (state.at === "asking" && this.#now >= state.deadline) {
      this.#reply(state.request, 503, []);
      this.#close("unanswered", `no answer to ${state.question.kind}`);
    } else if (this.#now >= this.#aliveAt + SESSION_TIMEOUT_MS) {
      this.#close("timeout", "no sign of life from the client");
    }
  }

  #close(reason: (ServerEvent & { kind: "closed" })["reason"], message: string): void {
    if (this.#state.at === "closed") return;
    this.#state = { at: "closed" };
    this.#queue.length = 0;
    this.#session = null;
    this.#tell({ kind: "closed", reason, message });
  }
}

function isKind<K extends Question["kind"]>(
  question: Question,
  kind: K,
): question is Extract<Question, { kind: K }> {
  return question.kind === kind;
}
