/** `onepull cameras`: synthetic cameras on their own, for tests and benches. */
import { Fault } from "../core/fault.ts";
import { Secret } from "../core/secret.ts";
import type { H264Profile } from "../native/encode.ts";
import { SYNTHETIC_DEFAULTS, type SyntheticOptions } from "../synthetic/options.ts";
import { SyntheticCameras } from "../synthetic/synthetic.ts";
import { readArguments, wholeNumber, wrongValue } from "./arguments.ts";

const USAGE = `onepull cameras: an RTSP server with synthetic cameras

  --count N            cameras (1)
  --port P             RTSP port; 0 lets the system choose (8654)
  --host H             address to listen on (127.0.0.1)
  --prefix NAME        cameras are called NAME1, NAME2, … (camera-)
  --size WxH           picture size (1920x1080)
  --fps F              pictures a second (25)
  --bitrate B          bits a second, as 4000000, 4000k or 4M (4M)
  --gop S              seconds from keyframe to keyframe (2)
  --profile NAME       baseline, main or high (baseline)
  --out-of-band        parameter sets only in the session description
  --start-keyframe     every client's first frame is a keyframe
  --user U --password P   who may connect (everyone)
  --control P          HTTP port of the control interface, on 127.0.0.1 (none)
  --log FILE           when which frame was written, one line of JSON each (none)
  --cache FOLDER       where encoded clips are kept (~/.cache/onepull)
`;

const OPTIONS = {
  count: { type: "string" },
  port: { type: "string" },
  host: { type: "string" },
  prefix: { type: "string" },
  size: { type: "string" },
  fps: { type: "string" },
  bitrate: { type: "string" },
  gop: { type: "string" },
  profile: { type: "string" },
  "out-of-band": { type: "boolean" },
  "start-keyframe": { type: "boolean" },
  user: { type: "string" },
  password: { type: "string" },
  control: { type: "string" },
  log: { type: "string" },
  cache: { type: "string" },
  help: { type: "boolean" },
} as const;

type Values = ReturnType<typeof readArguments<typeof OPTIONS>>;

/** The RTSP port unless another is asked for; the hub has 8554. */
const PORT_DEFAULT = 8654;
/** More addresses than this are printed as a range. */
const LINES_MAX = 8;

/**
 * Runs until SIGINT or SIGTERM.
 *
 * @throws Fault `request_invalid` for what the command line says, and whatever keeps the cameras
 * from starting
 */
export async function cameras(argv: string[]): Promise<number> {
  const values = readArguments(argv, OPTIONS);
  if (values.help) console.log(USAGE);
  else await run(optionsOf(values));
  return 0;
}

async function run(options: Partial<SyntheticOptions>): Promise<void> {
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    const hooks = { progress: showProgress, warn: (message: string) => console.error(message) };
    await using running = await SyntheticCameras.open({ ...options, ...hooks }, stopped.signal);
    printAddresses(running);
    if (!stopped.signal.aborted) {
      await new Promise((resolve) => stopped.signal.addEventListener("abort", resolve));
    }
  } catch (thrown) {
    // Stopped while it encoded: what the person wanted.
    if (thrown !== stopped.signal.reason) throw thrown;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}

function optionsOf(values: Values): Partial<SyntheticOptions> {
  const size = sizeOf(values.size);
  return {
    ...size,
    count: whole("count", values.count, 1, 1000) ?? SYNTHETIC_DEFAULTS.count,
    port: whole("port", values.port, 0, 65_535) ?? PORT_DEFAULT,
    host: values.host ?? SYNTHETIC_DEFAULTS.host,
    prefix: prefixOf(values.prefix),
    fps: whole("fps", values.fps, 1, 120) ?? SYNTHETIC_DEFAULTS.fps,
    bitrate: bitrateOf(values.bitrate),
    gopSeconds: secondsOf(values.gop),
    profile: profileOf(values.profile),
    parameterSets: values["out-of-band"] ? "out of band" : "in band",
    startWithKeyframe: values["start-keyframe"] ?? false,
    login: loginOf(values),
    controlPort: whole("control", values.control, 0, 65_535),
    logFile: values.log ?? null,
    ...(values.cache !== undefined && { clipFolder: values.cache }),
  };
}

/** `null` when the option was not given. */
function whole(option: string, value: string | undefined, min: number, max: number): number | null {
  return value === undefined ? null : wholeNumber(option, value, min, max);
}

function sizeOf(value = "1920x1080"): { readonly width: number; readonly height: number } {
  const [, width = Number.NaN, height = Number.NaN] = (/^(\d+)x(\d+)$/.exec(value) ?? []).map(
    Number,
  );
  const fits = width >= 160 && width <= 3840 && height >= 90 && height <= 2160;
  if (fits && width % 2 === 0 && height % 2 === 0) return { width, height };
  throw wrongValue("size", "even numbers from 160x90 to 3840x2160, such as 1280x720", value);
}

function bitrateOf(value = "4M"): number {
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)([kM]?)$/.exec(value) ?? [];
  const factor = unit === "M" ? 1e6 : unit === "k" ? 1e3 : 1;
  const bitrate = digits === "" ? Number.NaN : Math.round(Number(digits) * factor);
  if (bitrate >= 50_000 && bitrate <= 100_000_000) return bitrate;
  throw wrongValue("bitrate", "bits a second from 50k to 100M, such as 4M or 4000k", value);
}

function secondsOf(value = String(SYNTHETIC_DEFAULTS.gopSeconds)): number {
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (seconds > 0 && seconds <= 60) return seconds;
  throw wrongValue("gop", "seconds above 0 and up to 60, such as 2 or 0.5", value);
}

function profileOf(value: string = SYNTHETIC_DEFAULTS.profile): H264Profile {
  if (value === "baseline" || value === "main" || value === "high") return value;
  throw wrongValue("profile", "baseline, main or high", value);
}

function prefixOf(value: string = SYNTHETIC_DEFAULTS.prefix): string {
  if (/^[A-Za-z0-9._-]{1,64}$/.test(value)) return value;
  throw wrongValue("prefix", "up to 64 letters, digits, dots, hyphens and underscores", value);
}

function loginOf({ user, password }: Values): SyntheticOptions["login"] {
  if (user === undefined && password === undefined) return null;
  if (user !== undefined && password !== undefined) return { user, password: new Secret(password) };
  throw new Fault("request_invalid", "--user and --password are given together, or neither.");
}

/** One line that overwrites itself, on a terminal only. */
function showProgress(done: number, frames: number): void {
  if (!process.stderr.isTTY) {
    if (done === 1) console.error(`Encoding a clip of ${frames} pictures …`);
    return;
  }
  process.stderr.write(`\rEncoding a clip: ${done} of ${frames} pictures`);
  if (done === frames) process.stderr.write("\n");
}

function printAddresses(running: SyntheticCameras): void {
  const addresses = running.stats().cameras.map(({ url }) => url);
  if (addresses.length <= LINES_MAX) for (const address of addresses) console.log(address);
  else console.log(`${addresses[0]} to ${addresses.at(-1)}`);
  if (running.controlPort !== null) {
    console.log(`control: http://127.0.0.1:${running.controlPort}/cameras`);
  }
}
