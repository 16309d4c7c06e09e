import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { Secret } from "../core/secret.ts";
import { type CameraOptions, TestCamera, VIDEO } from "../ingest/fixtures/camera.ts";
import { hash } from "../ingest/primitives.ts";

const MAIN = join(import.meta.dir, "../main.ts");

let stack = new DisposableStack();
afterEach(() => {
  stack.dispose();
  stack = new DisposableStack();
});

const camera = (options: CameraOptions = {}) => stack.use(new TestCamera(options));

async function probe(...argv: string[]) {
  const child = Bun.spawn([process.execPath, MAIN, "probe", ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err, code };
}

const password = new Secret("hunter2");
const authentication = {
  realm: "cam",
  passwordOf: (user: string) => (user === "admin" ? password : null),
  hash,
};

test("a camera that works, for programs", async () => {
  const cam = camera({ server: { authentication } });
  const { out, err, code } = await probe(cam.source("admin:hunter2@"), "--json", "--seconds", "1");
  expect({ err, code }).toEqual({ err: "", code: 0 });
  expect(out).not.toContain("hunter2");
  const report: unknown = JSON.parse(out);
  expect(report).toMatchObject({
    puller: "native",
    not_native: null,
    transport: "tcp",
    authentication: ["digest SHA-256", "digest MD5", "basic"],
    tracks: [{ kind: "video", codec: "h264", browser: "passthrough", reordered: false }],
  });
});

test("the same, for people", async () => {
  const { out, code } = await probe(camera().source(), "--seconds", "1");
  expect(code).toBe(0);
  expect(out).toContain("works by the native puller over tcp");
  expect(out).toContain("video: h264");
  expect(out).toContain("browsers: as it comes");
});

test.each([
  {
    what: "a path that does not exist",
    path: "yard",
    user: "admin:hunter2@",
    says: "does not exist",
  },
  { what: "a wrong password", path: "cam", user: "admin:hunter3@", says: "user name or password" },
])("$what: exit code 1 and a reason", async ({ path, user, says }) => {
  const cam = camera({ server: { authentication } });
  const { out, err, code } = await probe(cam.source(user).replace(/cam$/, path));
  expect({ out, code }).toEqual({ out: "", code: 1 });
  expect(err).toContain(says);
  expect(err).not.toContain("hunter");
});

test("a codec that nobody can forward", async () => {
  const strange = { ...VIDEO, format: { ...VIDEO.format, encoding: "MP4V-ES" } };
  const { err, code } = await probe(camera({ media: [strange] }).source());
  expect(code).toBe(1);
  expect(err).toContain("MP4V-ES");
});

test("what neither puller can do is told in the native one's words", async () => {
  const { err, code } = await probe(camera().source().replace("rtsp:", "rtsp+http:"));
  expect(code).toBe(1);
  expect(err).toContain("does not carry RTSP over HTTP");
});

test.each([
  { argv: ["no-address"] },
  { argv: ["--json"] },
  { argv: ["rtsp://127.0.0.1:1/", "--red"] },
])("$argv: exit code 2", async ({ argv }) => expect((await probe(...argv)).code).toBe(2));
