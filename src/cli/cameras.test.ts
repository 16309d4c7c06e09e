import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cameras } from "./cameras.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "onepull-cli-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const WRONG: [argument: string, message: string][] = [
  ["--count=0", "--count takes a whole number from 1 to 1000"],
  ["--count=many", '"many"'],
  ["--port=70000", "--port takes a whole number from 0 to 65535"],
  ["--control=x", "--control"],
  ["--fps=0", "--fps"],
  ["--bitrate=4G", "--bitrate takes bits a second from 50k to 100M"],
  ["--bitrate=1k", "--bitrate"],
  ["--size=1921x1080", "--size takes even numbers from 160x90 to 3840x2160"],
  ["--size=big", "--size"],
  ["--gop=0", "--gop takes seconds above 0 and up to 60"],
  ["--gop=-1", "--gop"],
  ["--profile=extended", "--profile takes baseline, main or high"],
  ["--prefix=a/b", "--prefix"],
  ["--user=ann", "--user and --password are given together"],
  ["--colour=red", "--colour"],
  ["four", "four"],
];

describe("onepull cameras", () => {
  test.each(WRONG)("%s is refused", async (argument, message) => {
    await expect(cameras([argument])).rejects.toMatchObject({
      code: "request_invalid",
      message: expect.stringContaining(message),
    });
  });

  test("runs until it is told to stop", async () => {
    const program = `
      const { cameras } = await import(${JSON.stringify(join(import.meta.dir, "cameras.ts"))});
      process.exit(await cameras(process.argv.slice(1)));`;
    const options = "--count 10 --port 0 --control 0 --size 160x90 --fps 5 --bitrate 100k";
    const running = Bun.spawn(
      [process.execPath, "-e", program, "--", ...options.split(" "), "--cache", folder],
      { stdout: "pipe", stderr: "pipe", timeout: 15_000 },
    );
    let printed = "";
    for await (const text of running.stdout.pipeThrough(new TextDecoderStream())) {
      printed += text;
      if (printed.includes("control:")) running.kill("SIGINT");
    }
    expect(await running.exited).toBe(0);
    expect(printed).toMatch(
      /^rtsp:\/\/127\.0\.0\.1:(\d+)\/camera-1 to rtsp:\/\/127\.0\.0\.1:\1\/camera-10\ncontrol: http:\/\/127\.0\.0\.1:\d+\/cameras\n$/,
    );
    expect(await running.stderr.text()).toBe("Encoding a clip of 50 pictures …\n");
  });
});
