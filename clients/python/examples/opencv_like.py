"""Reads a camera as with OpenCV and prints what is seen, until interrupted.

PYTHONPATH=clients/python/src python3 clients/python/examples/opencv_like.py demo-1
"""

from __future__ import annotations

import contextlib
import sys

import onepull


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "demo-1"
    with onepull.VideoCapture(name) as camera:
        while camera.isOpened():
            ok, image = camera.read()
            if not ok or camera.frame is None:
                print(camera.error, file=sys.stderr)
                continue
            header = camera.frame.header
            print(
                f"{header.camera} #{header.seq} {header.width}x{header.height} "
                f"mean {image.mean():5.1f} age {camera.frame.age() * 1000:5.1f} ms"
            )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
