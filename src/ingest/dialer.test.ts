import { expect, test } from "bun:test";
import type { Socket } from "bun";
import { Fault } from "../core/fault.ts";
import { Dialer } from "./dialer.ts";

/** A port with a full backlog: the kernel drops each SYN, until a line on stdin has it accept. */
const ABSENT = `
import socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(0)
port = listener.getsockname()[1]
fill = []
for _ in range(4):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    fill.append(client)
print(port, flush=True)
if sys.stdin.readline():
    accepted = []
    while True:
        accepted.append(listener.accept()[0])
`;

async function absentCamera() {
  const child = Bun.spawn(["/usr/bin/python3", "-c", ABSENT], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const { value } = await child.stdout.getReader().read();
  return {
    target: { host: "127.0.0.1", port: Number(new TextDecoder().decode(value)), tls: null },
    comeBack: () => {
      child.stdin.write("\n");
      child.stdin.flush();
    },
    [Symbol.dispose]: () => child.kill("SIGKILL"),
  };
}

function rig() {
  const sockets: Socket<undefined>[] = [];
  const handlers = {
    opened: (socket: Socket<undefined>) => void sockets.push(socket),
    data: () => {},
    closed: () => {},
  };
  return { sockets, handlers };
}

const never = new AbortController().signal;

test("a camera that does not answer: a fault that says for how long it was asked", async () => {
  using camera = await absentCamera();
  const { sockets, handlers } = rig();
  const failed = new Dialer().dial(camera.target, handlers, 200, never);
  const fault = await failed.catch((error: unknown) => error);
  expect(fault).toBeInstanceOf(Fault);
  expect(String(fault)).toContain("does not answer on port");
  expect(String(fault)).toContain("within 0.2 s");
  expect(sockets).toEqual([]);
});

test("a camera that comes back is noticed within the attempt, and connected to once", async () => {
  using camera = await absentCamera();
  const { sockets, handlers } = rig();
  const dialer = new Dialer();
  // The first SYN is lost: the kernel alone would repeat it after 1, 3 and 7 s.
  const dialing = dialer.dial(camera.target, handlers, 20_000, never);
  setTimeout(camera.comeBack, 1_300);
  await dialing;
  expect(sockets.length).toBe(1);
  for (const socket of sockets) socket.end();
}, 30_000);

test("told to stop, it stops at once", async () => {
  using camera = await absentCamera();
  const { handlers } = rig();
  const stop = new AbortController();
  const dialing = new Dialer().dial(camera.target, handlers, 60_000, stop.signal);
  setTimeout(() => stop.abort(new Error("stopped")), 20);
  expect(dialing).rejects.toThrow("stopped");
  await dialing.catch(() => {});
});
