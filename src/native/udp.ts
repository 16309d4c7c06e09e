/**
 * What Bun's UDP sockets cannot do: tell their descriptor, ignore ICMP errors of one peer, and send
 * many datagrams with one system call, runs of equal ones as one buffer (UDP_SEGMENT, udp(7)).
 *
 * @module
 */
import type { Pointer } from "bun:ffi";
import { readdirSync } from "node:fs";
import { addressBytes } from "../rtc/address.ts";
import { EAGAIN, EINTR, EINVAL, EIO, ENOBUFS, errno, type Libc, libc, Pinned } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IP_RECVERR = 11;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_RECVERR = 25;
const PMTUDISC_OMIT = 5;

/** A keyframe burst to a hundred viewers is several megabytes at once. */
const SEND_BUFFER_BYTES = 4 << 20;
/** Feedback and handshakes of all viewers that arrive while a keyframe is being sent. */
const RECEIVE_BUFFER_BYTES = 1 << 20;

/** Where a datagram goes. One object per peer: equal objects make a run. */
export class Destination {
  readonly address: string;
  readonly port: number;
  /** `struct sockaddr_in` or `sockaddr_in6`; empty when the address is no IP address. */
  readonly sockaddr: Uint8Array;
  /** Datagrams for it that a full send buffer refused; whoever looks sets it to 0. */
  refused = 0;

  constructor(address: string, port: number) {
    this.address = address;
    this.port = port;
    this.sockaddr = sockaddrOf(address, port);
  }
}

function sockaddrOf(address: string, port: number): Uint8Array {
  const ip = addressBytes(address);
  if (ip === null) return new Uint8Array(0);
  const ipv4 = ip.length === 4;
  const bytes = new Uint8Array(ipv4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
  bytes[0] = ipv4 ? AF_INET : AF_INET6;
  bytes[2] = port >> 8;
  bytes[3] = port;
  bytes.set(ip, ipv4 ? 4 : 8);
  return bytes;
}

/** The descriptor of this process's socket bound to exactly this address; -1 when unknown. */
export function findDescriptor(address: string, port: number): number {
  const wanted = sockaddrOf(address, port);
  if (libc === null || wanted.length === 0) return -1;
  const name = new Pinned(SOCKADDR_IN6_BYTES);
  const length = new Pinned(4);
  for (const entry of readdirSync("/proc/self/fd")) {
    name.bytes.fill(0);
    length.bytes.set([SOCKADDR_IN6_BYTES, 0, 0, 0]);
    const descriptor = Number(entry);
    if (libc.getsockname(descriptor, name.address, length.address) !== 0) continue;
    if (isDatagram(libc, descriptor) && wanted.every((byte, i) => name.bytes[i] === byte)) {
      return descriptor;
    }
  }
  return -1;
}

const SO_TYPE = 3;
const SOCK_DGRAM = 2;

function isDatagram(symbols: Libc, descriptor: number): boolean {
  const type = new Pinned(4);
  const length = new Pinned(4);
  length.bytes[0] = 4;
  symbols.getsockopt(descriptor, SOL_SOCKET, SO_TYPE, type.address, length.address);
  return type.bytes[0] === SOCK_DGRAM;
}

/**
 * Prepares a socket that sends to many peers. Bun reports the ICMP errors of each peer on the next
 * send to any (IP_RECVERR), and path MTUs learnt from ICMP, which anyone can forge, would make
 * runs fail: neither is wanted. Larger buffers where the system allows.
 */
export function prepareDescriptor(descriptor: number): void {
  if (libc === null) return;
  const set = (level: number, option: number, value: number) =>
    setOption(libc as Libc, descriptor, level, option, value);
  // An IPv4 socket refuses the IPv6 options, and the other way round.
  set(IPPROTO_IP, IP_RECVERR, 0);
  set(IPPROTO_IPV6, IPV6_RECVERR, 0);
  set(IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_OMIT);
  set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_OMIT);
  if (!set(SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES)) {
    set(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
  }
  if (!set(SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)) {
    set(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  }
}

function setOption(
  symbols: Libc,
  descriptor: number,
  level: number,
  option: number,
  value: number,
): boolean {
  const argument = new Pinned(4);
  new DataView(argument.bytes.buffer).setInt32(0, value, true);
  return symbols.setsockopt(descriptor, level, option, argument.address, 4) === 0;
}

/** Fits the second-level cache beside what the kernel needs; a frame for some twenty viewers. */
const ARENA_BYTES = 256 << 10;
/** Messages per system call; the kernel takes at most 1024 (UIO_MAXIOV). */
const MESSAGES_MAX = 512;
/** The kernel takes 64 segments; 44 of Ethernet's 1472 bytes fill one 64 KB buffer. */
const SEGMENTS_MAX = 44;
/** An IPv4 datagram without its headers, and some room for options. */
const RUN_BYTES_MAX = 65_000;

const MSG_DONTWAIT = 0x40;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
/** `struct mmsghdr`, `struct iovec` and one control message with a 16-bit value, 64-bit systems. */
const HEADER_BYTES = 64;
const VECTOR_BYTES = 16;
const NAME_BYTES = 32;
const CONTROL_BYTES = 24;
const CONTROL_LENGTH = 18;

/** Counters since the batch was made; they only grow. */
export interface BatchCounters {
  packets: number;
  bytes: number;
  /** Packets that a full send buffer refused: their destinations know. */
  refused: number;
  /** Packets lost for another reason, such as a peer without a route. */
  dropped: number;
  systemCalls: number;
}

/** Consecutive datagrams for one destination: equally long ones, the last may be shorter. */
interface Run {
  readonly start: number;
  readonly bytes: number;
  readonly segmentBytes: number;
  readonly segments: number;
  readonly to: Destination;
}

/** The system calls of a batch. */
export interface SendCalls {
  /** sendmmsg(2): how many messages were taken, or -1. */
  sendmmsg(descriptor: number, headers: Pointer, count: number, flags: number): number;
  /** Why the last call took none. */
  errno(): number;
}

/** Collects datagrams in an arena and sends them together. */
export class DatagramBatch {
  readonly arena = new Pinned(ARENA_BYTES);
  readonly counters: BatchCounters = {
    packets: 0,
    bytes: 0,
    refused: 0,
    dropped: 0,
    systemCalls: 0,
  };
  /** False for good as soon as the system refuses a run (old kernel, no checksum offload). */
  segmentation = true;

  readonly #calls: SendCalls;
  readonly #descriptor: number;
  readonly #headers = new Pinned(MESSAGES_MAX * HEADER_BYTES);
  readonly #vectors = new Pinned(MESSAGES_MAX * VECTOR_BYTES);
  readonly #names = new Pinned(MESSAGES_MAX * NAME_BYTES);
  readonly #controls = new Pinned(MESSAGES_MAX * CONTROL_BYTES);
  readonly #headerWords = new Uint32Array(this.#headers.bytes.buffer);
  readonly #vectorWords = new Uint32Array(this.#vectors.bytes.buffer);
  readonly #controlWords = new Uint32Array(this.#controls.bytes.buffer);
  readonly #runs: Run[] = [];
  /** End of what was committed. */
  #end = 0;
  // The run being extended; none while #runTo is null.
  #runTo: Destination | null = null;
  #runStart = 0;
  #runSegmentBytes = 0;
  #runSegments = 0;
  #runClosed = false;

  constructor(calls: SendCalls, descriptor: number) {
    this.#calls = calls;
    this.#descriptor = descriptor;
    for (let i = 0; i < MESSAGES_MAX; i++) this.#prepare(i);
  }

  /** Returns where in the arena a datagram of up to `bytes` may be written. Flushes when full. */
  reserve(bytes: number): number {
    if (this.#end + bytes > ARENA_BYTES) this.flush();
    return this.#end;
  }

  /** The datagram of `length` bytes stands where `reserve` said. */
  commit(length: number, to: Destination): void {
    if (!this.#extends(length, to)) {
      this.#endRun();
      this.#runTo = to;
      this.#runStart = this.#end;
      this.#runSegmentBytes = length;
      this.#runSegments = 0;
      this.#runClosed = false;
    }
    this.#runSegments++;
    this.#runClosed = length < this.#runSegmentBytes;
    this.#end += length;
  }

  /** Sends everything that was committed. */
  flush(): void {
    this.#endRun();
    this.#send();
    this.#end = 0;
  }

  #extends(length: number, to: Destination): boolean {
    return (
      this.segmentation &&
      to === this.#runTo &&
      !this.#runClosed &&
      length <= this.#runSegmentBytes &&
      this.#runSegments < SEGMENTS_MAX &&
      this.#end + length - this.#runStart <= RUN_BYTES_MAX
    );
  }

  #endRun(): void {
    if (this.#runTo === null) return;
    this.#add({
      start: this.#runStart,
      bytes: this.#end - this.#runStart,
      segmentBytes: this.#runSegmentBytes,
      segments: this.#runSegments,
      to: this.#runTo,
    });
    this.#runTo = null;
  }

  #add(run: Run): void {
    if (this.#runs.length === MESSAGES_MAX) this.#send();
    const i = this.#runs.push(run) - 1;
    const { sockaddr } = run.to;
    this.#names.bytes.set(sockaddr, i * NAME_BYTES);
    const header = (i * HEADER_BYTES) >> 2;
    this.#headerWords[header + 2] = sockaddr.length;
    this.#headerWords[header + 10] = run.segments > 1 ? CONTROL_BYTES : 0;
    const vector = (i * VECTOR_BYTES) >> 2;
    setAddress(this.#vectorWords, vector, this.arena.at(run.start));
    this.#vectorWords[vector + 2] = run.bytes;
    this.#controlWords[((i * CONTROL_BYTES) >> 2) + 4] = run.segmentBytes;
  }

  /** Writes what never changes of the message at `i`: who points where. */
  #prepare(i: number): void {
    const header = (i * HEADER_BYTES) >> 2;
    setAddress(this.#headerWords, header, this.#names.at(i * NAME_BYTES));
    setAddress(this.#headerWords, header + 4, this.#vectors.at(i * VECTOR_BYTES));
    this.#headerWords[header + 6] = 1;
    setAddress(this.#headerWords, header + 8, this.#controls.at(i * CONTROL_BYTES));
    const control = (i * CONTROL_BYTES) >> 2;
    this.#controlWords[control] = CONTROL_LENGTH;
    this.#controlWords[control + 2] = SOL_UDP;
    this.#controlWords[control + 3] = UDP_SEGMENT;
  }

  #send(): void {
    const runs = this.#runs;
    for (let at = 0; at < runs.length; ) {
      const sent = this.#calls.sendmmsg(
        this.#descriptor,
        this.#headers.at(at * HEADER_BYTES),
        runs.length - at,
        MSG_DONTWAIT,
      );
      this.counters.systemCalls++;
      if (sent > 0) {
        this.#count(at, at + sent);
        at += sent;
        continue;
      }
      const failure = this.#calls.errno();
      if (failure === EINTR) continue;
      if ((failure === EINVAL || failure === EIO) && runs[at]!.segments > 1) {
        this.#resendSingly(runs.splice(at));
        return;
      }
      if (failure === EAGAIN || failure === ENOBUFS) {
        this.#refuse(at);
        break;
      }
      this.counters.dropped += runs[at++]!.segments;
    }
    runs.length = 0;
  }

  #refuse(from: number): void {
    for (let i = from; i < this.#runs.length; i++) {
      const { to, segments } = this.#runs[i]!;
      to.refused += segments;
      this.counters.refused += segments;
    }
  }

  #count(from: number, to: number): void {
    for (let i = from; i < to; i++) {
      this.counters.packets += this.#runs[i]!.segments;
      this.counters.bytes += this.#runs[i]!.bytes;
    }
  }

  /** The system refused a run of several segments: nobody gets any from now on. */
  #resendSingly(rest: readonly Run[]): void {
    this.segmentation = false;
    this.#runs.length = 0;
    for (const { start, bytes, segmentBytes, to } of rest) {
      for (let at = 0; at < bytes; at += segmentBytes) {
        const length = Math.min(segmentBytes, bytes - at);
        this.#add({ start: start + at, bytes: length, segmentBytes: length, segments: 1, to });
      }
    }
    this.#send();
  }
}

/** A 64-bit little-endian address as two words. */
function setAddress(words: Uint32Array, at: number, address: number): void {
  words[at] = address;
  words[at + 1] = address / 2 ** 32;
}

/** A batch for the socket, or `null` where the system has no `sendmmsg`. */
export function openBatch(descriptor: number): DatagramBatch | null {
  const symbols = libc;
  if (symbols === null || descriptor < 0) return null;
  const calls = { sendmmsg: symbols.sendmmsg, errno: () => errno(symbols) };
  return new DatagramBatch(calls, descriptor);
}
