#!/usr/bin/python3
"""Reads an RTSP stream with OpenCV and prints the frame numbers that it sees, as JSON.

Usage: opencv-player.py URL tcp|udp COUNT
"""
import json
import os
import sys

url, transport, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
# Read when the backend is loaded.
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{transport}"

import cv2  # noqa: E402

from pattern import read_frame_number  # noqa: E402

capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
numbers = []
for _ in range(count):
    good, picture = capture.read()
    if not good:
        break
    numbers.append(read_frame_number(picture))
print(json.dumps(numbers))
