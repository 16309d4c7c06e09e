/** The two ways a camera's packets reach a client: on its RTSP connection, or over UDP. */
import type { udp } from "bun";
import { writeInterleavedHeader } from "../rtsp/interleaved.ts";
import type { Outbox } from "../rtsp/outbox.ts";
import type { Pair } from "../rtsp/transport.ts";
import type { Receiver } from "./camera.ts";
import type { UnitPackets } from "./packets.ts";

/** Pairs of ports tried until an even one and its successor are both free. */
const PAIR_ATTEMPTS_MAX = 32;

type ConnectedSocket = udp.ConnectedSocket<"uint8array">;

/** Interleaved on the RTSP connection (RFC 2326 section 10.12). */
export class TcpReceiver implements Receiver {
  readonly #outbox: Outbox;
  readonly #channels: Pair;

  constructor(outbox: Outbox, channels: Pair) {
    this.#outbox = outbox;
    this.#channels = channels;
  }

  frame(unit: UnitPackets): boolean {
    unit.setChannel(this.#channels[0]);
    return this.#outbox.frame(unit.interleaved);
  }

  report(rtcp: Uint8Array): void {
    const framed = new Uint8Array(rtcp.length + 4);
    framed.set(rtcp, writeInterleavedHeader(framed, 0, this.#channels[1], rtcp.length));
    this.#outbox.message(framed);
  }

  close(): void {}
}

/** Where the packets of a UDP session come from and go to. */
export interface UdpRoute {
  /** Our own address. */
  readonly from: string;
  readonly to: string;
  readonly clientPort: Pair;
}

/** Over a pair of UDP sockets of its own. */
export class UdpReceiver implements Receiver {
  readonly serverPort: Pair;
  readonly #rtp: ConnectedSocket;
  readonly #rtcp: ConnectedSocket;

  private constructor(rtp: ConnectedSocket, rtcp: ConnectedSocket) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.serverPort = [rtp.port, rtcp.port];
  }

  /**
   * Opens an even port and the next one (RFC 3550 section 11). `null` when no such pair is free, or
   * nothing can be sent to the client's.
   *
   * @param alive called when the client reports
   */
  static async open(route: UdpRoute, alive: () => void): Promise<UdpReceiver | null> {
    const [rtpTo, rtcpTo] = route.clientPort;
    for (let attempt = 0; attempt < PAIR_ATTEMPTS_MAX; attempt++) {
      const rtp = await connected(route, 0, rtpTo, () => undefined);
      if (rtp === null) return null;
      const even = rtp.port % 2 === 0;
      const rtcp = even ? await connected(route, rtp.port + 1, rtcpTo, alive) : null;
      if (rtcp !== null) return new UdpReceiver(rtp, rtcp);
      rtp.close();
    }
    return null;
  }

  // A client that closed its port makes a later send throw; its frames are lost, nothing else.
  frame(unit: UnitPackets): boolean {
    try {
      return this.#rtp.sendMany(unit.packets) === unit.packets.length;
    } catch {
      return false;
    }
  }

  report(rtcp: Uint8Array): void {
    try {
      this.#rtcp.send(rtcp);
    } catch {
      // The next report says the same, and more.
    }
  }

  close(): void {
    this.#rtp.close();
    this.#rtcp.close();
  }
}

/** `null` when the port is taken or the client's cannot be reached. */
async function connected(
  { from, to }: UdpRoute,
  port: number,
  remotePort: number,
  onData: () => void,
): Promise<ConnectedSocket | null> {
  try {
    return await Bun.udpSocket({
      hostname: from,
      port,
      connect: { hostname: to, port: remotePort },
      binaryType: "uint8array",
      // Errors are those of a client that is gone; its RTSP connection ends the session.
      socket: { data: onData, error: () => undefined },
    });
  } catch {
    return null;
  }
}
