import { describe, expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { Secret } from "../core/secret.ts";
import { Stream } from "../stream/stream.ts";
import { until } from "./fixtures/camera.ts";
import { ScriptedCamera } from "./fixtures/scripted.ts";
import { Pull } from "./ingest.ts";

/** A camera's web server: GET and POST of one cookie, joined to the camera's RTSP. */
async function gateway(camera: ScriptedCamera, challenge: string | null) {
  const heads: string[] = [];
  const down = new Map<string, Socket>();
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("data", (bytes) => {
      const [head = "", body = ""] = bytes.toString("latin1").split("\r\n\r\n");
      heads.push(head);
      const cookie = /x-sessioncookie: (\S+)/.exec(head)?.[1] ?? "";
      if (challenge !== null && !/^Authorization: Digest .*response=/m.test(head)) {
        socket.end(`HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: ${challenge}\r\n\r\n`);
      } else if (head.startsWith("GET")) {
        down.set(cookie, socket);
        socket.write("HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n");
      } else {
        const rtsp = connect(camera.port, "127.0.0.1");
        rtsp.on("error", () => {});
        const forward = (text: string) => void rtsp.write(Buffer.from(text, "base64"));
        forward(body);
        socket.on("data", (part) => forward(part.toString("latin1")));
        socket.on("close", () => rtsp.destroy());
        rtsp.on("data", (part) => down.get(cookie)?.write(part));
        rtsp.on("close", () => down.get(cookie)?.destroy());
      }
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  return {
    heads,
    port: typeof address === "object" && address !== null ? address.port : 0,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function pullOf(source: string) {
  return new Pull({
    camera: "lobby",
    source: new Secret(source),
    stream: new Stream(),
    onState: () => {},
    random: Math.random,
    timing: { connectMs: 1_000, replyMs: 1_000, reportMs: 20, lost: { firstMs: 10, maxMs: 50 } },
  });
}

describe("RTSP over HTTP", () => {
  test("live, reports included, and again after it was cut", async () => {
    using camera = new ScriptedCamera();
    using web = await gateway(camera, null);
    await using pull = pullOf(`rtsp+http://127.0.0.1:${web.port}/cam?x=1`);
    pull.start();
    await until(() => pull.state.at === "live", "live");
    expect(web.heads.map((head) => head.split("\r\n")[0])).toEqual([
      "GET /cam?x=1 HTTP/1.0",
      "POST /cam?x=1 HTTP/1.0",
    ]);
    expect(camera.requests[0]?.uri).toBe(`rtsp://127.0.0.1:${web.port}/cam?x=1`);
    await until(() => camera.reports.length > 0, "a report");
    for (const client of camera.clients) client.socket.terminate();
    await until(() => pull.counters.reconnects === 1 && pull.state.at === "live", "live again");
  });

  test("with a password", async () => {
    using camera = new ScriptedCamera();
    using web = await gateway(camera, 'Digest realm="web", nonce="n", qop="auth"');
    await using pull = pullOf(`rtsp+http://user:hunter2@127.0.0.1:${web.port}/cam`);
    pull.start();
    await until(() => pull.state.at === "live", "live");
    expect(web.heads.length).toBe(3);
    expect(web.heads.join("")).not.toContain("hunter2");
  });

  test("with a password that nobody gave", async () => {
    using camera = new ScriptedCamera();
    using web = await gateway(camera, 'Digest realm="web", nonce="n"');
    await using pull = pullOf(`rtsp+http://127.0.0.1:${web.port}/cam`);
    pull.start();
    await until(() => pull.state.at === "refused", "refused");
    expect(pull.state).toMatchObject({ cause: { code: "camera_unauthorized" } });
  });

  test("a web server that knows nothing of it", async () => {
    const web = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("", { status: 404 }),
    });
    await using pull = pullOf(`rtsp+http://127.0.0.1:${web.port}/cam`);
    pull.start();
    await until(() => "cause" in pull.state, "a failure");
    expect(pull.state).toMatchObject({ cause: { code: "camera_protocol" } });
    await web.stop(true);
  });

  test("what is no web server", async () => {
    using camera = new ScriptedCamera({
      opened: ({ socket }) => void socket.write("RTSP/1.0 200\r\n\r\n"),
    });
    await using pull = pullOf(`rtsp+http://127.0.0.1:${camera.port}/cam`);
    pull.start();
    await until(() => "cause" in pull.state, "a failure");
    expect(pull.state).toMatchObject({ cause: { code: "camera_protocol" } });
  });

  test("closing while the server says nothing", async () => {
    using camera = new ScriptedCamera({ script: () => null });
    const pull = pullOf(`rtsp+http://127.0.0.1:${camera.port}/cam`);
    pull.start();
    await until(() => camera.connections === 1, "a connection");
    await pull.close();
    expect(pull.state.at).toBe("idle");
  });
});
