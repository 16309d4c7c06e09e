/** `./onepull start`: the hub. */
import { existsSync } from "node:fs";
import { parseConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { Fault } from "../core/fault.ts";
import { Hub } from "../hub.ts";
import { Log } from "../telemetry/log.ts";
import { readArguments } from "./arguments.ts";
import { closeInTime, untilEnd } from "./run.ts";

const CONFIG_DEFAULT = "onepull.yaml";
const HELP = `./onepull start [--config onepull.yaml]

Runs the hub until SIGINT or SIGTERM. Without --config it reads onepull.yaml in this folder when
there is one; docs/config.md describes every setting.`;

export async function start(argv: string[]): Promise<number> {
  const options = readArguments(argv, {
    config: { type: "string", short: "c" },
    help: { type: "boolean", short: "h" },
  });
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const config = await readConfig(options.config);
  const log = new Log(config.log, { process: "hub" });
  const hub = await Hub.open(config, log);
  console.log(hub.addresses.http);
  const code = await untilEnd(log);
  await closeInTime(() => hub[Symbol.asyncDispose]());
  return code;
}

/** @throws Fault `config_invalid` */
async function readConfig(given: string | undefined): Promise<Config> {
  const file = given ?? CONFIG_DEFAULT;
  if (existsSync(file)) return parseConfig(await Bun.file(file).text(), file);
  if (given === undefined) return parseConfig("", CONFIG_DEFAULT);
  throw new Fault("config_invalid", `There is no file ${file}.`);
}
