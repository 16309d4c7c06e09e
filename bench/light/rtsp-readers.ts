/**
 * Many RTSP readers of one address in one process, which only count. Ends when standard input does,
 * and prints what it counted as JSON.
 *
 *   bun bench/light/rtsp-readers.ts rtsp://127.0.0.1:8554/lobby tcp 50
 *
 * @module
 */
import type { Socket, udp } from "bun";
import { findDescriptor, prepareDescriptor } from "../../src/native/udp.ts";
import { type Response, writeRequest } from "../../src/rtsp/message.ts";
import { RtspReader } from "../../src/rtsp/reader.ts";

/** What all readers came to. */
export interface ReadersReport {
  readonly packets: number;
  /** Breaks in the sequence numbers. */
  readonly gaps: number;
  /** CPU time of this process, in milliseconds. */
  readonly cpuMs: number;
}

class LightReader {
  packets = 0;
  gaps = 0;
  #sequence = -1;
  #cseq = 0;
  #socket: Socket | null = null;
  #udp: udp.Socket<"uint8array">[] = [];
  #answer: ((response: Response) => void) | null = null;
  readonly #reader = new RtspReader(
    (channel, b, start) => channel === 0 && this.#packet(b, start),
    (message) => message.kind === "response" && this.#answer?.(message),
  );

  async open(url: string, transport: string): Promise<void> {
    const { hostname, port } = new URL(url.replace("rtsp:", "http:"));
    this.#socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: { data: (_socket, bytes) => this.#reader.push(bytes) },
    });
    await this.#ask("DESCRIBE", url, []);
    const way =
      transport === "tcp"
        ? "RTP/AVP/TCP;unicast;interleaved=0-1"
        : `RTP/AVP;unicast;client_port=${await this.#bind()}`;
    const setup = await this.#ask("SETUP", `${url}/video`, [["Transport", way]]);
    const session = setup.headers.get("Session")?.split(";")[0] ?? "";
    await this.#ask("PLAY", url, [["Session", session]]);
  }

  close(): void {
    this.#socket?.end();
    for (const socket of this.#udp) socket.close();
  }

  async #bind(): Promise<string> {
    const socket = (data: (bytes: Uint8Array) => void) =>
      Bun.udpSocket({
        hostname: "127.0.0.1",
        binaryType: "uint8array",
        socket: { data: (_socket, bytes) => data(bytes) },
      });
    this.#udp = [await socket((bytes) => this.#packet(bytes, 0)), await socket(() => {})];
    // As players do: the default buffer holds ninety packets.
    for (const { hostname, port } of this.#udp) prepareDescriptor(findDescriptor(hostname, port));
    return this.#udp.map(({ port }) => port).join("-");
  }

  #packet(b: Uint8Array, at: number): void {
    const sequence = (b[at + 2]! << 8) | b[at + 3]!;
    if (this.#sequence >= 0 && sequence !== ((this.#sequence + 1) & 0xffff)) this.gaps++;
    this.#sequence = sequence;
    this.packets++;
  }

  async #ask(method: string, uri: string, fields: [string, string][]): Promise<Response> {
    const { promise, resolve } = Promise.withResolvers<Response>();
    this.#answer = resolve;
    const cseq: [string, string] = ["CSeq", String(++this.#cseq)];
    this.#socket?.write(writeRequest(method, uri, [cseq, ...fields]));
    const response = await promise;
    if (response.status !== 200)
      throw new Error(`${method}: ${response.status} ${response.reason}`);
    return response;
  }
}

async function main([url = "", transport = "", count = ""]: string[]): Promise<void> {
  const readers = Array.from({ length: Number(count) }, () => new LightReader());
  for (const reader of readers) await reader.open(url, transport);
  // Until whoever measures is done.
  for await (const _line of console) break;
  const { user, system } = process.cpuUsage();
  const report: ReadersReport = {
    packets: readers.reduce((sum, { packets }) => sum + packets, 0),
    gaps: readers.reduce((sum, { gaps }) => sum + gaps, 0),
    cpuMs: (user + system) / 1_000,
  };
  console.log(JSON.stringify(report));
  for (const reader of readers) reader.close();
}

if (import.meta.main) await main(process.argv.slice(2));
