/** What a camera described, and how far its tracks are set up. */
import type { ClientOptions } from "./client-event.ts";
import { type AgreedTrack, agreedBy, chooseTracks, type WantedTrack } from "./client-track.ts";
import { baseUri, controlUri, onSameHost } from "./control.ts";
import type { Response } from "./message.ts";
import { parseSdp, type SessionDescription } from "./sdp.ts";
import type { Lower } from "./transport.ts";

/** The tracks of one presentation, set up one after another. */
export class Setup {
  readonly description: SessionDescription;
  /** Video first; empty when nothing can be forwarded. */
  readonly tracks: readonly WantedTrack[];
  /** Those that the camera agreed to send. */
  readonly agreed: AgreedTrack[] = [];
  readonly #requestUri: string;
  /** What control attributes are relative to. */
  #base: string;

  /** What the tracks are asked for over. */
  #lower: Lower;
  #mayTurn: boolean;

  /**
   * Takes the response to DESCRIBE. Throws a Fault `camera_protocol` when it describes nothing.
   *
   * @param options of the client: what was asked to be described, and how it is wanted
   */
  constructor(response: Response, options: ClientOptions) {
    const { requestUri } = options.address;
    const tracksMax = options.audio === false ? 1 : 2;
    this.#lower = options.transport;
    this.#mayTurn = options.mayFallBack === true;
    this.description = parseSdp(new TextDecoder().decode(response.body));
    this.tracks = chooseTracks(this.description).slice(0, tracksMax);
    this.#requestUri = requestUri;
    this.#base = baseUri(response.headers, this.description.control, requestUri);
  }

  get lower(): Lower {
    return this.#lower;
  }

  /** Asks for the other transport from now on, once. False when that is not wanted, or was done. */
  turn(): boolean {
    if (!this.#mayTurn) return false;
    this.#mayTurn = false;
    this.#lower = this.#lower === "tcp" ? "udp" : "tcp";
    return true;
  }

  /** Where SETUP of this track goes. */
  trackUri(index: number): string {
    return this.#address(this.tracks[index]?.media.control ?? null);
  }

  /** The address of the whole stream, for requests about the session. */
  get aggregateUri(): string {
    return this.#address(this.description.control);
  }

  #address(control: string | null): string {
    return onSameHost(controlUri(this.#base, control), this.#requestUri);
  }

  /** Keeps what the response to SETUP agreed to. False when it is not what was asked for. */
  agree(index: number, response: Response): boolean {
    const track = this.tracks[index];
    const transport = agreedBy(response, index, this.#lower);
    if (track === undefined || transport === null) return false;
    this.agreed.push({ ...track, index, transport });
    return true;
  }

  /**
   * Some cameras state a base that they do not know themselves. Returns true when there is another
   * to try: the address that they answered to.
   */
  distrustBase(): boolean {
    if (this.#base === this.#requestUri) return false;
    this.#base = this.#requestUri;
    return true;
  }
}
