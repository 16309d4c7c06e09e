"""The golden files that every client reads."""

from __future__ import annotations

import json
import unittest
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from onepull import MessageError, parse_message
from onepull.frame import read_frame
from onepull.header import FrameHeader
from onepull.ring import RingReader

FOLDER = Path(__file__).parents[3] / "test" / "vectors" / "frame"


def load(name: str) -> Any:  # noqa: ANN401
    return json.loads((FOLDER / name).read_text())


class Messages(unittest.TestCase):
    def test_every_vector(self) -> None:
        vectors = load("messages.json")
        self.assertGreater(len(vectors), 5)
        for vector in vectors:
            with self.subTest(vector["file"]):
                self.check(vector)

    def check(self, vector: dict[str, Any]) -> None:
        message = (FOLDER / vector["file"]).read_bytes()
        if "refused" in vector:
            with self.assertRaises(MessageError):
                parse_message(message)
            return
        topic, header, payload = parse_message(message)
        seen = {
            name: str(value) if name.endswith("_ns") else value
            for name, value in asdict(header).items()
        }
        self.assertEqual(
            {"topic": topic, "header": seen, "payload_bytes": len(payload)},
            {name: vector[name] for name in ("topic", "header", "payload_bytes")},
        )

    def test_cut_anywhere_it_is_no_message(self) -> None:
        message = (FOLDER / "plain.bin").read_bytes()
        for cut in range(len(message)):
            with self.assertRaises(MessageError):
                parse_message(message[:cut])


class RingVectors(unittest.TestCase):
    def test_every_read(self) -> None:
        vector = load("ring.json")
        _, header, _ = parse_message((FOLDER / "plain.bin").read_bytes())
        for read in vector["reads"]:
            place = replace(
                header,
                path=str(FOLDER / vector["file"]),
                width=vector["width"],
                height=vector["height"],
                stride=vector["stride"],
                slot=read["slot"],
                offset=read["offset"],
                size=read["size"],
                generation=read["generation"],
            )
            for copy in (True, False):
                with self.subTest(read["why"], copy=copy):
                    self.check(place, copy, read["pixels"])

    def check(self, header: FrameHeader, copy: bool, pixels: str | None) -> None:
        frame = read_frame(RingReader(), header, copy)
        if pixels is None:
            self.assertIsNone(frame)
            return
        assert frame is not None
        self.assertEqual(frame.image.tobytes().hex(), pixels)
        self.assertEqual(frame.image.shape, (header.height, header.width, 3))
        self.assertEqual(frame.image.flags.writeable, copy)
        self.assertTrue(frame.valid())


if __name__ == "__main__":
    unittest.main()
