/** What the tests need beside Bun and npm packages, and how it is brought. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const VENV = join(ROOT, ".cache/venv");

/** Debian's own Python: the only one that sees Debian's GStreamer bindings. */
const SYSTEM_PYTHON = "/usr/bin/python3";

interface Tool {
  readonly name: string;
  readonly present: () => boolean;
  readonly packages: readonly string[];
}

const TOOLS: readonly Tool[] = [
  {
    name: "Chromium",
    present: () => ["/usr/bin/chromium", "/usr/bin/google-chrome"].some(existsSync),
    packages: ["chromium"],
  },
  {
    name: "Network namespaces (unshare, ip)",
    present: () => runs([join(ROOT, "test/harness/namespace.sh"), "true"]),
    packages: ["util-linux", "iproute2"],
  },
  {
    name: "Firefox",
    present: () => ["/usr/bin/firefox-esr", "/usr/bin/firefox"].some(existsSync),
    packages: ["firefox-esr"],
  },
  {
    name: "FFmpeg's command line",
    present: () => runs(["ffmpeg", "-version"]),
    packages: ["ffmpeg"],
  },
  {
    name: "Python with ZeroMQ and NumPy",
    present: () => python() !== null,
    packages: ["python3", "python3-zmq", "python3-numpy"],
  },
  {
    name: "GStreamer's RTSP server and encoders of H.264, VP8 and Opus",
    present: () => runs([SYSTEM_PYTHON, "-c", GSTREAMER_CHECK]),
    packages: [
      "python3-gi",
      "gir1.2-gst-rtsp-server-1.0",
      "gstreamer1.0-tools",
      "gstreamer1.0-plugins-base",
      "gstreamer1.0-plugins-good",
      "gstreamer1.0-plugins-bad",
      "gstreamer1.0-plugins-ugly",
    ],
  },
  {
    name: "FFmpeg, as a player and a publisher",
    present: () => runs(["ffmpeg", "-version"]) && runs(["ffprobe", "-version"]),
    packages: ["ffmpeg"],
  },
  {
    name: "GStreamer as a player",
    present: () =>
      ["rtspsrc", "rtph264depay", "avdec_h264"].every((name) => runs(["gst-inspect-1.0", name])),
    packages: ["gstreamer1.0-tools", "gstreamer1.0-plugins-good", "gstreamer1.0-libav"],
  },
  {
    name: "OpenCV for Python",
    present: () => runs([SYSTEM_PYTHON, "-c", "import cv2"]),
    packages: ["python3-opencv"],
  },
];

const GSTREAMER_CHECK = `
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
names = ("x264enc", "h264parse", "rtph264pay", "vp8enc", "opusenc", "rtpstreampay")
assert all(Gst.ElementFactory.find(name) for name in names)`;

/** A Python that has ZeroMQ and NumPy, or `null`. */
export function python(): string | null {
  const candidates = [SYSTEM_PYTHON, join(VENV, "bin/python"), "python3"];
  return candidates.find((path) => runs([path, "-c", "import zmq, numpy"])) ?? null;
}

/**
 * Brings what is missing: Debian packages as root, Python packages into a virtual environment
 * otherwise. Says what it brings. Returns what could not be had, with what to type; empty is good.
 */
export function bringTools(): string[] {
  const missing = TOOLS.filter((tool) => !tool.present());
  if (missing.length === 0) return [];
  const packages = missing.flatMap((tool) => tool.packages);
  const root = process.getuid?.() === 0;
  if (root && Bun.which("apt-get")) bringPackages(packages);
  else if (!python()) bringPythonPackages();
  return missing
    .filter((tool) => !tool.present())
    .map(({ name, packages: names }) => `${name} is missing: apt-get install ${names.join(" ")}`);
}

function bringPackages(packages: readonly string[]): void {
  console.log(`bringing Debian packages: ${packages.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const argv of [
    ["apt-get", "update", "-qq"],
    ["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...packages],
  ]) {
    const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { env });
    if (exitCode === 0) continue;
    console.log(`${argv.slice(0, 2).join(" ")} failed:\n${stdout}${stderr}`);
  }
}

function bringPythonPackages(): void {
  if (!Bun.which("python3")) return;
  console.log("bringing Python packages into .cache/venv: pyzmq numpy");
  for (const argv of [
    ["python3", "-m", "venv", VENV],
    [join(VENV, "bin/pip"), "install", "--quiet", "pyzmq", "numpy"],
  ]) {
    const { exitCode, stderr } = Bun.spawnSync(argv);
    if (exitCode !== 0) console.log(`${argv.join(" ")} failed:\n${stderr}`);
  }
}

function runs(argv: string[]): boolean {
  try {
    return Bun.spawnSync(argv, { stdio: ["ignore", "ignore", "ignore"] }).exitCode === 0;
  } catch {
    // The program itself is missing.
    return false;
  }
}
