/**
 * Where units arrive in the process that works on them: listens on a Unix socket, one connection per
 * camera (unit-wire.ts). What is not read yet waits in the kernel, and then in the sender.
 *
 * @module
 */

import { chmodSync, rmSync } from "node:fs";
import type { Socket, UnixSocketListener } from "bun";
import { faultOf } from "../core/fault.ts";
import type { Log } from "../telemetry/log.ts";
import type { Unit } from "./sinks.ts";
import { type Hello, type TrackKind, UnitReader } from "./unit-wire.ts";

/** Only the hub's own processes send pictures. */
const SOCKET_MODE = 0o600;

/** Takes the units of all cameras. */
export interface UnitReceiver {
  /** Units of this camera follow, of these tracks. Again for each new connection. */
  hello(hello: Hello): void;
  /** The unit and its bytes are borrowed until this returns. */
  unit(camera: string, unit: Unit, kind: TrackKind): void;
  /** The units so far were stored ones; the newest of them is worth a picture. */
  replayEnded(camera: string): void;
}

export class UnitIntake implements Disposable {
  readonly #path: string;
  readonly #listener: UnixSocketListener<UnitReader>;
  #closed = false;

  /** Listens at `path`, and replaces what a dead process left there. */
  constructor(path: string, receiver: UnitReceiver, log: Log) {
    this.#path = path;
    rmSync(path, { force: true });
    this.#listener = Bun.listen<UnitReader>({
      unix: path,
      socket: {
        open: (socket) => {
          socket.data = readerFor(receiver);
        },
        data: (socket, bytes) => take(socket, bytes, log),
        error: (_socket, error) => log.warn("unit socket failed", { error: error.message }),
      },
    });
    chmodSync(path, SOCKET_MODE);
  }

  /** Ends every connection, which tells the media process. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.stop(true);
    rmSync(this.#path, { force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function readerFor(receiver: UnitReceiver): UnitReader {
  let camera = "";
  return new UnitReader({
    hello: (hello) => {
      camera = hello.camera;
      receiver.hello(hello);
    },
    unit: (unit, kind) => receiver.unit(camera, unit, kind),
    replayEnded: () => receiver.replayEnded(camera),
  });
}

/** One bad connection ends alone; its feed notices and is opened anew. */
function take(socket: Socket<UnitReader>, bytes: Uint8Array, log: Log): void {
  try {
    socket.data.push(bytes);
  } catch (thrown) {
    log.error("unit connection ended", { error: faultOf(thrown).message });
    socket.terminate();
  }
}
