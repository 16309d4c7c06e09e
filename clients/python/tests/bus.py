"""A small frame bus for tests: an XPUB socket and rings, written as docs/wire/frame.md says."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import numpy as np
import zmq

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

HEAD_BYTES = 4096
SLOT_HEAD_BYTES = 64
#: Longer than anything local takes, on a machine that is busy with other things.
PATIENCE_MS = 10_000
TICKS_PER_FRAME = 3600

#: Even numbers, each for one picture of any file.
_generations = itertools.count(1000, 2)


class Place(TypedDict):
    """What a message says of a picture."""

    path: str
    slot: int
    offset: int
    size: int
    generation: int
    width: int
    height: int
    stride: int


class Ring:
    """A ring file, written."""

    def __init__(self, path: str, width: int, height: int, slots: int = 8) -> None:
        """Make the file in place of an older one of that name."""
        self.path, self.width, self.height, self.slots = path, width, height, slots
        self.size = width * height * 3
        self.slot_bytes = -(-(SLOT_HEAD_BYTES + self.size + 64) // 4096) * 4096
        temporary = f"{path}.new"
        with open(temporary, "wb") as file:
            file.truncate(HEAD_BYTES + slots * self.slot_bytes)
        file_number = os.open(temporary, os.O_RDWR)
        self.map = mmap.mmap(file_number, 0)
        os.close(file_number)
        head = (b"onepull\0", 1, HEAD_BYTES, slots, SLOT_HEAD_BYTES, self.slot_bytes)
        struct.pack_into("<8s4IQ", self.map, 0, *head)
        struct.pack_into("<3I", self.map, 32, width, height, width * 3)
        self.map[48:53] = b"bgr24"
        os.rename(temporary, path)
        self.written = 0

    def begin(self) -> tuple[int, NDArray[np.uint8]]:
        """The next slot, marked as being written."""
        slot = self.written % self.slots
        at = HEAD_BYTES + slot * self.slot_bytes
        struct.pack_into("<Q", self.map, at, next(_generations) + 1)
        shape = (self.height, self.width, 3)
        return slot, np.ndarray(shape, np.uint8, self.map, at + SLOT_HEAD_BYTES)

    def write(self, value: int) -> Place:
        """A picture of one value; what a message says of it."""
        slot, picture = self.begin()
        picture[:] = value
        generation = next(_generations)
        at = HEAD_BYTES + slot * self.slot_bytes
        struct.pack_into("<Q", self.map, at, generation)
        self.written += 1
        return {
            "path": self.path,
            "slot": slot,
            "offset": at + SLOT_HEAD_BYTES,
            "size": self.size,
            "generation": generation,
            "width": self.width,
            "height": self.height,
            "stride": self.width * 3,
        }


class Bus:
    """The publishing end, on a Unix socket of its own."""

    def __init__(self) -> None:
        """Listen."""
        self.folder = tempfile.TemporaryDirectory(prefix="onepull-test-")
        self.endpoint = f"ipc://{self.folder.name}/frames"
        self.rings: dict[str, Ring] = {}
        self.sequence: dict[str, int] = {}
        self._listen()

    def _listen(self) -> None:
        context = cast("zmq.Context[zmq.Socket[bytes]]", zmq.Context.instance())
        self.socket = context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.socket.bind(self.endpoint)

    def __enter__(self) -> Bus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close(0)
        self.folder.cleanup()

    def restart(self) -> None:
        """End every connection and listen again."""
        self.socket.close(0)
        time.sleep(0.05)
        self._listen()

    def subscription(self) -> bytes:
        """The next subscription or its end, waited for."""
        if not self.socket.poll(PATIENCE_MS):
            raise AssertionError("nobody subscribed")
        return self.socket.recv()

    def ring(self, camera: str, width: int = 64, height: int = 36, slots: int = 8) -> Ring:
        """The camera's ring, made anew."""
        path = str(Path(self.folder.name) / f"{camera}.shm")
        self.rings[camera] = Ring(path, width, height, slots)
        return self.rings[camera]

    def publish(self, camera: str, value: int, **over: object) -> int:
        """A picture of one value. Returns its number."""
        ring = self.rings.get(camera) or self.ring(camera)
        sequence = self.sequence.get(camera, -1) + 1
        self.sequence[camera] = sequence
        self.send(camera, sequence, ring.write(value % 256), **over)
        return sequence

    def send(self, camera: str, sequence: int, place: Place, **over: object) -> None:
        """A message about a picture."""
        now = time.time_ns()
        header = {
            "v": 1,
            "camera": camera,
            "seq": sequence,
            "format": "shm",
            "rtp_timestamp": sequence * TICKS_PER_FRAME,
            "pts_ns": sequence * 40_000_000,
            "captured_at_ns": now,
            "captured_clock": "arrival",
            "decoded_at_ns": now,
            "keyframe": False,
            "damaged": False,
            "dropped_before": 0,
            **place,
            **over,
        }
        self.socket.send(f"{camera}/shm\0{json.dumps(header)}\n".encode())
