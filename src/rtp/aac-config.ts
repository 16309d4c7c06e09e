/** AudioSpecificConfig of AAC, ISO/IEC 14496-3 section 1.6.2.1. */
import { BitReader } from "./bits.ts";

/** What a decoder or a player wants to know of an AAC stream. */
export interface AudioConfig {
  /** 2 is AAC-LC; of a stream with spectral band replication, the type of its core. */
  readonly objectType: number;
  /** Of what comes out of a decoder that knows the extensions that the configuration names. */
  readonly sampleRate: number;
  readonly channels: number;
  /** Samples per channel that one frame decodes to, at `sampleRate`. */
  readonly frameSamples: number;
}

/** Table 1.18. */
const SAMPLE_RATES: readonly number[] = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
  7_350,
];
/** Written out as a number of 24 bits. */
const RATE_EXPLICIT = 15;
/** Table 1.19: channels by channelConfiguration; 0 stands for a list that is not read here. */
const CHANNELS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 8];

const TYPE_LC = 2;
/** Spectral band replication, and the same with parametric stereo: another type follows. */
const TYPE_SBR = 5;
const TYPE_PS = 29;
const TYPE_ESCAPE = 31;
/** Types whose configuration starts with GASpecificConfig, as far as anybody streams them. */
const GENERAL_AUDIO = new Set([1, TYPE_LC, 3, 4, 17, 23]);

/** Reads a configuration. `null` when it is cut short, or of no codec that AAC decoders know. */
export function readAudioConfig(bytes: Uint8Array): AudioConfig | null {
  const r = new BitReader(bytes);
  const first = readObjectType(r);
  const coreRate = readRate(r);
  const channels = CHANNELS[r.bits(4)] ?? 0;
  const extended = first === TYPE_SBR || first === TYPE_PS;
  const sampleRate = extended ? readRate(r) : coreRate;
  const objectType = extended ? readObjectType(r) : first;
  if (!GENERAL_AUDIO.has(objectType) || coreRate === 0 || sampleRate === 0) return null;
  const coreSamples = r.bits(1) === 1 ? 960 : 1024;
  if (r.overrun) return null;
  const frameSamples = Math.round((coreSamples * sampleRate) / coreRate);
  // Parametric stereo makes two channels of one.
  return { objectType, sampleRate, channels: first === TYPE_PS ? 2 : channels, frameSamples };
}

/** The configuration of AAC-LC, for a stream that came without. `null` for what it cannot say. */
export function writeAudioConfig(sampleRate: number, channels: number): Uint8Array | null {
  const rate = SAMPLE_RATES.indexOf(sampleRate);
  const configuration = CHANNELS.indexOf(channels);
  if (rate < 0 || configuration <= 0) return null;
  const bits = (TYPE_LC << 11) | (rate << 7) | (configuration << 3);
  return Uint8Array.of(bits >> 8, bits & 0xff);
}

function readObjectType(r: BitReader): number {
  const type = r.bits(5);
  return type === TYPE_ESCAPE ? 32 + r.bits(6) : type;
}

/** 0 for an index that means nothing. */
function readRate(r: BitReader): number {
  const index = r.bits(4);
  return index === RATE_EXPLICIT ? r.bits(24) : (SAMPLE_RATES[index] ?? 0);
}
