/** The outside of DTLS 1.2 records (RFC 6347 section 4.1): enough to decide what may be looked into. */
import { readU32 } from "../rtp/header.ts";

export const ALERT = 21;
export const HANDSHAKE = 22;

export const RECORD_HEADER_BYTES = 13;
const HANDSHAKE_HEADER_BYTES = 12;

/** Certificates of browsers are under 1 KB; a chain of several is not expected from a viewer. */
const HANDSHAKE_BYTES_MAX = 16_384;

export interface DtlsRecord {
  readonly type: number;
  readonly version: number;
  /** 0 in the clear, 1 under the negotiated keys. */
  readonly epoch: number;
  /** 48 bits. */
  readonly sequence: number;
  /** Bounds of the record in the datagram, header included. */
  readonly start: number;
  readonly end: number;
}

/** The records of a datagram, or `null` when it is not made of whole DTLS records. */
export function readRecords(b: Uint8Array): DtlsRecord[] | null {
  const records: DtlsRecord[] = [];
  let at = 0;
  while (at < b.length) {
    if (at + RECORD_HEADER_BYTES > b.length || b[at + 1] !== 0xfe) return null;
    const end = at + RECORD_HEADER_BYTES + ((b[at + 11]! << 8) | b[at + 12]!);
    if (end > b.length || end === at + RECORD_HEADER_BYTES) return null;
    records.push({
      type: b[at]!,
      version: (b[at + 1]! << 8) | b[at + 2]!,
      epoch: (b[at + 3]! << 8) | b[at + 4]!,
      sequence: ((b[at + 5]! << 8) | b[at + 6]!) * 2 ** 32 + readU32(b, at + 7),
      start: at,
      end,
    });
    at = end;
  }
  return records;
}

/** Whether a clear-text handshake record holds whole, reasonably long message fragments. */
export function handshakeIsSound(b: Uint8Array, record: DtlsRecord): boolean {
  let at = record.start + RECORD_HEADER_BYTES;
  while (at < record.end) {
    if (at + HANDSHAKE_HEADER_BYTES > record.end) return false;
    const length = readU24(b, at + 1);
    const offset = readU24(b, at + 6);
    const fragment = readU24(b, at + 9);
    if (length > HANDSHAKE_BYTES_MAX || offset + fragment > length) return false;
    at += HANDSHAKE_HEADER_BYTES + fragment;
  }
  return at === record.end;
}

function readU24(b: Uint8Array, at: number): number {
  return (b[at]! << 16) | (b[at + 1]! << 8) | b[at + 2]!;
}

/** Whether a ClientHello's body carries a cookie (RFC 6347 section 4.2.1). */
export function helloHasCookie(body: Uint8Array): boolean {
  const sessionLength = body[34] ?? 0;
  return (body[35 + sessionLength] ?? 0) > 0;
}

/** Writes the header of a record with `length` bytes behind it. */
export function writeRecordHeader(
  b: Uint8Array,
  record: Pick<DtlsRecord, "type" | "version" | "epoch" | "sequence">,
  length: number,
): void {
  const view = new DataView(b.buffer, b.byteOffset);
  view.setUint8(0, record.type);
  view.setUint16(1, record.version);
  view.setUint16(3, record.epoch);
  view.setUint16(5, Math.floor(record.sequence / 2 ** 32));
  view.setUint32(7, record.sequence);
  view.setUint16(11, length);
}
