/**
 * Every setting: its type, its bounds, its default and its page in the manual (docs/config.md is
 * generated from here).
 *
 * @module
 */
import * as z from "zod";
import { Fault } from "../core/fault.ts";
import { Secret } from "../core/secret.ts";
import { checkSource } from "../source/source.ts";

/** Names stand in URLs, topics and file names. */
const CAMERA_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

const port = z.int().min(0).max(65_535);
const ipAddress = z.union([z.ipv4(), z.ipv6()]);

export const CameraName = z
  .string()
  .regex(CAMERA_NAME, "must be 1 to 63 letters, digits, - or _, and start with a letter or digit");

const Source = z
  .string()
  .superRefine((value, context) => {
    try {
      checkSource(value);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      context.addIssue({ code: "custom", message: error.message });
    }
  })
  .transform((value) => new Secret(value));

export const CameraConfig = z.strictObject({
  source: Source.meta({
    description:
      "Where the camera is, with its user name and password: `rtsp://user:p%40ss@10.0.0.9/stream1`; " +
      "also `rtsps:`, `rtmp:`, `http:` and `https:` (HLS, FLV, MPEG-TS, MJPEG), `srt:`, `tcp:`, `udp:`, " +
      "`rtp:`, `/dev/video0`, `publish://` for what is sent to the hub's RTSP server, or a file, which is played in a loop (`file:/clip.mp4`; `#once` behind it ends it). " +
      "Write `@ : / # %` in a password as `%40 %3A %2F %23 %25`. Never shown or logged. Cameras of " +
      "the same source share one connection.",
  }),
  sub: Source.nullable()
    .default(null)
    .meta({
      description:
        "The camera's second, smaller stream. Workers on the frame bus and the tiles of the dashboard " +
        "get it instead of the large one; it is pulled while somebody wants it.",
    }),
  transport: z
    .enum(["auto", "tcp", "udp"])
    .default("auto")
    .meta({
      description:
        "How packets travel. `tcp` loses nothing and passes firewalls; `udp` is for cameras that " +
        "cannot do otherwise. `auto` is TCP, and UDP where the camera refuses TCP.",
    }),
  puller: z
    .enum(["auto", "native", "ffmpeg"])
    .default("auto")
    .meta({
      description:
        "What fetches the source. `native` is the hub's own RTSP client, `ffmpeg` a process of its own " +
        "with FFmpeg's libraries, which reads nearly everything and adds a picture's time at most. " +
        "`auto` is native for RTSP, and ffmpeg for all else and for what the native one cannot do.",
    }),
  tls: z
    .strictObject({
      verify: z
        .boolean()
        .default(true)
        .meta({
          description:
            "Refuse certificates that no known authority signed. Cameras mostly sign their own: give " +
            "its `fingerprint`, or accept any with `false`.",
        }),
      fingerprint: z
        .string()
        .regex(
          /^[0-9a-f]{2}(:?[0-9a-f]{2}){31}$/i,
          "must be a SHA-256 fingerprint: 32 bytes in hex",
        )
        .nullable()
        .default(null)
        .meta({
          description: "SHA-256 of the one certificate to accept, as `./onepull probe` prints it.",
        }),
    })
    .prefault({})
    .meta({
      description:
        "For sources with TLS: `rtsps://`, `rtsp+https://`, and, without `fingerprint`, `https://` and `rtmps://`.",
    }),
  on_demand: z
    .boolean()
    .default(false)
    .meta({
      description:
        "Pull the camera only while somebody wants it. Spares its network and its battery; the first " +
        "viewer waits for the camera to start.",
    }),
  linger_s: z.number().min(0).max(3_600).default(10).meta({
    description:
      "Seconds that a stream is pulled on after its last consumer, for the one that comes back.",
  }),
  preload: z.boolean().default(false).meta({
    description:
      "Keep `source` and `sub` both pulled though nobody wants them, whatever `on_demand` says.",
  }),
});
export type CameraConfig = z.infer<typeof CameraConfig>;

const LogConfig = z.strictObject({
  level: z.enum(["debug", "info", "warn", "error"]).default("info").meta({
    description: "The least important lines that are written.",
  }),
  format: z.enum(["text", "json"]).default("text").meta({
    description: "`text` for people, `json` for collectors: one object per line.",
  }),
});

const HttpConfig = z.strictObject({
  address: ipAddress.default("127.0.0.1").meta({
    description:
      "Where the dashboard, the API, WHEP and metrics listen. There are no accounts yet: other " +
      "addresses than loopback open every camera to whoever can reach them.",
  }),
  port: port.default(8080).meta({ description: "TCP port; 0 lets the system choose." }),
});

const WebrtcConfig = z.strictObject({
  addresses: z
    .array(ipAddress)
    .default([])
    .meta({
      description:
        "Addresses of this machine that browsers are told to send to; one socket each. Empty: " +
        "loopback when `http.address` is loopback, else every address of every network card.",
    }),
  port: port
    .default(8555)
    .meta({ description: "UDP port for all viewers; 0 lets the system choose." }),
});

const RtspConfig = z.strictObject({
  address: ipAddress.default("127.0.0.1").meta({
    description:
      "Where the hub's RTSP server listens: every camera is read at `rtsp://…/NAME`, its smaller stream " +
      "at `/NAME/sub`, and cameras of `source: publish://` are sent there. Without `users`, other " +
      "addresses than loopback open every camera to whoever can reach them.",
  }),
  port: port.default(8554).meta({ description: "TCP port; 0 lets the system choose." }),
  users: z
    .record(
      z.string().regex(/^[^:\s]{1,64}$/, "must be 1 to 64 characters without spaces and colons"),
      z
        .string()
        .min(1)
        .transform((value) => new Secret(value)),
    )
    .default({})
    .meta({ description: "Passwords by user name, for Digest and Basic. Empty: nobody is asked." }),
});

const TranscodeConfig = z.strictObject({
  cameras_max: z
    .int()
    .min(0)
    .max(100)
    .default(4)
    .meta({
      description:
        "Cameras whose pictures are transcoded at once for browsers that cannot take what they send " +
        "(H.265, MJPEG, B-frames). Each takes up to a core without a hardware encoder. 0 turns " +
        "transcoding off, that of sound (AAC) too.",
    }),
  hardware: z.boolean().default(true).meta({
    description: "Use a hardware decoder and encoder where one works.",
  }),
});

const FramebusConfig = z.strictObject({
  address: ipAddress.default("127.0.0.1").meta({
    description:
      "Where the frame bus listens on TCP, beside its Unix socket. There are no keys yet: other " +
      "addresses than loopback open every camera to whoever can reach them.",
  }),
  port: port.default(5555).meta({ description: "TCP port; 0 lets the system choose." }),
});

export const Config = z.strictObject({
  instance: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, "must be 1 to 32 letters, digits, - or _")
    .default("main")
    .meta({
      description:
        "Names this hub's folders in /dev/shm and the runtime folder, so that several hubs may run on one machine.",
    }),
  data: z.string().min(1).default("data").meta({
    description: "Folder for the database of cameras added by the API; made when missing.",
  }),
  log: LogConfig.prefault({}),
  http: HttpConfig.prefault({}),
  webrtc: WebrtcConfig.prefault({}),
  rtsp: RtspConfig.prefault({}),
  transcode: TranscodeConfig.prefault({}),
  framebus: FramebusConfig.prefault({}),
  cameras: z.record(CameraName, CameraConfig).default({}).meta({
    description: "Cameras by name. More can be added by the API; these stay as they are here.",
  }),
});
/** The whole configuration, defaults filled in. */
export type Config = z.infer<typeof Config>;
