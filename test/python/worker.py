"""A computer vision worker for tests: one line of JSON for each frame that it reads.

worker.py [--sleep SECONDS] [--width PIXELS] [--zero-copy] ENDPOINT CAMERA…
"""
import argparse
import json
import time

import onepull
from pattern import read_frame_number


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sleep", type=float, default=0.0)
    parser.add_argument("--width", type=int)
    parser.add_argument("--zero-copy", action="store_true")
    parser.add_argument("endpoint")
    parser.add_argument("cameras", nargs="+")
    args = parser.parse_args()
    frames = onepull.subscribe(
        args.cameras,
        width=args.width,
        endpoint=args.endpoint,
        timeout=None,
        copy=not args.zero_copy,
    )
    for frame in frames:
        have = time.time_ns()
        number = read_frame_number(frame.image)
        height, width, _ = frame.image.shape
        print(
            json.dumps(
                {
                    "camera": frame.header.camera,
                    "frame": number,
                    "seq": frame.header.seq,
                    "rtpTimestamp": frame.header.rtp_timestamp,
                    "capturedClock": frame.header.captured_clock,
                    "damaged": frame.header.damaged,
                    "width": width,
                    "height": height,
                    "valid": frame.valid(),
                    "haveUnixMs": have / 1e6,
                    "ageMs": (have - frame.header.captured_at_ns) / 1e6,
                    "sinceDecodedMs": (have - frame.header.decoded_at_ns) / 1e6,
                }
            ),
            flush=True,
        )
        if args.sleep:
            time.sleep(args.sleep)


if __name__ == "__main__":
    main()
