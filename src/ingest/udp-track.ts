/**
 * One track over UDP: a pair of ports for RTP and RTCP (RFC 3550 section 11).
 *
 * `node:dgram` and not `Bun.udpSocket`, which cannot enlarge the receive buffer; it costs 0.7 µs
 * more per packet. A keyframe arrives as one burst of hundreds of packets, and the default buffer
 * holds about ninety.
 *
 * @module
 */
import { createSocket, type Socket } from "node:dgram";
import { Fault } from "../core/fault.ts";
import { RTP_HEADER_BYTES, writeU32 } from "../rtp/header.ts";
import { writeEmptyReceiverReport } from "../rtp/rtcp.ts";
import type { Pair } from "../rtsp/transport.ts";

/** Two keyframes of 20 Mbps. The kernel cuts it to net.core.rmem_max without a word. */
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** Half of the tries fail when every second port is taken; more than this is another trouble. */
const BIND_TRIES_MAX = 32;

/** Takes what arrives from the camera. The bytes are the callee's own. */
export interface DatagramHandlers {
  rtp(packet: Uint8Array): void;
  rtcp(packet: Uint8Array): void;
}

/** The camera's end of the track. */
export interface Remote {
  /** Addresses that packets may come from, and that reports go to. */
  readonly hosts: readonly string[];
  /** Where reports go; `null` when the camera did not say. */
  readonly ports: Pair | null;
}

/** Owns both sockets. */
export class UdpTrack implements Disposable {
  /** Packets from addresses that are not the camera's. */
  strangers = 0;
  readonly ports: Pair;
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  readonly #ssrc: number;
  #remote: Remote | null = null;

  private constructor(rtp: Socket, rtcp: Socket, handlers: DatagramHandlers, ssrc: number) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.#ssrc = ssrc;
    this.ports = [rtp.address().port, rtcp.address().port];
    rtp.on("message", (packet, { address }) => {
      if (this.#expects(address)) handlers.rtp(packet);
    });
    rtcp.on("message", (packet, { address }) => {
      if (this.#expects(address)) handlers.rtcp(packet);
    });
  }

  /**
   * Binds an even port and the odd one after it. Throws a Fault `limit_reached` when there is none.
   *
   * @param localAddress the address that the camera is reached from
   * @param ssrc names the hub in its reports
   */
  static async open(
    localAddress: string,
    handlers: DatagramHandlers,
    ssrc: number,
  ): Promise<UdpTrack> {
    for (let tries = 0; tries < BIND_TRIES_MAX; tries++) {
      const first = await bind(localAddress, 0);
      const port = first?.address().port ?? 0;
      const next = port % 2 === 0 ? port + 1 : port - 1;
      const second =
        first &&
        (await bind(localAddress, next).catch((error: unknown) => {
          first.close();
          throw error;
        }));
      if (first && second) {
        const [rtp, rtcp] = port % 2 === 0 ? [first, second] : [second, first];
        return new UdpTrack(rtp, rtcp, handlers, ssrc);
      }
      first?.close();
    }
    throw new Fault("limit_reached", `no free pair of UDP ports on ${localAddress}`);
  }

  /** The camera agreed: packets from it count from now on, and its firewall is opened. */
  connect(remote: Remote): void {
    this.#remote = remote;
    const rtp = new Uint8Array(RTP_HEADER_BYTES);
    rtp[0] = 0x80;
    writeU32(rtp, 8, this.#ssrc);
    this.#send(this.#rtp, rtp, 0);
    this.#send(this.#rtcp, writeEmptyReceiverReport(this.#ssrc), 1);
  }

  /** Sends a receiver report to where the camera wants it. */
  report(packet: Uint8Array): void {
    this.#send(this.#rtcp, packet, 1);
  }

  [Symbol.dispose](): void {
    this.#rtp.close();
    this.#rtcp.close();
  }

  #expects(address: string): boolean {
    if (this.#remote?.hosts.includes(address)) return true;
    this.strangers++;
    return false;
  }

  #send(socket: Socket, packet: Uint8Array, index: 0 | 1): void {
    const ports = this.#remote?.ports;
    if (!ports) return;
    for (const host of this.#remote?.hosts ?? []) socket.send(packet, ports[index], host);
  }
}

/** Binds one port; `null` when it is taken. */
function bind(address: string, port: number): Promise<Socket | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket | null>();
  const type = address.includes(":") ? "udp6" : "udp4";
  const socket = createSocket({ type, recvBufferSize: RECEIVE_BUFFER_BYTES });
  const failed = (error: Error & { code?: string }) => {
    socket.close();
    if (error.code === "EADDRINUSE") resolve(null);
    else reject(error);
  };
  socket.once("error", failed);
  socket.bind(port, address, () => {
    socket.off("error", failed);
    // ICMP of a camera that closed its ports: that it is silent is noticed by the watch.
    socket.on("error", () => {});
    resolve(socket);
  });
  return promise;
}
