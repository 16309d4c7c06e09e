/**
 * `./onepull test`: everything that says whether this tree is good, for a person and for CI alike.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readArguments } from "../src/cli/arguments.ts";
import { bringTools, python } from "./harness/tools.ts";

const ROOT = join(import.meta.dir, "..");
const HELP = `./onepull test [--static] [--only TEXT]

Brings what is missing (Debian packages as root, else it says what to install), then runs:
types, lint, import directions, dead code, generated documents, unit tests, the Python client's
tests, and the end-to-end tests on real browsers, cameras and processes.

  --static      only what needs no browser, Python or camera
  --only TEXT   only steps and test files whose name holds TEXT`;
/** A step that hangs must not hold up CI for ever; the longest takes a few minutes. */
const STEP_MAX_MS = 20 * 60_000;
/** Unit tests take milliseconds; the few with real sockets wait for a loaded machine. */
const UNIT_TEST_MAX_MS = "30000";

interface Step {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export async function test(argv: string[]): Promise<number> {
  const options = readArguments(argv, {
    static: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    help: { type: "boolean", short: "h" },
  });
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const lacking = options.static ? [] : bringTools();
  for (const line of lacking) console.error(`onepull test: ${line}`);
  if (lacking.length > 0) return 1;
  const steps = [...staticSteps(), ...(options.static ? [] : realSteps())];
  const chosen = steps.filter(({ name }) => name.includes(options.only));
  if (chosen.length === 0) {
    console.error(`onepull test: no step is called like \`${options.only}\``);
    return 2;
  }
  const failed: string[] = [];
  for (const step of chosen) if (!(await run(step))) failed.push(step.name);
  console.log(failed.length === 0 ? "\nall good" : `\nFAILED: ${failed.join(", ")}`);
  return failed.length === 0 ? 0 : 1;
}

function staticSteps(): Step[] {
  const script = (name: string): string[] => [process.execPath, "run", "--bun", "--silent", name];
  const bun = (...argv: string[]): string[] => [process.execPath, ...argv];
  return [
    { name: "lint", argv: script("lint") },
    { name: "types", argv: script("types") },
    { name: "dead code", argv: script("dead-code") },
    { name: "tidy", argv: bun("test", "test/tidy.test.ts") },
    { name: "generated documents", argv: bun("docs/generate.ts", "--check") },
    {
      name: "unit tests",
      argv: bun(
        "test",
        "--timeout",
        UNIT_TEST_MAX_MS,
        "./src",
        "./clients/web",
        "./test/fuzz",
        "./test/simulation",
      ),
    },
  ];
}

/** One process per file: a test that leaves something behind disturbs nobody else. */
function realSteps(): Step[] {
  const files = readdirSync(join(ROOT, "test/e2e")).filter((name) => name.endsWith(".test.ts"));
  return [
    {
      name: "python client",
      argv: [python() ?? "python3", "-m", "unittest", "discover", "-s", "clients/python/tests"],
      env: { PYTHONPATH: join(ROOT, "clients/python/src") },
    },
    ...files.sort().map((name) => ({
      name: `end to end: ${name.replace(/(\.netns)?\.test\.ts$/, "")}`,
      argv: [
        ...(name.includes(".netns.") ? ["test/harness/namespace.sh"] : []),
        ...[process.execPath, "test", `./test/e2e/${name}`],
      ],
    })),
  ];
}

async function run({ name, argv, env }: Step): Promise<boolean> {
  const started = performance.now();
  const child = Bun.spawn([...argv], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: STEP_MAX_MS,
    killSignal: "SIGKILL",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const good = child.exitCode === 0;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${good ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
  if (!good) console.log(indent(`${output}\n${errors}`));
  return good;
}

function indent(text: string): string {
  return text.trim().replace(/^/gm, "     ");
}
