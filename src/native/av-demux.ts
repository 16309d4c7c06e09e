/**
 * Reading of sources by libav, which node-av brings along: whatever it can open, as compressed video
 * and audio. H.264 and H.265 come in Annex B form with their parameter sets in front of keyframes.
 *
 * Every call that may block runs on a thread of its own; `interrupt` ends it.
 *
 * @module
 */
import {
  AV_CODEC_ID_AAC,
  AV_CODEC_ID_ADPCM_G722,
  AV_CODEC_ID_H264,
  AV_CODEC_ID_HEVC,
  AV_CODEC_ID_MJPEG,
  AV_CODEC_ID_NONE,
  AV_CODEC_ID_OPUS,
  AV_CODEC_ID_PCM_ALAW,
  AV_CODEC_ID_PCM_MULAW,
  AV_CODEC_ID_VP8,
  AV_LOG_ERROR,
  AV_LOG_QUIET,
  AV_NOPTS_VALUE,
  AV_PKT_FLAG_CORRUPT,
  AVERROR_EAGAIN,
  AVERROR_EOF,
  AVFMT_FLAG_NOPARSE,
  AVMEDIA_TYPE_AUDIO,
  AVMEDIA_TYPE_VIDEO,
  AVSEEK_FLAG_BACKWARD,
} from "node-av/constants";
import {
  BitStreamFilter,
  BitStreamFilterContext,
  Codec as Decoder,
  Dictionary,
  FFmpegError,
  FormatContext,
  InputFormat,
  Log,
  Packet,
  type Stream,
} from "node-av/lib";
import { assert, Fault } from "../core/fault.ts";
import type { Codec } from "../rtp/track-format.ts";
import type { AvInputOptions } from "../source/av-source.ts";

/** libav's identifiers of the codecs that tracks can have. */
const CODECS: ReadonlyMap<number, Codec> = new Map<number, Codec>([
  [AV_CODEC_ID_H264, "h264"],
  [AV_CODEC_ID_HEVC, "h265"],
  [AV_CODEC_ID_MJPEG, "mjpeg"],
  [AV_CODEC_ID_VP8, "vp8"],
  [AV_CODEC_ID_PCM_MULAW, "pcmu"],
  [AV_CODEC_ID_PCM_ALAW, "pcma"],
  [AV_CODEC_ID_ADPCM_G722, "g722"],
  [AV_CODEC_ID_OPUS, "opus"],
  [AV_CODEC_ID_AAC, "aac"],
]);

/** Both leave alone what is in Annex B form already. */
const TO_ANNEX_B: ReadonlyMap<Codec, string> = new Map([
  ["h264", "h264_mp4toannexb"],
  ["h265", "hevc_mp4toannexb"],
]);

/** What libav wrote last before it gave up; more than this repeats itself. */
const LINES_MAX = 20;

/** One stream of the source. */
export interface AvTrack {
  readonly kind: "video" | "audio";
  /** `null` for codecs that the hub does not handle. */
  readonly codec: Codec | null;
  /** libav's name of the codec, for people. */
  readonly codecName: string;
  /** Annex B parameter sets, or AAC's AudioSpecificConfig; empty when not known beforehand. */
  readonly extradata: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly sampleHz: number;
  readonly channels: number;
  /** Pictures a second as the source says, 0 when it does not. */
  readonly framesPerSecond: number;
  /** How many pictures a decoder holds back to bring them into order: above 0 with B-frames. */
  readonly reorderPictures: number;
}

/** One packet of a track. */
export interface AvPacket {
  readonly kind: "video" | "audio";
  /** Borrowed until the next `read`. */
  readonly bytes: Uint8Array;
  /** When to show it, in seconds of the source's own clock; `null` when the source does not say. */
  readonly presentation: number | null;
  /** When to decode it; as `presentation`. */
  readonly decode: number | null;
  /** Seconds; 0 when not known. */
  readonly duration: number;
  /** The demuxer knows that something of it is missing. */
  readonly damaged: boolean;
}

/** libav refused. */
export class AvError extends Error {
  override readonly name = "AvError";
  /** libav's, negative. */
  readonly code: number;
  /** What libav logged about it, newest last. May hold addresses and credentials. */
  readonly lines: readonly string[];

  constructor(code: number, lines: readonly string[]) {
    super(FFmpegError.strerror(code));
    this.code = code;
    this.lines = lines;
  }
}

/** One source; owns everything that libav allocated for it. */
export class AvInput implements AsyncDisposable {
  readonly tracks: readonly AvTrack[];
  /** The demuxer's name, such as `rtsp`. */
  readonly format: string;
  readonly #context: FormatContext;
  readonly #packet: Packet;
  readonly #selected: readonly Selected[];
  /** The filter that may hold more packets, `null` when all were taken. */
  #draining: Selected | null = null;
  #closed = false;

  private constructor(context: FormatContext, selected: readonly Selected[]) {
    this.#context = context;
    this.#selected = selected;
    this.tracks = selected.map(({ track }) => track);
    this.format = context.iformat?.name ?? "";
    this.#packet = new Packet();
    this.#packet.alloc();
  }

  /**
   * Opens the source and finds its first video and audio. Aborting interrupts it.
   *
   * @throws AvError, or Fault `native_unavailable`
   */
  static async open(options: AvInputOptions, signal: AbortSignal): Promise<AvInput> {
    signal.throwIfAborted();
    const context = new FormatContext();
    context.allocContext();
    const interrupt = (): void => context.interrupt();
    signal.addEventListener("abort", interrupt);
    const lines = listen();
    try {
      await openContext(context, options);
      await findStreams(context, options);
      return new AvInput(context, select(context.streams));
    } catch (thrown) {
      await context.closeInput();
      // libav's lines arrive with the next turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      throw thrown instanceof AvError ? new AvError(thrown.code, lines) : thrown;
    } finally {
      signal.removeEventListener("abort", interrupt);
      // From here on it would write a line for every packet that was lost.
      Log.setLevel(AV_LOG_QUIET);
      Log.setCallback(null);
    }
  }

  /**
   * The next packet, `null` at the end of the source. Streams that were not selected are skipped.
   *
   * @throws AvError
   */
  async read(): Promise<AvPacket | null> {
    for (;;) {
      const held = this.#draining && this.#take(this.#draining);
      if (held) return held;
      this.#packet.unref();
      const code = await this.#context.readFrame(this.#packet);
      if (code === AVERROR_EOF) return null;
      if (code < 0) throw new AvError(code, []);
      const selected = this.#selected.find(({ index }) => index === this.#packet.streamIndex);
      if (!selected) continue;
      if (!selected.filter) return this.#packetOf(selected);
      // What the filter cannot make sense of is no picture; the next one may be.
      if (selected.filter.sendPacketSync(this.#packet) >= 0) this.#draining = selected;
    }
  }

  /** Back to the start of a file. @throws AvError for sources that cannot */
  async rewind(): Promise<void> {
    for (const { filter } of this.#selected) filter?.flush();
    this.#draining = null;
    const code = await this.#context.seekFrame(-1, 0n, AVSEEK_FLAG_BACKWARD);
    if (code < 0) throw new AvError(code, []);
  }

  /** Ends a `read` that waits, with an AvError. Nothing can be read afterwards. */
  interrupt(): void {
    this.#context.interrupt();
  }

  /** Takes leave of the source and frees everything. Not while a `read` is under way. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const { filter } of this.#selected) filter?.free();
    this.#packet.free();
    await this.#context.closeInput();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take(selected: Selected): AvPacket | null {
    this.#packet.unref();
    const code = selected.filter?.receivePacketSync(this.#packet) ?? AVERROR_EAGAIN;
    if (code >= 0) return this.#packetOf(selected);
    this.#draining = null;
    return null;
  }

  #packetOf({ track: { kind }, secondsPerTick }: Selected): AvPacket {
    const { pts, dts, duration, data, flags } = this.#packet;
    return {
      kind,
      bytes: data ?? new Uint8Array(0),
      presentation: pts === AV_NOPTS_VALUE ? null : Number(pts) * secondsPerTick,
      decode: dts === AV_NOPTS_VALUE ? null : Number(dts) * secondsPerTick,
      duration: Number(duration) * secondsPerTick,
      damaged: (flags & AV_PKT_FLAG_CORRUPT) !== 0,
    };
  }
}

interface Selected {
  readonly index: number;
  readonly track: AvTrack;
  readonly filter: BitStreamFilterContext | null;
  readonly secondsPerTick: number;
}

/** Keeps the newest lines that libav writes from now on. */
function listen(): readonly string[] {
  const lines: string[] = [];
  Log.setLevel(AV_LOG_ERROR);
  Log.setCallback((_level, line) => {
    lines.push(line.trim());
    if (lines.length > LINES_MAX) lines.shift();
  });
  return lines;
}

async function openContext(context: FormatContext, given: AvInputOptions): Promise<void> {
  const format = given.format === null ? null : InputFormat.findInputFormat(given.format);
  if (given.format !== null && format === null) {
    const message = `The installed node-av reads no ${given.format}: install the one named in package.json.`;
    throw new Fault("native_unavailable", message);
  }
  const options = Dictionary.fromObject({ ...given.options });
  try {
    check(await context.openInput(given.url, format, options));
  } finally {
    options.free();
  }
}

/**
 * libav looks into packets for seconds when asked what the streams are. Where the source has told
 * already, that time is saved.
 */
async function findStreams(context: FormatContext, { wholeUnits }: AvInputOptions): Promise<void> {
  if (wholeUnits.includes(context.iformat?.name ?? "")) context.setFlags(AVFMT_FLAG_NOPARSE);
  const { streams } = context;
  if (streams.length > 0 && streams.every(isDescribed)) return;
  check(await context.findStreamInfo(null));
}

/** Of codecs that the hub does not handle, the name is enough. */
function isDescribed({ codecpar: { codecType, codecId, sampleRate } }: Stream): boolean {
  if (codecId === AV_CODEC_ID_NONE) return false;
  // AAC says in each frame what it is.
  const isSound = codecType === AVMEDIA_TYPE_AUDIO && codecId !== AV_CODEC_ID_AAC;
  return !isSound || !CODECS.has(codecId) || sampleRate > 0;
}

/** The first stream of either kind that the hub handles, or else the first of that kind. */
function select(streams: readonly Stream[]): Selected[] {
  const chosen: Selected[] = [];
  for (const type of [AVMEDIA_TYPE_VIDEO, AVMEDIA_TYPE_AUDIO]) {
    const those = streams.filter(({ codecpar }) => codecpar.codecType === type);
    const stream = those.find(({ codecpar }) => CODECS.has(codecpar.codecId)) ?? those[0];
    if (stream) chosen.push(selected(stream, type === AVMEDIA_TYPE_VIDEO ? "video" : "audio"));
  }
  return chosen;
}

function selected(stream: Stream, kind: AvTrack["kind"]): Selected {
  const { codecpar: parameters, timeBase, avgFrameRate } = stream;
  const codec = CODECS.get(parameters.codecId) ?? null;
  const filter = codec && filterFor(codec, stream);
  const described = filter?.outputCodecParameters ?? parameters;
  const track = {
    kind,
    codec,
    codecName: Decoder.findDecoder(parameters.codecId)?.name ?? `codec ${parameters.codecId}`,
    extradata: Uint8Array.from(described.extradata ?? []),
    width: parameters.width,
    height: parameters.height,
    sampleHz: parameters.sampleRate,
    channels: kind === "video" ? 1 : parameters.channels,
    framesPerSecond: avgFrameRate.den > 0 ? avgFrameRate.num / avgFrameRate.den : 0,
    reorderPictures: kind === "video" ? parameters.videoDelay : 0,
  };
  return { index: stream.index, track, filter, secondsPerTick: timeBase.num / timeBase.den };
}

function filterFor(codec: Codec, stream: Stream): BitStreamFilterContext | null {
  const name = TO_ANNEX_B.get(codec);
  if (name === undefined) return null;
  const found = BitStreamFilter.getByName(name);
  assert(found !== null, "node-av's FFmpeg has the filters for its own formats");
  const filter = new BitStreamFilterContext();
  check(filter.alloc(found));
  const input = filter.inputCodecParameters;
  assert(input !== null, "an allocated filter has parameters");
  check(stream.codecpar.copy(input));
  filter.inputTimeBase = stream.timeBase;
  check(filter.init());
  return filter;
}

function check(code: number): void {
  if (code < 0) throw new AvError(code, []);
}
