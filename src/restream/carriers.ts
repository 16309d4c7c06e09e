/** The two ways a track goes to a reader: on its RTSP connection, or over UDP. */
import { FLAG_HOLE, FLAG_MARKER } from "../core/packet-ring.ts";
import { Destination } from "../native/udp.ts";
import { RTP_HEADER_BYTES, writeU16, writeU32 } from "../rtp/header.ts";
import { INTERLEAVED_HEADER_BYTES, writeInterleavedHeader } from "../rtsp/interleaved.ts";
import type { Outbox } from "../rtsp/outbox.ts";
import type { Pair } from "../rtsp/transport.ts";
import type { Track } from "../stream/track.ts";
import type { InterleavedImage } from "./image.ts";
import type { Carrier, Numbers } from "./sender.ts";
import type { UdpPair } from "./udp.ts";

/** Interleaved on the RTSP connection. */
export class TcpCarrier implements Carrier {
  readonly #outbox: Outbox;
  readonly #image: InterleavedImage;
  readonly #channels: Pair;
  readonly #broken: () => void;

  /** @param broken called when the connection is of no use any more */
  constructor(outbox: Outbox, image: InterleavedImage, channels: Pair, broken: () => void) {
    this.#outbox = outbox;
    this.#image = image;
    this.#channels = channels;
    this.#broken = broken;
  }

  get backlog(): number {
    return this.#outbox.waiting;
  }

  send({ ring }: Track, numbers: Numbers, from: number, to: number): void {
    for (let id = from; id < to; ) {
      id = this.#image.write(ring, numbers.payloadType, id, to);
      if (this.#outbox.message(this.#image.numbered(this.#channels[0], numbers))) continue;
      this.#broken();
      return;
    }
  }

  control(rtcp: Uint8Array): void {
    const framed = new Uint8Array(INTERLEAVED_HEADER_BYTES + rtcp.length);
    framed.set(rtcp, writeInterleavedHeader(framed, 0, this.#channels[1], rtcp.length));
    if (!this.#outbox.message(framed)) this.#broken();
  }

  refused(): boolean {
    return false;
  }
}

/** From the hub's pair of ports to the reader's. */
export class UdpCarrier implements Carrier {
  readonly backlog = 0;
  readonly #pair: UdpPair;
  readonly #to: Destination;
  readonly #control: { readonly address: string; readonly port: number };

  constructor(pair: UdpPair, address: string, ports: Pair) {
    this.#pair = pair;
    this.#to = new Destination(address, ports[0]);
    this.#control = { address, port: ports[1] };
  }

  send({ ring }: Track, { ssrc, payloadType, base }: Numbers, from: number, to: number): void {
    const { batch } = this.#pair;
    for (let id = from; id < to; id++) {
      const flags = ring.flags(id);
      if ((flags & FLAG_HOLE) !== 0) continue;
      const start = ring.start(id);
      const length = ring.length(id);
      const at = batch.reserve(RTP_HEADER_BYTES + length);
      const b = batch.arena.bytes;
      b[at] = 0x80;
      b[at + 1] = ((flags & FLAG_MARKER) !== 0 ? 0x80 : 0) | payloadType;
      writeU16(b, at + 2, (base + id) & 0xffff);
      writeU32(b, at + 4, ring.timestamp(id));
      writeU32(b, at + 8, ssrc);
      b.set(ring.bytes.subarray(start, start + length), at + RTP_HEADER_BYTES);
      batch.commit(RTP_HEADER_BYTES + length, this.#to);
    }
  }

  control(rtcp: Uint8Array): void {
    this.#pair.sendControl(rtcp, this.#control.address, this.#control.port);
  }

  refused(): boolean {
    const refused = this.#to.refused > 0;
    this.#to.refused = 0;
    return refused;
  }
}
