/** One client's session on a server: the tracks of one stream that it set up (RFC 2326 section 3.4). */
import type { Request } from "./message.ts";
import type { SessionMode, TrackPlace, TrackTransport } from "./server-request.ts";

/** Where a track's packets begin, for the RTP-Info header (RFC 2326 section 12.33). */
export interface TrackStart {
  readonly control: string;
  readonly sequence: number;
  readonly timestamp: number;
}

/** Begins with the first SETUP; the connection ends it. */
export class ServerSession {
  readonly id: string;
  readonly path: string;
  /** The stream's address as the client wrote it, without trailing slash. */
  readonly base: string;
  readonly mode: SessionMode;
  /** Packets flow. */
  active = false;
  readonly #tracks = new Map<string, TrackTransport>();

  /** @param uri the address of the SETUP that begins it, `place` what it names */
  constructor(id: string, uri: string, place: TrackPlace & { readonly mode: SessionMode }) {
    this.id = id;
    this.mode = place.mode;
    this.path = place.path;
    const trimmed = uri.replace(/\/+$/, "");
    this.base = place.control === "" ? trimmed : trimmed.slice(0, -place.control.length - 1);
  }

  get tracks(): number {
    return this.#tracks.size;
  }

  isNamedBy(request: Request): boolean {
    return request.headers.get("Session")?.split(";")[0]?.trim() === this.id;
  }

  has(control: string): boolean {
    return this.#tracks.has(control);
  }

  add(control: string, transport: TrackTransport): void {
    this.#tracks.set(control, transport);
  }

  /** Interleaved channels that are taken. */
  usedChannels(): number[] {
    return [...this.#tracks.values()].flatMap((transport) =>
      transport.lower === "tcp" ? transport.channels : [],
    );
  }

  /** The RTP-Info header's value. */
  rtpInfo(starts: readonly TrackStart[]): string {
    return starts
      .map(({ control, sequence, timestamp }) => {
        const url = control === "" ? this.base : `${this.base}/${control}`;
        return `url=${url};seq=${sequence};rtptime=${timestamp}`;
      })
      .join(",");
  }
}
