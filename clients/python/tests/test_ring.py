"""Shared memory: overwritten pictures, files made anew, files that are none."""

from __future__ import annotations

import gc
import os
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from bus import Bus, Place, Ring
from onepull import FrameHeader, SharedMemoryError, parse_message
from onepull.frame import read_frame
from onepull.ring import RingFile, RingReader
from test_vectors import FOLDER


def header_of(place: Place) -> FrameHeader:
    _, header, _ = parse_message((FOLDER / "plain.bin").read_bytes())
    return replace(header, **place)


class Pictures(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.reader = RingReader()
        self.path = str(Path(folder.name) / "a.shm")

    def test_a_view_knows_when_it_is_overwritten(self) -> None:
        ring = Ring(self.path, 16, 4, slots=3)
        frame = read_frame(self.reader, header_of(ring.write(1)), copy=False)
        assert frame is not None
        self.assertFalse(frame.image.flags.writeable)
        for value in (2, 3):
            ring.write(value)
            self.assertTrue(frame.valid())
            self.assertEqual(int(frame.image[0, 0, 0]), 1)
        ring.begin()
        self.assertFalse(frame.valid())
        ring.write(4)
        self.assertFalse(frame.valid())
        self.assertEqual(int(frame.image[0, 0, 0]), 4)

    def test_a_copy_stays(self) -> None:
        ring = Ring(self.path, 16, 4, slots=2)
        frame = read_frame(self.reader, header_of(ring.write(1)), copy=True)
        assert frame is not None
        for value in range(5):
            ring.write(value)
        self.assertTrue(frame.valid())
        self.assertTrue((frame.image == 1).all())
        frame.image[:] = 0

    def test_an_overwritten_picture_is_none(self) -> None:
        ring = Ring(self.path, 16, 4, slots=2)
        old = header_of(ring.write(1))
        ring.write(2)
        ring.write(3)
        self.assertIsNone(read_frame(self.reader, old, copy=True))
        self.assertIsNone(read_frame(self.reader, old, copy=False))

    def test_a_file_made_anew_is_opened_anew(self) -> None:
        before = read_frame(self.reader, header_of(Ring(self.path, 16, 4).write(1)), copy=False)
        assert before is not None
        # The decode process died; the next one makes a file of another size.
        after = read_frame(self.reader, header_of(Ring(self.path, 32, 8).write(2)), copy=False)
        assert after is not None
        self.assertEqual(after.image.shape, (8, 32, 3))
        self.assertEqual(int(after.image.min()), 2)
        self.assertTrue((before.image == 1).all())
        self.assertTrue(before.valid())

    def test_one_mapping_serves_all_and_goes_with_the_last(self) -> None:
        ring = Ring(self.path, 16, 4)
        other = RingReader()
        other.ring_with(header_of(ring.write(9)))
        frames = [
            read_frame(self.reader, header_of(ring.write(value)), copy=False) for value in range(5)
        ]
        self.assertEqual(self.mappings(), 2)
        image = frames[0].image if frames[0] else None
        frames.clear()
        del self.reader, other
        gc.collect()
        self.assertIsNotNone(image)
        self.assertEqual(self.mappings(), 2)
        del image
        gc.collect()
        self.assertEqual(self.mappings(), 1)

    def test_a_reader_keeps_the_file_mapped_between_copies(self) -> None:
        ring = Ring(self.path, 16, 4)
        for value in range(3):
            self.assertIsNotNone(read_frame(self.reader, header_of(ring.write(value)), copy=True))
            gc.collect()
            self.assertEqual(self.mappings(), 2)

    def mappings(self) -> int:
        """How often this process maps the file: once to write it, and to read it."""
        return Path("/proc/self/maps").read_text().count(self.path)


class NoRing(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.reader = RingReader()
        self.path = str(Path(folder.name) / "a.shm")

    def test_what_is_no_ring_file_is_refused(self) -> None:
        for content in (b"", b"short", b"x" * 8192, b"onepull\0\2" + bytes(8192)):
            Path(self.path).write_bytes(content)
            with self.assertRaises(SharedMemoryError):
                RingFile(self.path)

    def test_places_outside_the_file_are_refused(self) -> None:
        ring = Ring(self.path, 16, 4)
        place = header_of(ring.write(1))
        for offset in (0, 1, 63, 2**40, place.offset + 1):
            self.assertIsNone(read_frame(self.reader, replace(place, offset=offset), copy=False))

    @unittest.skipIf(os.getuid() == 0, "root may read everything")
    def test_a_file_that_may_not_be_read_says_so(self) -> None:
        Ring(self.path, 16, 4)
        os.chmod(self.path, 0)
        with self.assertRaisesRegex(SharedMemoryError, "group"):
            RingFile(self.path)

    def test_the_test_bus_writes_what_it_says(self) -> None:
        with Bus() as bus:
            self.assertEqual(bus.publish("a", 1), 0)


if __name__ == "__main__":
    unittest.main()
