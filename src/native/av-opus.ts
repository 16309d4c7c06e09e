/**
 * Sound for browsers by libav: what a camera sends in, Opus frames of 20 ms out. Everything is freed
 * by `close`, not by the collector.
 *
 * @module
 */
import {
  AV_CHANNEL_ORDER_NATIVE,
  AV_CODEC_ID_AAC,
  AV_CODEC_ID_ADPCM_G722,
  AV_CODEC_ID_OPUS,
  AV_CODEC_ID_PCM_ALAW,
  AV_CODEC_ID_PCM_MULAW,
  AV_LOG_QUIET,
  AV_SAMPLE_FMT_S16,
  type AVSampleFormat,
  FF_ENCODER_LIBOPUS,
} from "node-av/constants";
import {
  type ChannelLayout,
  Codec,
  CodecContext,
  Frame,
  Log,
  Packet,
  Rational,
  SoftwareResampleContext,
} from "node-av/lib";
import { assert, Fault } from "../core/fault.ts";
import type { AudioCodec, TrackFormat } from "../rtp/track-format.ts";

/** Opus over RTP always ticks at 48 kHz (RFC 7587 section 4.1). */
export const OPUS_CLOCK_HZ = 48_000;
/** 20 ms: the frame that browsers expect unless told otherwise. */
const FRAME_SAMPLES = 960;
/**
 * 3 ms of silence in front make up for what the resampler keeps (2 ms at 8 kHz): otherwise each
 * frame of a camera that sends 20 ms at a time would wait for the next packet.
 */
const PRIMING_SAMPLES = 144;
/** Bits per second and channel: beyond what a camera's microphone has to say. */
const CHANNEL_BITRATE = 32_000;
const CHANNELS_MAX = 2;
/** An AAC frame has 1024 samples or 2048; at 8 kHz that is 12,288 of 48 kHz. */
const CHUNK_SAMPLES_MAX = 16_384;

const DECODER_IDS = {
  aac: AV_CODEC_ID_AAC,
  g722: AV_CODEC_ID_ADPCM_G722,
  opus: AV_CODEC_ID_OPUS,
  pcma: AV_CODEC_ID_PCM_ALAW,
  pcmu: AV_CODEC_ID_PCM_MULAW,
} as const satisfies Record<AudioCodec, unknown>;

/** Sound that can be transcoded. */
export type SoundFormat = TrackFormat & { readonly codec: AudioCodec };

/** What `receive` brought. */
export interface OpusFrame {
  /** Borrowed until the next `receive`. */
  readonly bytes: Uint8Array;
  /** Of its first sample: samples of 48 kHz since the first one that was pushed. */
  readonly sample: number;
}

/** One camera's sound. */
export class OpusTranscoder implements Disposable {
  readonly channels: number;
  readonly #decoder: CodecContext;
  readonly #encoder: CodecContext;
  readonly #resampler = new SoftwareResampleContext();
  readonly #resources = new DisposableStack();
  readonly #packet = new Packet();
  readonly #decoded = new Frame();
  readonly #frame = new Frame();
  readonly #opus = new Packet();
  /** Interleaved samples of 48 kHz that wait for a whole frame. */
  readonly #samples: Int16Array<ArrayBuffer>;
  #waiting = 0;
  /** Of the first sample that waits. */
  #sample = 0;
  #resamples: AVSampleFormat | null = null;

  /**
   * @param format of the sound that comes; AAC with its AudioSpecificConfig
   * @throws Fault `native_unavailable`, `decode_failed`, `encode_failed`
   */
  constructor(format: SoundFormat) {
    Log.setLevel(AV_LOG_QUIET);
    this.channels = Math.min(CHANNELS_MAX, Math.max(1, format.channels));
    this.#samples = new Int16Array((FRAME_SAMPLES + CHUNK_SAMPLES_MAX) * this.channels);
    using resources = new DisposableStack();
    for (const owned of [this.#packet, this.#opus, this.#decoded, this.#frame]) {
      owned.alloc();
      resources.defer(() => owned.free());
    }
    this.#decoder = openDecoder(format, resources);
    this.#encoder = openEncoder(this.channels, resources);
    resources.defer(() => this.#resampler.free());
    this.#openFrame();
    this.skipTo(0);
    this.#resources = resources.move();
  }

  /**
   * Decodes one frame, borrowed; `receive` until it gives no more. Sound that is missing in front of
   * it is told by `skipTo`. False when it could not be decoded.
   */
  push(bytes: Uint8Array): boolean {
    const packet = this.#packet;
    packet.data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const code = this.#decoder.sendPacketSync(packet);
    packet.unref();
    if (code < 0) return false;
    while (this.#decoder.receiveFrameSync(this.#decoded) >= 0) this.#resample();
    return true;
  }

  /** The first sample that the next `push` brings, as counted so far. */
  get next(): number {
    return this.#sample + this.#waiting;
  }

  /** What is pushed next begins at this sample; what waits for a whole frame is let go. */
  skipTo(sample: number): void {
    this.#sample = sample;
    this.#waiting = PRIMING_SAMPLES;
    this.#samples.fill(0, 0, PRIMING_SAMPLES * this.channels);
  }

  /** Takes the next whole frame, `null` when there is none. */
  receive(): OpusFrame | null {
    this.#opus.unref();
    if (this.#waiting < FRAME_SAMPLES) return null;
    const sample = this.#sample;
    if (!this.#encode()) return null;
    this.#sample += FRAME_SAMPLES;
    this.#waiting -= FRAME_SAMPLES;
    this.#samples.copyWithin(
      0,
      FRAME_SAMPLES * this.channels,
      (FRAME_SAMPLES + this.#waiting) * this.channels,
    );
    return this.#opus.data === null ? null : { bytes: this.#opus.data, sample };
  }

  /** Frees everything. Idempotent. */
  close(): void {
    this.#resources.dispose();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #openFrame(): void {
    const frame = this.#frame;
    frame.nbSamples = FRAME_SAMPLES;
    frame.format = AV_SAMPLE_FMT_S16;
    frame.sampleRate = OPUS_CLOCK_HZ;
    frame.channelLayout = layoutOf(this.channels);
    assert(frame.getBuffer(0) >= 0, "memory for 20 ms of sound is there");
  }

  #encode(): boolean {
    const frame = this.#frame;
    if (frame.makeWritable() < 0) return false;
    const length = FRAME_SAMPLES * this.channels * 2;
    frame.data?.[0]?.set(new Uint8Array(this.#samples.buffer, 0, length));
    frame.pts = BigInt(this.#sample);
    if (this.#encoder.sendFrameSync(frame) < 0) return false;
    return this.#encoder.receivePacketSync(this.#opus) >= 0;
  }

  /** Adds the decoded samples to those that wait. What has no room is let go. */
  #resample(): void {
    const from = this.#decoded;
    const planes = from.extendedData ?? from.data;
    if (planes === null || !this.#prepare(from)) return;
    const start = this.#waiting * this.channels;
    const room = this.#samples.length / this.channels - this.#waiting;
    const to = Buffer.from(this.#samples.buffer, start * 2, room * this.channels * 2);
    this.#waiting += Math.max(0, this.#resampler.convertSync([to], room, planes, from.nbSamples));
  }

  /** Makes the resampler when the first samples show what they are. */
  #prepare(from: Frame): boolean {
    // A decoded frame of sound has a format of samples.
    const format = from.format as AVSampleFormat;
    if (this.#resamples === format) return true;
    this.#resampler.free();
    const out = [layoutOf(this.channels), AV_SAMPLE_FMT_S16, OPUS_CLOCK_HZ] as const;
    const into = [from.channelLayout, format, from.sampleRate] as const;
    const made = this.#resampler.allocSetOpts2(...out, ...into) >= 0 && this.#resampler.init() >= 0;
    this.#resamples = made ? format : null;
    return made;
  }
}

function openDecoder(
  { codec, channels, parameterSets }: SoundFormat,
  resources: DisposableStack,
): CodecContext {
  const decoder = Codec.findDecoder(DECODER_IDS[codec]);
  if (decoder === null) {
    const todo = "Install the one named in package.json.";
    throw new Fault("native_unavailable", `This node-av has no ${codec} decoder. ${todo}`);
  }
  const context = new CodecContext();
  context.allocContext3(decoder);
  resources.defer(() => context.freeContext());
  context.threadCount = 1;
  // Others say it in their bytes.
  if (codec === "g722") context.sampleRate = 16_000;
  if (codec === "pcma" || codec === "pcmu") context.sampleRate = 8_000;
  if (codec !== "aac") context.channelLayout = layoutOf(Math.max(1, channels));
  const config = parameterSets[0];
  if (codec === "aac" && config) context.extraData = Buffer.from(config);
  const code = context.open2Sync(decoder, null);
  if (code >= 0) return context;
  throw new Fault("decode_failed", `The ${codec} sound cannot be decoded (libav error ${code}).`);
}

function openEncoder(channels: number, resources: DisposableStack): CodecContext {
  const encoder = Codec.findEncoderByName(FF_ENCODER_LIBOPUS);
  if (encoder === null) {
    const todo = "Install the one named in package.json.";
    throw new Fault("native_unavailable", `This node-av has no libopus. ${todo}`);
  }
  const context = new CodecContext();
  context.allocContext3(encoder);
  resources.defer(() => context.freeContext());
  context.sampleRate = OPUS_CLOCK_HZ;
  context.sampleFormat = AV_SAMPLE_FMT_S16;
  context.channelLayout = layoutOf(channels);
  context.timeBase = new Rational(1, OPUS_CLOCK_HZ);
  context.bitRate = BigInt(CHANNEL_BITRATE * channels);
  context.setOption("application", "lowdelay");
  context.setOption("frame_duration", "20");
  const code = context.open2Sync(encoder, null);
  if (code >= 0) return context;
  throw new Fault("encode_failed", `Opus does not encode ${channels} channels (error ${code}).`);
}

/** One speaker in the middle, or left and right. */
function layoutOf(channels: number): ChannelLayout {
  return { nbChannels: channels, order: AV_CHANNEL_ORDER_NATIVE, mask: channels === 1 ? 4n : 3n };
}
