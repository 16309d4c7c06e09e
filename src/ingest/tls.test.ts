import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../core/secret.ts";
import { Stream } from "../stream/stream.ts";
import { avPuller } from "./av-session.ts";
import { until } from "./fixtures/camera.ts";
import { ScriptedCamera } from "./fixtures/scripted.ts";
import { Pull, type PullerName } from "./ingest.ts";
import type { TlsSettings } from "./tls.ts";

/** What a camera makes for itself when it is first switched on. */
const folder = mkdtempSync(join(tmpdir(), "onepull-tls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const key = join(folder, "key.pem");
const cert = join(folder, "cert.pem");
const command = `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30
  -subj /CN=cam -addext subjectAltName=IP:127.0.0.1 -keyout ${key} -out ${cert}`;
const made = Bun.spawnSync(command.split(/\s+/));
const fingerprint = await fingerprintOf(cert);

async function fingerprintOf(file: string): Promise<string> {
  const pem = await Bun.file(file).text();
  const der = Uint8Array.fromBase64(pem.replace(/-----[^-]+-----|\s/g, ""));
  return new Bun.CryptoHasher("sha256").update(der).digest("hex");
}

async function outcome(tls: TlsSettings, secure = true, puller: PullerName = "native") {
  using camera = new ScriptedCamera(
    secure ? { tls: { key: Bun.file(key), cert: Bun.file(cert) } } : {},
  );
  await using pull = new Pull({
    camera: "lobby",
    source: new Secret(camera.source("rtsps")),
    stream: new Stream(),
    onState: () => {},
    random: Math.random,
    tls,
    puller,
    ffmpeg: avPuller({ transport: "tcp", tls }),
    timing: { connectMs: 2_000, replyMs: 1_000 },
  });
  pull.start();
  await until(() => !["idle", "connecting"].includes(pull.state.at), "an outcome");
  const { state } = pull;
  return { at: state.at, ...("cause" in state ? state.cause : { code: "", message: "" }), camera };
}

describe("rtsps", () => {
  test("OpenSSL made a certificate", () => {
    expect(made.exitCode).toBe(0);
  });

  test("a certificate of its own: refused, in words that say what to set", async () => {
    const { at, code, message, camera } = await outcome({ verify: true, fingerprint: null });
    expect({ at, code }).toEqual({ at: "refused", code: "camera_untrusted" });
    expect(message.toLowerCase().replaceAll(":", "")).toContain(fingerprint);
    expect(message).toContain("`tls.fingerprint`");
    expect(message).toContain("`tls.verify: false`");
    // Nothing was said to it, a password least of all.
    expect(camera.requests).toEqual([]);
  });

  test("trusted by its fingerprint, however that is written", async () => {
    const colons = fingerprint.toUpperCase().replace(/..(?=.)/g, "$&:");
    expect((await outcome({ verify: true, fingerprint })).at).toBe("live");
    expect((await outcome({ verify: false, fingerprint: colons })).at).toBe("live");
  });

  test("another one than the fingerprint: refused, verified or not", async () => {
    const other = { verify: false, fingerprint: "00".repeat(32) };
    const { at, code, message, camera } = await outcome(other);
    expect({ at, code }).toEqual({ at: "refused", code: "camera_untrusted" });
    expect(message).toContain("another certificate");
    expect(camera.requests).toEqual([]);
  });

  test("anyone, where that is wanted", async () => {
    expect((await outcome({ verify: false, fingerprint: null })).at).toBe("live");
  });

  test("by libav: refused and trusted alike, but for a fingerprint, which it cannot see", async () => {
    const untrusted = await outcome({ verify: true, fingerprint: null }, true, "ffmpeg");
    expect(untrusted).toMatchObject({ at: "refused", code: "camera_untrusted" });
    expect(untrusted.camera.requests).toEqual([]);
    expect((await outcome({ verify: false, fingerprint: null }, true, "ffmpeg")).at).toBe("live");
    const pinned = await outcome({ verify: true, fingerprint }, true, "ffmpeg");
    expect(pinned).toMatchObject({ at: "refused", code: "request_invalid" });
  }, 30_000);

  test("a camera that speaks no TLS", async () => {
    const { code, message } = await outcome({ verify: false, fingerprint: null }, false);
    expect(code).toBe("camera_protocol");
    expect(message).toContain("does not speak TLS");
  });
});
