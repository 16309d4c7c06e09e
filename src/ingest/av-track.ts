/**
 * From libav's packets to whole units as repacketizers take them: what a track is encoded in, where
 * one unit ends, and which RTP timestamp it has.
 *
 * @module
 */
import { type RtpTicks, VIDEO_CLOCK_HZ } from "../core/units.ts";
import type { AvPacket, AvTrack } from "../native/av-demux.ts";
import { readAudioConfig } from "../rtp/aac-config.ts";
import { nalUnits } from "../rtp/annex-b.ts";
import type { Codec, TrackFormat } from "../rtp/track-format.ts";
import { adtsConfig, adtsFrames, isAdts } from "./adts.ts";

/** Opus and G.722 have clocks of their own (RFC 7587 section 4.1, RFC 3551 section 4.5.2). */
const FIXED_CLOCK_HZ: Partial<Record<Codec, number>> = { opus: 48_000, g722: 8_000 };
/** 20 ms of G.711 at 8 kHz and of G.722: what players expect in a packet (RFC 3551 section 4.5). */
const PCM_UNIT_BYTES = 160;
/** Containers that count in milliseconds are off by this much at most; more is a real gap. */
const AUDIO_DRIFT_SECONDS = 0.05;
/** Where a source does not say how long a picture lasts. */
const PICTURE_SECONDS = 1 / 25;

/** Takes units of one track. The bytes are borrowed until it returns. */
export type TakeUnit = (b: Uint8Array, start: number, end: number, timestamp: RtpTicks) => void;

/** `null` until the source's packets have told what the format is, `undefined` for none of ours. */
export function formatOf(track: AvTrack, first: AvPacket | null): TrackFormat | null | undefined {
  const { codec, kind, extradata } = track;
  if (codec === null) return undefined;
  if (kind === "video") {
    return format(codec, {
      kind,
      clockHz: VIDEO_CLOCK_HZ,
      channels: 1,
      parameterSets: nalUnits(extradata),
    });
  }
  if (codec !== "aac") {
    const clockHz = FIXED_CLOCK_HZ[codec] ?? track.sampleHz;
    return format(codec, { kind, clockHz, channels: track.channels, parameterSets: [] });
  }
  const config = extradata.length > 0 ? extradata : first && adtsConfig(first.bytes);
  const known = config && readAudioConfig(config);
  if (!config || !known) return first === null ? null : undefined;
  const { sampleRate, channels } = known;
  return format("aac", { kind, clockHz: sampleRate, channels, parameterSets: [config] });
}

function format(codec: Codec, rest: Omit<TrackFormat, "codec" | "auHeader">): TrackFormat {
  return { codec, auHeader: null, ...rest };
}

/** One track on its way. Timestamps go on growing across `loopSeconds`. */
export class AvTrackReader {
  readonly #format: TrackFormat;
  readonly #take: TakeUnit;
  /** Of AAC. */
  readonly #frameSeconds: number;
  /** Seconds; where the next unit is expected. */
  #next = 0;
  #counts = false;

  constructor(trackFormat: TrackFormat, take: TakeUnit) {
    this.#format = trackFormat;
    this.#take = take;
    const [config] = trackFormat.parameterSets;
    const aac = trackFormat.codec === "aac" && config ? readAudioConfig(config) : null;
    this.#frameSeconds = aac ? aac.frameSamples / aac.sampleRate : 0;
  }

  /** @param offset seconds that are added to the source's own time */
  packet(packet: AvPacket, offset: number): void {
    const told = packet.presentation ?? packet.decode;
    const at = told === null ? this.#next : told + offset;
    if (this.#format.kind === "video") this.#video(packet, at);
    else this.#audio(packet, this.#smooth(at));
  }

  #video({ bytes, duration }: AvPacket, at: number): void {
    this.#next = at + (duration > 0 ? duration : PICTURE_SECONDS);
    this.#take(bytes, 0, bytes.length, this.#ticks(at));
  }

  /** Sound has no pauses between its units: their lengths say better than rounded timestamps. */
  #smooth(at: number): number {
    const near = this.#counts && Math.abs(at - this.#next) < AUDIO_DRIFT_SECONDS;
    this.#counts = true;
    return near ? this.#next : at;
  }

  #audio(packet: AvPacket, at: number): void {
    const { codec, clockHz, channels } = this.#format;
    const { bytes } = packet;
    if (codec === "aac") this.#aac(bytes, at);
    else if (codec === "opus") {
      this.#take(bytes, 0, bytes.length, this.#ticks(at));
      this.#next = at + packet.duration;
    } else this.#pcm(bytes, at, clockHz * channels);
  }

  #aac(bytes: Uint8Array, at: number): void {
    const frames = isAdts(bytes) ? adtsFrames(bytes) : [{ start: 0, end: bytes.length }];
    for (const [i, { start, end }] of frames.entries()) {
      this.#take(bytes, start, end, this.#ticks(at + i * this.#frameSeconds));
    }
    this.#next = at + frames.length * this.#frameSeconds;
  }

  /** One byte per sample; G.722's clock runs at half its sampling rate, which comes to the same. */
  #pcm(bytes: Uint8Array, at: number, bytesPerSecond: number): void {
    const unit = PCM_UNIT_BYTES * this.#format.channels;
    for (let start = 0; start < bytes.length; start += unit) {
      const end = Math.min(start + unit, bytes.length);
      this.#take(bytes, start, end, this.#ticks(at + start / bytesPerSecond));
    }
    this.#next = at + bytes.length / bytesPerSecond;
  }

  #ticks(at: number): RtpTicks {
    return Math.round(at * this.#format.clockHz) >>> 0;
  }
}
