/** `./onepull probe URL`: what a camera offers, and whether it works. */
import { Fault } from "../core/fault.ts";
import { Secret } from "../core/secret.ts";
import { type ProbedTrack, type ProbeReport, probe as probeSource } from "../ingest/probe.ts";
import { readArguments, wholeNumber, wrongValue } from "./arguments.ts";

const HELP = `./onepull probe URL [options]

Pulls the source for some seconds and says what it sends and how the hub takes it.

  --transport tcp|udp  for RTSP (TCP, or UDP where the camera refuses TCP)
  --seconds N          how long to look (3)
  --insecure           accept any certificate of rtsps://
  --json               for programs

Exit code 0 when the hub can pull it, 1 when not, 2 when the command is wrong.`;

/** Longer than any keyframe interval that makes sense. */
const SECONDS_MAX = 120;

/** What browsers play as it comes, by WebRTC. */
const BROWSER_AUDIO = ["opus", "pcmu", "pcma"];

export async function probe(argv: string[]): Promise<number> {
  const [source, ...rest] = argv[0]?.startsWith("--") ? ["", ...argv] : argv;
  const options = readArguments(rest, {
    transport: { type: "string", default: "auto" },
    seconds: { type: "string", default: "3" },
    insecure: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean" },
  });
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (!source) throw new Fault("request_invalid", "probe takes the camera's address; see --help.");
  const report = await probeSource({
    source: new Secret(source),
    transport: transportOf(options.transport),
    tls: { verify: !options.insecure, fingerprint: null },
    lookMs: wholeNumber("seconds", options.seconds, 1, SECONDS_MAX) * 1_000,
  });
  console.log(options.json ? JSON.stringify(plain(report), null, 2) : inWords(report));
  return 0;
}

function transportOf(value: string): "auto" | "tcp" | "udp" {
  if (value === "auto" || value === "tcp" || value === "udp") return value;
  throw wrongValue("transport", "tcp or udp", value);
}

/** As the API writes things. */
function plain({ puller, notNative, transport, startMs, survey, tracks }: ProbeReport): unknown {
  return {
    puller,
    not_native: notNative,
    transport,
    start_ms: Math.round(startMs),
    server: survey?.server ?? null,
    authentication: survey?.authentication ?? [],
    keepalive: survey && keepalive(survey.methods),
    tracks: tracks.map((track) => ({
      kind: track.kind,
      codec: track.codec,
      clock_hz: track.clockHz,
      channels: track.channels,
      bits_per_second: track.bitsPerSecond,
      sender_reports: track.senderReports,
      lost_packets: track.lostPackets,
      width: track.picture?.width ?? null,
      height: track.picture?.height ?? null,
      fps: track.picturesPerSecond,
      keyframe_seconds: track.keyframeSeconds,
      reordered: track.reordered,
      browser: browserOf(track),
    })),
  };
}

function inWords(report: ProbeReport): string {
  const { puller, notNative, transport, startMs, survey, tracks } = report;
  const how = puller === "native" ? "by the native puller" : "by the ffmpeg puller";
  const lines = [
    `works ${how}${transport ? ` over ${transport}` : ""}; first picture after ${Math.round(startMs)} ms`,
  ];
  if (notNative !== null) lines.push(`not native: ${notNative}`);
  if (survey !== null) {
    const { server, authentication, methods } = survey;
    lines.push(
      `server: ${server ?? "does not say"}; password: ${authentication.join(", ") || "none asked for"}`,
    );
    lines.push(`kept alive by ${keepalive(methods)}`);
  }
  for (const track of tracks) lines.push(...trackInWords(track));
  return lines.join("\n");
}

function trackInWords(track: ProbedTrack): string[] {
  const { kind, codec, picture, picturesPerSecond, keyframeSeconds, bitsPerSecond } = track;
  const facts: string[] = [codec];
  if (picture) facts.push(`${picture.width}x${picture.height}`);
  if (picturesPerSecond !== null) facts.push(`${picturesPerSecond} fps`);
  if (kind === "video") {
    const interval =
      keyframeSeconds === null
        ? "seldom: look longer with --seconds"
        : `every ${keyframeSeconds.toFixed(1)} s`;
    facts.push(`keyframes ${interval}`);
  } else facts.push(`${track.clockHz} Hz`, `${track.channels} channels`);
  facts.push(`${(bitsPerSecond / 1_000).toFixed(0)} kbit/s`);
  if (track.lostPackets > 0) facts.push(`${track.lostPackets} packets lost`);
  const clock = track.senderReports
    ? "the camera tells its clock (RTCP)"
    : "the camera does not tell its clock";
  return [`${kind}: ${facts.join(", ")}`, `  browsers: ${inBrowsers(track)}; ${clock}`];
}

function keepalive(methods: readonly string[]): "GET_PARAMETER" | "OPTIONS" {
  return methods.includes("GET_PARAMETER") ? "GET_PARAMETER" : "OPTIONS";
}

/** What viewers get. */
function browserOf({ kind, codec, reordered }: ProbedTrack): "passthrough" | "some" | "transcode" {
  if (kind === "audio") return BROWSER_AUDIO.includes(codec) ? "passthrough" : "transcode";
  if (reordered) return "transcode";
  if (codec === "h265") return "some";
  return codec === "h264" || codec === "vp8" ? "passthrough" : "transcode";
}

function inBrowsers(track: ProbedTrack): string {
  switch (browserOf(track)) {
    case "passthrough":
      return "as it comes";
    case "some":
      return "as it comes where they have H.265, transcoded elsewhere";
    default:
      return track.reordered
        ? "transcoded, because of its B-frames: switch them off in the camera"
        : `transcoded: WebRTC has no ${track.codec}`;
  }
}
