"""The ring file: pictures in shared memory (docs/wire/frame.md, section 4).

A ring file is mapped read-only. Its writer does not know its readers and overwrites the oldest
picture with the next one; a counter in front of each picture tells a reader whether the picture is
still the one that a message spoke of.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

import numpy as np

from .errors import SharedMemoryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .header import FrameHeader

_MAGIC = b"onepull\0"
_VERSION = 1
_HEAD = struct.Struct("<8s4I")
_COUNTER_BYTES = 8


class RingFile:
    """One mapped ring file. Stays mapped as long as this object or a view of it lives."""

    _lock = threading.Lock()
    _open: ClassVar[WeakValueDictionary[str, RingFile]] = WeakValueDictionary()

    def __init__(self, path: str) -> None:
        """Map the file. Raises FileNotFoundError, or SharedMemoryError when it is of no use."""
        self.path = path
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError as error:
            raise SharedMemoryError(
                f"{path} may not be read: run this program as the hub's user, or in its group"
            ) from error
        self._inode = os.fstat(file).st_ino
        try:
            self._map = mmap.mmap(file, 0, prot=mmap.PROT_READ)
        except ValueError as error:
            raise SharedMemoryError(f"{path} is no ring file: {error}") from error
        finally:
            os.close(file)
        if len(self._map) < _HEAD.size:
            raise SharedMemoryError(f"{path} is no ring file: it is too short")
        magic, version, _, _, self._slot_head_bytes = _HEAD.unpack_from(self._map)
        if magic != _MAGIC or version != _VERSION:
            raise SharedMemoryError(
                f"{path} is no ring file of version {_VERSION}: "
                "use the onepull package of the hub's release"
            )
        words = len(self._map) // _COUNTER_BYTES
        self._counters = np.frombuffer(self._map, np.uint64, words)

    @classmethod
    def at(cls, path: str) -> RingFile:
        """The file, mapped once per process."""
        with cls._lock:
            ring = cls._open.get(path)
            if ring is None:
                ring = cls._open[path] = cls(path)
            return ring

    @classmethod
    def anew(cls, path: str, old: RingFile) -> RingFile:
        """The file of that name as it is now, in place of an older one of the same name."""
        with cls._lock:
            ring = cls._open.get(path)
            if ring is None or ring is old:
                ring = cls._open[path] = cls(path)
            return ring

    def replaced(self) -> bool:
        """Whether another file has this one's name. A mapped file's inode is not given again."""
        return os.stat(self.path).st_ino != self._inode

    def holds(self, header: FrameHeader) -> bool:
        """Whether the picture is whole, and the one that the header speaks of."""
        at = header.offset - self._slot_head_bytes
        if at < 0 or at % _COUNTER_BYTES or header.offset + header.size > len(self._map):
            return False
        # One aligned load of eight bytes. Odd means that the picture is being written.
        generation = int(self._counters[at // _COUNTER_BYTES])
        return generation == header.generation and generation % 2 == 0

    def picture(self, header: FrameHeader) -> NDArray[np.uint8]:
        """A read-only view of the picture where it lies: rows, columns, BGR."""
        return np.ndarray(
            (header.height, header.width, 3),
            np.uint8,
            self._map,
            header.offset,
            (header.stride, 3, 1),
        )


class RingReader:
    """Finds pictures, and keeps the file mapped from one to the next."""

    def __init__(self) -> None:
        """Nothing is mapped before the first picture."""
        self._ring: RingFile | None = None

    def ring_with(self, header: FrameHeader) -> RingFile | None:
        """The ring file that holds the header's picture; None when it was overwritten already.

        Raises FileNotFoundError and SharedMemoryError.
        """
        ring = self._ring
        if ring is None or ring.path != header.path:
            ring = RingFile.at(header.path)
        if not ring.holds(header) and ring.replaced():
            # It was made anew, by another decode process or for another size of picture.
            ring = RingFile.anew(header.path, ring)
        self._ring = ring
        return ring if ring.holds(header) else None
