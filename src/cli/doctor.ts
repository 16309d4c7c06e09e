/** `./onepull doctor`: what this machine has, and what to do about what it has not. */
import { readFileSync, statfsSync } from "node:fs";
import { Config } from "../config/schema.ts";
import { faultOf } from "../core/fault.ts";
import { VideoDecoder } from "../native/av-decode.ts";
import { findHardwareDevices } from "../native/av-device.ts";
import { findVideoEncoder } from "../native/av-encoders.ts";
import { ZmqContext } from "../native/zmq.ts";
import { isFree } from "../process/ports.ts";
import { Sfu } from "../sfu/sfu.ts";
import { Log } from "../telemetry/log.ts";
import { readArguments } from "./arguments.ts";

const HELP = `./onepull doctor

Says what is present (system libraries, decoding devices, shared memory, ports) and what to do about
what is not. Exit code 1 when the hub would not work.`;

/** Rings of four 1080p cameras take 100 MB. */
const SHARED_MEMORY_MIN = 256 << 20;
/** A keyframe over UDP comes as fast as the network: a second of 20 Mbps. */
const RECEIVE_BUFFER_MIN = 2 << 20;

type Finding =
  | { readonly is: "good"; readonly what: string }
  /** It works, less well. */
  | { readonly is: "weak"; readonly what: string; readonly todo: string }
  /** The hub does not work. */
  | { readonly is: "bad"; readonly what: string; readonly todo: string };

const CHECKS: readonly (() => Promise<Finding> | Finding)[] = [
  media,
  frameBus,
  decoding,
  encoding,
  sharedMemory,
  receiveBuffer,
  ports,
];

export async function doctor(argv: string[]): Promise<number> {
  const options = readArguments(argv, { help: { type: "boolean", short: "h" } });
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const marks = { good: "ok  ", weak: "weak", bad: "BAD " };
  let bad = false;
  for (const check of CHECKS) {
    const finding = await examine(check);
    bad ||= finding.is === "bad";
    console.log(`${marks[finding.is]} ${finding.what}`);
    if (finding.is !== "good") console.log(`     ${finding.todo}`);
  }
  return bad ? 1 : 0;
}

/** What a check throws is what a person should read. */
async function examine(check: () => Promise<Finding> | Finding): Promise<Finding> {
  try {
    return await check();
  } catch (thrown) {
    const { message, code } = faultOf(thrown);
    return { is: "bad", what: code, todo: message };
  }
}

async function media(): Promise<Finding> {
  const quiet = new Log({ level: "error", format: "text", write: () => {} }, {});
  await using sfu = await Sfu.open({ addresses: ["127.0.0.1"], port: 0, log: quiet });
  const { crypto, send } = sfu.stats();
  const what = `viewers: encryption by ${crypto === "ffi" ? "libcrypto" : "node:crypto"}, sending by ${send}`;
  if (crypto === "ffi" && send === "gso") return { is: "good", what };
  return {
    is: "weak",
    what,
    todo: "Several times the CPU per viewer. The fast way needs Linux 4.18 and OpenSSL 3 (Debian: apt-get install libssl3).",
  };
}

function frameBus(): Finding {
  using context = new ZmqContext();
  const socket = context.open("xpub", {});
  const endpoint = socket.bind("tcp://127.0.0.1:*");
  return { is: "good", what: `frame bus: libzmq listens (${endpoint.replace(/\d+$/, "…")})` };
}

function decoding(): Finding {
  using devices = findHardwareDevices();
  const found = (["h264", "h265", "mjpeg"] as const).map((codec) => {
    using decoder = new VideoDecoder(codec, devices.for(codec));
    return `${codec} ${devices.for(codec)?.name ?? decoder.device}`;
  });
  const tried = devices.trials.map(({ device, codec, refused }) => {
    return `${device}${codec === null ? "" : ` ${codec}`}: ${refused ?? "works"}`;
  });
  const what = `decoding: ${found.join(", ")} (${tried.join("; ") || "no device to try"})`;
  return { is: "good", what };
}

function encoding(): Finding {
  using h264 = findVideoEncoder("h264", true);
  using vp8 = findVideoEncoder("vp8", true);
  const tried = [...h264.trials, ...vp8.trials].filter((trial) => trial.refused !== null);
  const refused = tried.map((trial) => `${trial.encoder}: ${trial.refused}`).join("; ");
  const names = `h264 ${h264.encoder.name}, vp8 ${vp8.encoder.name}`;
  return { is: "good", what: `encoding for browsers: ${names} (${refused || "all work"})` };
}

function sharedMemory(): Finding {
  const { bavail, bsize } = statfsSync("/dev/shm");
  const free = bavail * bsize;
  const what = `shared memory: ${Math.round(free / 2 ** 20)} MB free in /dev/shm`;
  if (free >= SHARED_MEMORY_MIN) return { is: "good", what };
  const todo =
    "Decoded frames need about 25 MB per 1080p camera. In a container: --shm-size=1g, or ipc: host.";
  return { is: "weak", what, todo };
}

function receiveBuffer(): Finding {
  const bytes = Number(readFileSync("/proc/sys/net/core/rmem_max", "utf8"));
  const what = `UDP cameras: receive buffers of up to ${Math.round(bytes / 1024)} KB`;
  if (bytes >= RECEIVE_BUFFER_MIN) return { is: "good", what };
  const todo =
    "Keyframes over UDP may lose packets: sysctl -w net.core.rmem_max=4194304. TCP is not affected.";
  return { is: "weak", what, todo };
}

async function ports(): Promise<Finding> {
  const { http, webrtc, framebus } = Config.parse({});
  const wanted = [
    ["tcp", http.port, "http.port"],
    ["udp", webrtc.port, "webrtc.port"],
    ["tcp", framebus.port, "framebus.port"],
  ] as const;
  const taken: string[] = [];
  for (const [protocol, port, key] of wanted) {
    if (!(await isFree(protocol, port))) taken.push(`${protocol} ${port} (\`${key}\`)`);
  }
  if (taken.length === 0) return { is: "good", what: "ports: the default ones are free" };
  const todo = "Is a hub running already? Otherwise choose other ports in the configuration.";
  return { is: "weak", what: `ports: taken: ${taken.join(", ")}`, todo };
}
