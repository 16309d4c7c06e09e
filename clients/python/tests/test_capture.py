"""VideoCapture and subscribe against a small bus of the tests' own."""

from __future__ import annotations

import os
import threading
import time
import unittest
from unittest import mock

import onepull
from bus import Bus
from onepull import NoFrameError, VideoCapture, find_endpoint, subscribe

#: A wait that is meant to be in vain.
BRIEFLY = 0.05


class Capture(unittest.TestCase):
    def test_reads_like_opencv(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint) as camera:
            self.assertTrue(camera.isOpened())
            self.assertEqual(bus.subscription(), b"\x01a/shm\0")
            bus.publish("a", 7)
            ok, image = camera.read()
            assert ok
            self.assertEqual((image.shape, image.dtype.name), ((36, 64, 3), "uint8"))
            self.assertEqual((int(image.min()), int(image.max())), (7, 7))
            assert camera.frame is not None
            self.assertEqual(camera.frame.header.camera, "a")
            self.assertLess(camera.frame.age(), 10)
            camera.release()
            camera.release()
            self.assertFalse(camera.isOpened())
            self.assertEqual(camera.read(), (False, None))
            self.assertEqual(bus.subscription(), b"\x00a/shm\0")

    def test_a_width_is_asked_for(self) -> None:
        with Bus() as bus, VideoCapture("a", 1280, endpoint=bus.endpoint):
            self.assertEqual(bus.subscription(), b"\x01a/shm?width=1280\0")

    def test_only_the_newest_and_never_the_same_twice(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint, timeout=BRIEFLY) as camera:
            bus.subscription()
            last = -1
            for value in range(100):
                last = bus.publish("a", value)
            self.assertEqual(self.newest(camera, last), last)
            self.assertEqual(camera.read(), (False, None))
            self.assertEqual(bus.publish("a", 1), last + 1)
            self.assertEqual(self.newest(camera, last + 1), last + 1)

    def newest(self, camera: VideoCapture, wanted: int) -> int:
        """Read on while the bus is still delivering, but not for ever."""
        seq = -1
        for _ in range(1000):
            ok, _image = camera.read()
            if ok and camera.frame is not None:
                self.assertGreater(camera.frame.header.seq, seq)
                seq = camera.frame.header.seq
            if seq == wanted:
                break
        return seq

    def test_a_slow_reader_gets_fresh_frames(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint) as camera:
            bus.subscription()
            stop = threading.Event()

            def play() -> None:
                value = 0
                while not stop.wait(0.01):
                    bus.publish("a", value)
                    value += 1

            player = threading.Thread(target=play)
            player.start()
            try:
                ages: list[float] = []
                for _ in range(8):
                    ok, _image = camera.read()
                    self.assertTrue(ok)
                    assert camera.frame is not None
                    ages.append(camera.frame.age())
                    time.sleep(0.2)
                self.assertLess(sorted(ages)[len(ages) // 2], 0.1)
            finally:
                stop.set()
                player.join()

    def test_zero_copy(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint, copy=False) as camera:
            bus.ring("a", slots=2)
            bus.subscription()
            bus.publish("a", 5)
            ok, image = camera.read()
            assert ok
            frame = camera.frame
            assert frame is not None
            self.assertFalse(image.flags.writeable)
            self.assertTrue(frame.valid())
            bus.publish("a", 6)
            bus.publish("a", 7)
            self.assertFalse(frame.valid())

    def test_a_ring_made_anew_is_followed(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint) as camera:
            bus.subscription()
            for width, value in ((64, 1), (64, 2), (128, 3)):
                bus.ring("a", width, width // 2)
                bus.publish("a", value)
                ok, image = camera.read()
                assert ok
                self.assertEqual(image.shape, (width // 2, width, 3))
                self.assertTrue((image == value).all())

    def test_the_hub_may_restart(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint, timeout=BRIEFLY) as camera:
            bus.subscription()
            bus.publish("a", 1)
            camera.read()
            bus.restart()
            for _ in range(200):
                bus.publish("a", 2)
                ok, _image = camera.read()
                if ok:
                    return
            self.fail("no frame after the restart")

    def test_overwritten_pictures_are_not_returned(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint, timeout=BRIEFLY) as camera:
            ring = bus.ring("a", slots=2)
            bus.subscription()
            late = ring.write(1)
            ring.write(2)
            ring.write(3)
            bus.send("a", 0, late)
            self.assertEqual(camera.read(), (False, None))


class Errors(unittest.TestCase):
    def test_no_hub(self) -> None:
        for endpoint in ("ipc:///tmp/onepull-nobody-is-here", "tcp://127.0.0.1:1"):
            with VideoCapture("a", endpoint=endpoint, timeout=BRIEFLY) as camera:
                self.assertEqual(camera.read(), (False, None))
                self.assertIn(f"is the hub running at {endpoint}?", camera.error or "")

    def test_a_hub_without_the_camera(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint, timeout=BRIEFLY) as camera:
            camera.read()
            self.assertIn("answers; is the name right", camera.error or "")

    def test_pictures_of_another_machine(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint, timeout=BRIEFLY) as camera:
            bus.subscription()
            bus.publish("a", 1, path="/dev/shm/onepull-not-here/a.shm")
            self.assertEqual(camera.read(), (False, None))
            self.assertIn("shared memory of the hub's machine", camera.error or "")

    def test_a_message_of_another_version(self) -> None:
        with Bus() as bus, VideoCapture("a", endpoint=bus.endpoint) as camera:
            bus.subscription()
            bus.publish("a", 1, v=2)
            with self.assertRaisesRegex(onepull.MessageError, "version 2"):
                camera.read()


class Several(unittest.TestCase):
    def test_each_camera_gets_its_turn(self) -> None:
        with Bus() as bus, subscribe(["a", "b", "c"], endpoint=bus.endpoint) as frames:
            for _ in range(3):
                bus.subscription()
            got: list[str] = []
            for round_number in range(10):
                for camera in ("a", "b", "c"):
                    bus.publish(camera, round_number)
                got += [next(frames).header.camera for _ in range(3)]
            counts = {camera: got.count(camera) for camera in "abc"}
            self.assertEqual(sum(counts.values()), 30)
            self.assertGreaterEqual(min(counts.values()), 8)

    def test_a_fast_camera_does_not_crowd_out_a_slow_one(self) -> None:
        with Bus() as bus, subscribe(["fast", "slow"], endpoint=bus.endpoint) as frames:
            bus.subscription()
            bus.subscription()
            bus.publish("slow", 1)
            got: list[str] = []
            for value in range(20):
                bus.publish("fast", value)
                got.append(next(frames).header.camera)
            self.assertEqual(got.count("slow"), 1)

    def test_nothing_in_time(self) -> None:
        with Bus() as bus:
            frames = subscribe(["a", "b"], endpoint=bus.endpoint, timeout=BRIEFLY)
            with self.assertRaisesRegex(NoFrameError, "a and b within 0.05 s"):
                next(frames)
            bus.subscription()
            bus.subscription()
            bus.publish("b", 3)
            frames.timeout = 5.0
            self.assertEqual(next(frames).header.camera, "b")
            frames.close()
            frames.close()
            with self.assertRaises(ValueError):
                next(frames)

    def test_no_cameras(self) -> None:
        with self.assertRaises(ValueError):
            subscribe([])


class Endpoint(unittest.TestCase):
    def test_argument_then_environment_then_socket_then_tcp(self) -> None:
        with Bus() as bus:
            folder = bus.folder.name
            with mock.patch.dict(os.environ, {"ONEPULL_BUS": "tcp://x:1"}):
                self.assertEqual(find_endpoint("ipc://given"), "ipc://given")
                self.assertEqual(find_endpoint(), "tcp://x:1")
            with mock.patch.dict(os.environ, {"ONEPULL_RUNTIME_DIR": folder, "ONEPULL_BUS": ""}):
                self.assertEqual(find_endpoint(), bus.endpoint)
            nowhere = {"ONEPULL_RUNTIME_DIR": f"{folder}/none", "ONEPULL_BUS": ""}
            with mock.patch.dict(os.environ, nowhere):
                self.assertEqual(find_endpoint(), "tcp://127.0.0.1:5555")


if __name__ == "__main__":
    unittest.main()
