/**
 * One camera pulled and published again, in a process of its own: what readers cost is this
 * process's CPU time. Prints `port N`, then a line of JSON for each line on standard input.
 *
 *   bun bench/light/rtsp-hub.ts rtsp://127.0.0.1:40000/camera-1
 *
 * @module
 */
import { Secret } from "../../src/core/secret.ts";
import { Pull } from "../../src/ingest/ingest.ts";
import { Restream } from "../../src/restream/restream.ts";
import { Stream } from "../../src/stream/stream.ts";
import { Log } from "../../src/telemetry/log.ts";

/** What the process has come to. */
export interface HubReport {
  /** User and system time of all threads, in milliseconds. */
  readonly cpuMs: number;
  readonly readers: number;
  readonly packets: number;
  readonly droppedUnits: number;
}

async function main(source: string): Promise<void> {
  const log = new Log({ level: "warn", format: "text" }, {});
  const stream = new Stream();
  const pull = new Pull({
    camera: "bench",
    source: new Secret(source),
    transport: "tcp",
    stream,
    onState: () => {},
    random: Math.random,
    log,
  });
  pull.start();
  const restream = await Restream.open({
    address: "127.0.0.1",
    port: 0,
    acquire: async () => ({ stream, release: () => {} }),
    publish: () => null,
    authorize: null,
    log,
    limits: { readersPerAddress: 200, connectionsPerAddress: 400 },
  });
  console.log(`port ${restream.port}`);
  for await (const _line of console) {
    const [read] = restream.stats().read;
    const { user, system } = process.cpuUsage();
    const { readers = 0, packets = 0, droppedUnits = 0 } = read ?? {};
    const report: HubReport = { cpuMs: (user + system) / 1_000, readers, packets, droppedUnits };
    console.log(JSON.stringify(report));
  }
  await restream.close();
  await pull.close();
}

if (import.meta.main) await main(process.argv[2] ?? "");
