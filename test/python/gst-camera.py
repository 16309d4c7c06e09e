#!/usr/bin/python3
"""Cameras that are not ours: GStreamer's RTSP server with a test picture and a test tone.

One camera at --path; with --matrix one for each codec of video and audio, at /h264-none,
/h265-aac and so on. Prints `ready <port>` when it listens; ends when standard input does, or on
SIGTERM. Needs python3-gi, gir1.2-gst-rtsp-server-1.0 and GStreamer's good, bad and ugly plugins.
"""
import argparse
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ROLE = "viewer"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--path", default="/cam")
    parser.add_argument("--transport", choices=["tcp", "udp", "both"], default="both")
    parser.add_argument("--user", help="asks for a password when given")
    parser.add_argument("--password", default="")
    parser.add_argument("--auth", choices=["digest", "basic"], default="digest")
    parser.add_argument("--codec", choices=VIDEO, default="h264")
    parser.add_argument("--audio", choices=AUDIO, default="none")
    parser.add_argument("--matrix", action="store_true", help="every codec, each at its own path")
    parser.add_argument("--profile", choices=["baseline", "main", "high"], default="baseline")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--kbps", type=int, default=1000)
    parser.add_argument("--gop", type=int, default=25, help="pictures from keyframe to keyframe")
    parser.add_argument("--pattern", default="ball", help="of videotestsrc")
    return parser.parse_args()


VIDEO = ["h264", "h264b", "h265", "jpeg"]
AUDIO = ["none", "pcma", "aac", "opus"]


def video_of(codec: str, args: argparse.Namespace) -> str:
    source = (
        f"videotestsrc is-live=true pattern={args.pattern} ! "
        f"video/x-raw,format=I420,width={args.width},height={args.height},framerate={args.fps}/1"
    )
    if codec == "jpeg":
        return f"{source} ! jpegenc ! rtpjpegpay name=pay0 pt=26"
    if codec == "h265":
        encoder = (
            f"x265enc tune=zerolatency speed-preset=ultrafast bitrate={args.kbps} "
            f"key-int-max={args.gop}"
        )
        return f"{source} ! {encoder} ! rtph265pay name=pay0 pt=96 config-interval=0"
    if codec == "h264b":
        # Pictures that are sent before those that they are shown after.
        order, profile = "speed-preset=veryfast rc-lookahead=0 bframes=2 b-adapt=false", "main"
    else:
        order, profile = "tune=zerolatency speed-preset=ultrafast bframes=0", args.profile
    encoder = (
        f"x264enc {order} bitrate={args.kbps} key-int-max={args.gop} "
        f"! video/x-h264,profile={profile}"
    )
    return f"{source} ! {encoder} ! rtph264pay name=pay0 pt=96 config-interval=0"


def audio_of(codec: str) -> str:
    source = "audiotestsrc is-live=true wave=sine freq=440 ! audioconvert ! audioresample"
    if codec == "pcma":
        return f"{source} ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8"
    if codec == "aac":
        raw = "audio/x-raw,rate=48000,channels=1"
        return f"{source} ! {raw} ! voaacenc ! aacparse ! rtpmp4gpay name=pay1 pt=97"
    if codec == "opus":
        raw = "audio/x-raw,rate=48000,channels=2"
        return f"{source} ! {raw} ! opusenc ! rtpopuspay name=pay1 pt=98"
    return ""


def pipeline(video: str, audio: str, args: argparse.Namespace) -> str:
    return f"( {video_of(video, args)} {audio_of(audio)} )"


def protect(server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, args) -> None:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    auth = GstRtspServer.RTSPAuth()
    if args.auth == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(args.user, args.password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(args.user, args.password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role(ROLE, "media.factory.access", True)
    permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
    factory.set_permissions(permissions)


def mount(server: GstRtspServer.RTSPServer, path: str, launch: str, args) -> None:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    factory.set_shared(True)
    lower = GstRtsp.RTSPLowerTrans
    factory.set_protocols(
        {"tcp": lower.TCP, "udp": lower.UDP, "both": lower.TCP | lower.UDP}[args.transport]
    )
    if args.user is not None:
        protect(server, factory, args)
    server.get_mount_points().add_factory(path, factory)


def main() -> None:
    args = arguments()
    Gst.init(None)
    loop = GLib.MainLoop()
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    cameras = {args.path: (args.codec, args.audio)}
    if args.matrix:
        cameras = {f"/{video}-{audio}": (video, audio) for video in VIDEO for audio in AUDIO}
    for path, (video, audio) in cameras.items():
        mount(server, path, pipeline(video, audio, args), args)
    if server.attach(None) == 0:
        sys.exit(f"port {args.port} cannot be had")
    GLib.timeout_add_seconds(2, lambda: (server.get_session_pool().cleanup(), True)[1])
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_HUP | GLib.IO_IN, lambda *_: ended(loop))
    print(f"ready {server.get_bound_port()}", flush=True)
    loop.run()


def ended(loop: GLib.MainLoop) -> bool:
    if sys.stdin.buffer.raw.read(4096):
        return True
    loop.quit()
    return False


if __name__ == "__main__":
    main()
