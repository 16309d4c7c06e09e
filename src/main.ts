/** The command line: `./onepull <command>`. */
import { Fault } from "./core/fault.ts";

/** Each command lives in its own file and is loaded when it is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<(argv: string[]) => Promise<number>>>> = {
  demo: async () => (await import("./cli/demo.ts")).demo,
  start: async () => (await import("./cli/start.ts")).start,
  doctor: async () => (await import("./cli/doctor.ts")).doctor,
  probe: async () => (await import("./cli/probe.ts")).probe,
  cameras: async () => (await import("./cli/cameras.ts")).cameras,
  test: async () => (await import("../test/run.ts")).test,
  bench: async () => (await import("../bench/run.ts")).bench,
};

const USAGE = `onepull pulls every RTSP camera once and hands it to everyone.

  ./onepull demo [--cameras 4]             hub and synthetic cameras; prints the dashboard's URL
  ./onepull start [--config onepull.yaml]  the hub
  ./onepull doctor                         what this machine has and has not
  ./onepull probe URL                      what a camera offers, and whether it works
  ./onepull cameras --count N --port P     synthetic RTSP cameras alone
  ./onepull test [--static] [PATTERN]      all tests, and what they need
  ./onepull bench NAME [--json FILE]       latency, fanout

Each command says more with --help.
`;

async function main([name = "", ...argv]: string[]): Promise<number> {
  const load = COMMANDS[name];
  if (load) return (await load())(argv);
  const asked = ["", "help", "--help", "-h"].includes(name);
  if (!asked) console.error(`onepull: there is no command \`${name}\`\n`);
  console.error(USAGE);
  return asked && name !== "" ? 0 : 2;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  console.error(`onepull: ${error.message}`);
  // 2 as with every Unix command: it was called wrongly.
  process.exitCode = error.code === "request_invalid" ? 2 : 1;
}
