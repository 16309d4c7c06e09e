/**
 * The folders of one running hub: sockets in the runtime folder, pixels in /dev/shm. One hub per
 * instance name; what a dead one left behind is removed.
 *
 * @module
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../core/fault.ts";

/** tmpfs on every Linux; elsewhere a plain folder serves, only slower. */
const SHARED_MEMORY = "/dev/shm";
/** Unix socket paths have 108 bytes on Linux, 104 on macOS, the file's own name included. */
const FOLDER_PATH_BYTES_MAX = 80;
/** Answers as long as its hub lives: the one sure sign that an instance is taken. */
const LOCK = "hub.sock";

export class Instance implements Disposable {
  readonly name: string;
  /** Holds the frame bus socket `frames` and the sockets between processes. */
  readonly runtimeDir: string;
  /** Holds the rings of decoded frames. */
  readonly shmDir: string;
  readonly #lock: Disposable;

  private constructor(name: string, runtimeDir: string, shmDir: string, lock: Disposable) {
    this.name = name;
    this.runtimeDir = runtimeDir;
    this.shmDir = shmDir;
    this.#lock = lock;
  }

  /**
   * Takes the instance's folders.
   *
   * @throws Fault `already_running` when a live hub has them
   */
  static async open(name: string): Promise<Instance> {
    const runtimeDir = runtimeDirOf(name);
    const shmDir = join(isFolder(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), `onepull-${name}`);
    if (await answers(join(runtimeDir, LOCK))) {
      const message = `Another hub runs as instance \`${name}\`: stop it, or give this one another \`instance\`.`;
      throw new Fault("already_running", message);
    }
    mkdirSync(runtimeDir, { recursive: true, mode: 0o750 });
    removeSockets(runtimeDir);
    rmSync(shmDir, { recursive: true, force: true });
    mkdirSync(shmDir, { recursive: true, mode: 0o750 });
    const lock = Bun.listen({ unix: join(runtimeDir, LOCK), socket: { data: () => {} } });
    return new Instance(name, runtimeDir, shmDir, {
      [Symbol.dispose]: () => lock.stop(true),
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.shmDir, { recursive: true, force: true });
    this.#lock[Symbol.dispose]();
    removeSockets(this.runtimeDir);
    // A person may have chosen a folder with other things in it; those are theirs.
    if (readdirSync(this.runtimeDir).length === 0) rmdirSync(this.runtimeDir);
  }
}

/**
 * Where an instance's sockets are; clients look in the same places. ONEPULL_RUNTIME_DIR overrides.
 * The main instance's folder is plain `onepull`.
 */
function runtimeDirOf(instance: string): string {
  const leaf = instance === "main" ? "onepull" : `onepull-${instance}`;
  const { ONEPULL_RUNTIME_DIR, XDG_RUNTIME_DIR } = process.env;
  const user = process.getuid?.() ?? 0;
  if (ONEPULL_RUNTIME_DIR) return checked(ONEPULL_RUNTIME_DIR);
  if (user === 0 && isFolder("/run")) return join("/run", leaf);
  if (XDG_RUNTIME_DIR && isFolder(XDG_RUNTIME_DIR)) return checked(join(XDG_RUNTIME_DIR, leaf));
  return join("/tmp", `${leaf}-${user}`);
}

function checked(folder: string): string {
  if (Buffer.byteLength(folder) <= FOLDER_PATH_BYTES_MAX) return folder;
  const message = `The runtime folder ${folder} is too long for sockets: set ONEPULL_RUNTIME_DIR to at most ${FOLDER_PATH_BYTES_MAX} bytes.`;
  throw new Fault("config_invalid", message);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** True when a process listens on the socket; a file that nobody listens on is left over. */
async function answers(path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  try {
    const socket = await Bun.connect({ unix: path, socket: { data: () => {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

function removeSockets(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isSocket()) rmSync(join(folder, entry.name), { force: true });
  }
}
