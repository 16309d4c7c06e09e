/** `./onepull demo`: the hub and synthetic cameras, on this machine alone. */
import { CameraConfig, Config } from "../config/schema.ts";
import { Fault } from "../core/fault.ts";
import { Hub } from "../hub.ts";
import { isFree } from "../process/ports.ts";
import { Log } from "../telemetry/log.ts";
import { readArguments, wholeNumber } from "./arguments.ts";
import { type SyntheticCamera, startCameras } from "./camera-process.ts";
import { closeInTime, untilEnd } from "./run.ts";

const CAMERAS_MAX = 64;
const HELP = `./onepull demo [--cameras 4]

Runs the hub and that many synthetic cameras on 127.0.0.1 until ^C, and prints the dashboard's URL.
Nothing is stored; ports that are taken are replaced by free ones.`;

export async function demo(argv: string[]): Promise<number> {
  const options = readArguments(argv, {
    cameras: { type: "string", default: "4" },
    help: { type: "boolean", short: "h" },
  });
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const count = wholeNumber("cameras", options.cameras, 1, CAMERAS_MAX);
  await using stack = new AsyncDisposableStack();
  const { cameras } = stack.use(await startCameras(count, ["--prefix", "demo-"]));
  const config = await configOf(cameras);
  const log = new Log(config.log, { process: "hub" });
  const hub = stack.use(await openHub(config, log));
  greet(hub);
  const code = await untilEnd(log);
  await closeInTime(() => stack.disposeAsync());
  return code;
}

/** The defaults where their ports are free, the system's choice where not. */
async function configOf(cameras: readonly SyntheticCamera[]): Promise<Config> {
  const { http, webrtc, rtsp, framebus } = Config.parse({});
  const config = Config.parse({
    data: ":memory:",
    log: { level: "warn" },
    http: { port: (await isFree("tcp", http.port)) ? http.port : 0 },
    webrtc: { port: (await isFree("udp", webrtc.port)) ? webrtc.port : 0 },
    rtsp: { port: (await isFree("tcp", rtsp.port)) ? rtsp.port : 0 },
    framebus: { port: (await isFree("tcp", framebus.port)) ? framebus.port : 0 },
  });
  const entries = cameras.map(({ name, url }) => [name, CameraConfig.parse({ source: url })]);
  return { ...config, cameras: Object.fromEntries(entries) };
}

/** As the main instance, where clients look first; beside a running hub under another name. */
async function openHub(config: Config, log: Log): Promise<Hub> {
  try {
    return await Hub.open(config, log);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "already_running") throw error;
    return Hub.open({ ...config, instance: `demo-${process.pid}` }, log);
  }
}

function greet(hub: Hub): void {
  const { http, rtsp, framebus } = hub.addresses;
  const names = hub.cameras.list().map(({ id }) => id);
  console.log(`
  ${http}   dashboard

  ${rtsp}${names[0]}   for ffplay, VLC, OpenCV, GStreamer

  cameras: ${names.join(", ")}
  Python:  onepull.VideoCapture("${names[0]}")   (clients/python; frame bus ${framebus.ipc})

  ^C ends everything.
`);
}
