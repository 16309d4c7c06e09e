/**
 * The server's side of one RTSP connection (RFC 2326): what players and the hub itself connect to.
 *
 * The engine knows no streams. It asks its owner by events, and the owner answers, at once or later,
 * with `describe`, `announce`, `setup`, `play`, `record` or `refuse`. Requests that come meanwhile
 * wait their turn.
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
import { type Field, type Message, type Request, writeResponse } from "./message.ts";
import { RtspReader } from "./reader.ts";
import { ServerAccess } from "./server-access.ts";
import { isKind, type Question, type ServerEvent, type ServerOptions } from "./server-event.ts";
import {
  acceptsSdp,
  agreedTransport,
  announced,
  chooseTransport,
  objectionTo,
  placeOf,
  type Refusal,
  type ServedMethod,
  type SessionMode,
  servedMethods,
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
  readonly #methods: readonly ServedMethod[];
  readonly #access: ServerAccess;
  readonly #reader: RtspReader;
  readonly #out: Output<ServerEvent>[] = [];
  readonly #queue: Request[] = [];
  #state: State = { at: "ready" };
  #session: ServerSession | null = null;
  /** The address of the last description, given or taken, and which of them. */
  #described: string | null = null;
  #mode: SessionMode = "play";
  #now: Millis;
  #aliveAt: Millis;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#now = options.now;
    this.#aliveAt = options.now;
    this.#methods = servedMethods(options.publishing ?? false);
    this.#access = new ServerAccess(options);
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
    this.#mode = "play";
    const base: Field = ["Content-Base", uri.endsWith("/") ? uri : `${uri}/`];
    this.#reply(asked.request, 200, [base, ["Content-Type", "application/sdp"]], sdp);
    this.#serve();
  }

  /** Answers an `announce` event: what was described may be sent. */
  announce(): void {
    const asked = this.#answered("announce");
    if (asked === null) return;
    this.#described = asked.request.uri;
    this.#mode = "record";
    this.#reply(asked.request, 200, []);
    this.#serve();
  }

  /** Answers a `setup` event: the track will be sent, or taken. */
  setup(answer: TrackAnswer): void {
    const asked = this.#answered("setup");
    if (asked === null) return;
    const { request, question } = asked;
    this.#session ??= new ServerSession(this.#options.token(), request.uri, question);
    this.#session.add(question.control, question.transport);
    this.#reply(request, 200, [
      ["Transport", writeTransport(agreedTransport(question, answer))],
      ["Session", `${this.#session.id};timeout=${SESSION_TIMEOUT_MS / 1000}`],
    ]);
    this.#serve();
  }

  /** Answers a `play` event. Send packets only after what `poll` has to send. */
  play(starts: readonly TrackStart[]): void {
    const asked = this.#answered("play");
    if (asked === null) return;
    const session = this.#activated();
    this.#reply(asked.request, 200, [
      ["Session", session.id],
      ["Range", "npt=now-"],
      ...(starts.length > 0 ? [["RTP-Info", session.rtpInfo(starts)] as const] : []),
    ]);
    this.#serve();
  }

  /** Answers a `record` event: what arrives is taken from now on. */
  record(): void {
    const asked = this.#answered("record");
    if (asked === null) return;
    this.#reply(asked.request, 200, [["Session", this.#activated().id]]);
    this.#serve();
  }

  /**
   * Answers any event that asks, with a status of RFC 2326: 403, 404, 415, 453, 461, 503. The
   * reason, one line, is what players show people.
   */
  refuse(status: number, reason?: string): void {
    const request = this.#asked()?.request;
    if (request === undefined) return;
    this.#state = { at: "ready" };
    this.#reply(request, status, [], "", reason);
    this.#serve();
  }

  #activated(): ServerSession {
    assert(this.#session !== null, "only a session is played or recorded");
    this.#session.active = true;
    return this.#session;
  }

  #read(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#out.push({ kind: "send", bytes: writeResponse(400, [["Connection", "close"]]) });
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
        objectionTo(request, this.#methods) ??
        this.#access.check(request, this.#now) ??
        this.#dispatch(request);
      if (refusal) this.#reply(request, refusal.status, refusal.fields ?? []);
      if (this.#access.exhausted) {
        this.#close("unauthorized", "too many wrong passwords on one connection");
      }
    }
  }

  /** Serves a request; returns why not when it cannot. */
  #dispatch(request: Request): Refusal | null {
    const method = this.#methods.find((served) => served === request.method);
    assert(method !== undefined, "requests of other methods were refused before");
    switch (method) {
      case "OPTIONS":
        return this.#onOptions(request);
      case "DESCRIBE":
        return this.#onDescribe(request);
      case "ANNOUNCE":
        return this.#onAnnounce(request);
      case "SETUP":
        return this.#onSetup(request);
      case "PLAY":
        return this.#onPlay(request);
      case "RECORD":
        return this.#onRecord(request);
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
    this.#reply(request, 200, [["Public", this.#methods.join(", ")]]);
    return null;
  }

  #onDescribe(request: Request): Refusal | null {
    const place = placeOf(request.uri);
    if (place === null) return { status: 400 };
    if (!acceptsSdp(request)) return { status: 406 };
    this.#ask(request, { kind: "describe", ...place, user: this.#access.user });
    return null;
  }

  #onAnnounce(request: Request): Refusal | null {
    if (this.#session !== null) return { status: 455 };
    const place = placeOf(request.uri);
    const description = announced(request);
    if (description === "foreign") return { status: 415 };
    if (place === null || description === null) return { status: 400 };
    this.#ask(request, { kind: "announce", ...place, description, user: this.#access.user });
    return null;
  }

  #onSetup(request: Request): Refusal | null {
    const session = this.#session;
    if (this.#namesOtherSession(request)) return { status: 454 };
    const place = trackPlaceOf(request.uri, this.#described);
    if (place === null || (session && place.path !== session.path)) return { status: 400 };
    if (session?.active || session?.has(place.control)) return { status: 455 };
    const mode = this.#mode;
    const transport = chooseTransport(request.headers.get("Transport"), {
      mode,
      allowed: this.#options.transports ?? ["tcp", "udp"],
      used: session?.usedChannels() ?? [],
    });
    if (transport === null) return { status: 461 };
    this.#ask(request, { kind: "setup", ...place, mode, transport, user: this.#access.user });
    return null;
  }

  #onPlay(request: Request): Refusal | null {
    const session = this.#sessionOf(request);
    if (session === null) return { status: 454 };
    if (session.mode !== "play") return { status: 455 };
    // Some players repeat PLAY to keep the session alive.
    if (session.active) {
      this.#reply(request, 200, [["Session", session.id]]);
      return null;
    }
    const place = trackPlaceOf(request.uri, session.base);
    if (session.tracks > 1 && place && session.has(place.control)) {
      return { status: 460 };
    }
    this.#ask(request, { kind: "play", path: session.path, user: this.#access.user });
    return null;
  }

  #onRecord(request: Request): Refusal | null {
    const session = this.#sessionOf(request);
    if (session === null) return { status: 454 };
    if (session.mode !== "record" || session.active) return { status: 455 };
    this.#ask(request, { kind: "record", path: session.path, user: this.#access.user });
    return null;
  }

  #onPause(request: Request): Refusal | null {
    const session = this.#sessionOf(request);
    if (session === null) return { status: 454 };
    if (!session.active) return { status: 455 };
    session.active = false;
    this.#reply(request, 200, [["Session", session.id]]);
    this.#tell({ kind: "pause" });
    return null;
  }

  /** Without a body it is a sign of life; there are no parameters to read or set. */
  #onParameter(request: Request): Refusal | null {
    if (this.#namesOtherSession(request)) return { status: 454 };
    if (request.body.length > 0) return { status: 451 };
    this.#reply(request, 200, this.#session ? [["Session", this.#session.id]] : []);
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
    return this.#session?.isNamedBy(request) ? this.#session : null;
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
    const asked = this.#asked();
    if (asked === null) return null;
    assert(isKind(asked.question, kind), "the answer fits the question");
    this.#state = { at: "ready" };
    return { request: asked.request, question: asked.question };
  }

  #asked(): (State & { readonly at: "asking" }) | null {
    const state = this.#state;
    if (state.at === "closed") return null;
    assert(state.at === "asking", "the owner answers only what it was asked");
    return state;
  }

  #reply(r: Request, status: number, fields: readonly Field[], body = "", reason?: string): void {
    const cseq = r.headers.get("CSeq");
    const common: Field[] = cseq === null ? [] : [["CSeq", cseq]];
    const all: Field[] = [...common, ["Server", "onepull"], ...fields];
    this.#out.push({ kind: "send", bytes: writeResponse(status, all, body, reason) });
  }

  #tell(event: ServerEvent): void {
    this.#out.push({ kind: "event", event });
  }

  #deadline(): Millis {
    if (this.#state.at === "closed") return Number.POSITIVE_INFINITY;
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
