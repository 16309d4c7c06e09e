/** `./onepull bench NAME`: measurements that anyone can repeat. Each prints JSON. */
import { cpus, release } from "node:os";
import manifest from "../package.json" with { type: "json" };
import { Fault } from "../src/core/fault.ts";

/** Runs with its own arguments; resolves with what was measured. */
export type Bench = (argv: string[]) => Promise<unknown>;

const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  latency: async () => (await import("./latency.ts")).latency,
  reconnect: async () => (await import("./reconnect.ts")).reconnect,
  density: async () => (await import("./density.ts")).density,
  restream: async () => (await import("./restream.ts")).restream,
  fanout: async () => (await import("./fanout.ts")).fanout,
  puller: async () => (await import("./puller.ts")).puller,
  transcode: async () => (await import("./transcode.ts")).transcode,
};

const HELP = `./onepull bench NAME [--json FILE] [options of the bench]

  latency   camera to last SRTP packet, to the browser's picture, to Python's array; first picture
            [--seconds 20] [--joins 20]
  reconnect cameras that lose power all at once: how soon they are live again, at which rate tried
            [--cameras 100] [--away 5] [--rounds 3] [--bitrate 4M]
  fanout    CPU of the media process per packet sent
            [--viewers 1,20,100] [--seconds 10] [--suite gcm|sha1] [--rounds 2]
  puller    what the ffmpeg puller adds to the native one: latency, CPU, memory
            [--seconds 20] [--cameras 4]
  density   CPU and memory of the media process per camera, without viewers and with one each
            [--cameras 1,10,50,100,200] [--watched 10,50] [--gop 2] [--seconds 10] [--rounds 3]
  transcode H.265 1080p25 to what browsers take: ms and CPU per picture, latency, memory
            [--seconds 10] [--software]
  restream  CPU per packet that RTSP readers are sent, over TCP and UDP
            [--readers 1,10,50] [--seconds 10] [--rounds 2]`;

export async function bench([name = "", ...argv]: string[]): Promise<number> {
  const load = BENCHES[name];
  if (!load) {
    console.error(HELP);
    return name === "" || name === "--help" ? 0 : 2;
  }
  const at = argv.indexOf("--json");
  const file = at < 0 ? null : argv[at + 1];
  if (file === undefined) throw new Fault("request_invalid", "--json takes a file name.");
  const own = at < 0 ? argv : argv.toSpliced(at, 2);
  const run = await load();
  const result = {
    bench: name,
    command: ["./onepull bench", name, ...own].join(" "),
    version: manifest.version,
    at: new Date().toISOString(),
    machine: machine(),
    result: await run(own),
  };
  const text = `${JSON.stringify(result, null, 2)}\n`;
  console.log(text);
  if (file !== null) await Bun.write(file, text);
  return 0;
}

/** Where the figures come from; without it they mean nothing. */
function machine(): Readonly<Record<string, string | number>> {
  const processors = cpus();
  return {
    processor: processors[0]?.model ?? "unknown",
    cores: processors.length,
    kernel: release(),
    bun: Bun.version,
  };
}
