/** Viewers of tracks that a test feeds itself: the SFU behind an HTTP server, in this process. */
import { faultOf, problemOf } from "../../src/core/fault.ts";
import { openProtection, type Protection } from "../../src/sfu/protect.ts";
import { Sfu } from "../../src/sfu/sfu.ts";
import type { Track } from "../../src/stream/track.ts";
import { Log } from "../../src/telemetry/log.ts";

/** What a camera of this name would send. */
export interface Shown {
  readonly video: Track | null;
  readonly audio: Track | null;
}

export interface WhepServer extends AsyncDisposable {
  /** As a hub's address. */
  readonly http: string;
  readonly sfu: Sfu;
  /** Cameras whose session ended, in order. */
  readonly ended: string[];
}

export interface WhepOptions {
  /** Of this machine, for media. */
  readonly addresses?: readonly string[];
  /** True spoils the packet, and the viewer throws it away: lost, without a network to lose it. */
  readonly lose?: (ssrc: number) => boolean;
}

function spoiling(lose: (ssrc: number) => boolean): Protection {
  const { kind, protector } = openProtection();
  return {
    kind,
    protector: (keys) => {
      const right = protector(keys);
      return {
        protect: (out, at, packet) => {
          const length = right.protect(out, at, packet);
          if (lose(packet.ssrc)) out.bytes[at + length - 1]! ^= 0xff;
          return length;
        },
        free: () => right.free(),
      };
    },
  };
}

export async function serveWhep(
  cameras: Readonly<Record<string, Shown>>,
  { addresses = ["127.0.0.1"], lose = () => false }: WhepOptions = {},
): Promise<WhepServer> {
  const log = new Log({ level: "warn", format: "text" }, {});
  const sfu = await Sfu.open({ addresses, port: 0, log, protection: spoiling(lose) });
  const ended: string[] = [];
  const offer = (camera: string, sdp: string): Response => {
    const shown = cameras[camera];
    if (shown === undefined) return new Response("no such camera", { status: 404 });
    const over = () => void ended.push(camera);
    const request = { camera, ...shown, latency: "default", ended: over } as const;
    const { session, sdp: answer } = sfu.answer(sfu.read(sdp), request);
    const headers = { "content-type": "application/sdp", location: `/whep/${camera}/${session}` };
    return new Response(answer, { status: 201, headers });
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const [, , camera = "", session = ""] = new URL(request.url).pathname.split("/");
      if (request.method === "DELETE") {
        return new Response("", { status: sfu.end(session) ? 200 : 404 });
      }
      if (request.method !== "POST") {
        return new Response("<!doctype html>", { headers: { "content-type": "text/html" } });
      }
      try {
        return offer(camera, await request.text());
      } catch (error) {
        const problem = problemOf(faultOf(error));
        return Response.json(problem, { status: problem.status });
      }
    },
  });
  return {
    http: `http://127.0.0.1:${server.port}`,
    sfu,
    ended,
    [Symbol.asyncDispose]: async () => {
      await server.stop(true);
      await sfu.close();
    },
  };
}
