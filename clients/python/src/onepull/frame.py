"""One picture with what is known of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .header import FrameHeader
    from .ring import RingFile, RingReader


class Frame:
    """A picture and its header.

    ``image`` is an array of rows, columns and BGR, as OpenCV has it. It is your own copy, unless
    the frame was asked for with ``copy=False``: then it is a read-only view of shared memory that
    costs nothing, and that the hub overwrites after the next 7 pictures (3 for pictures larger than
    4 MiB): 280 ms at 25 fps. Use it at once, and ask ``valid()`` **afterwards**: only then is it
    certain that what you saw was one whole picture. Copy (``frame.image.copy()``) what must live
    longer. The memory stays readable as long as the array lives; nothing crashes.
    """

    __slots__ = ("_ring", "header", "image")

    def __init__(
        self, header: FrameHeader, image: NDArray[np.uint8], ring: RingFile | None = None
    ) -> None:
        """``ring`` holds the picture when ``image`` is a view of it."""
        self.header = header
        self.image = image
        self._ring = ring

    def valid(self) -> bool:
        """Whether ``image`` still shows this picture. Always true of a copy."""
        return self._ring is None or self._ring.holds(self.header)

    def age(self, since: Literal["captured", "decoded"] = "captured") -> float:
        """Seconds since the picture was taken, or since it was complete in memory.

        Cameras' clocks differ from this machine's: with ``header.captured_clock == "rtcp"`` the
        first is as good as the camera's clock.
        """
        captured = since == "captured"
        then = self.header.captured_at_ns if captured else self.header.decoded_at_ns
        return (time.time_ns() - then) / 1e9

    def __repr__(self) -> str:
        h = self.header
        return f"<Frame {h.camera} seq={h.seq} {h.width}x{h.height}>"


def read_frame(reader: RingReader, header: FrameHeader, copy: bool) -> Frame | None:
    """The header's picture; None when it was overwritten before it was read."""
    ring = reader.ring_with(header)
    if ring is None:
        return None
    view = ring.picture(header)
    if not copy:
        return Frame(header, view, ring)
    image = np.array(view)
    return Frame(header, image) if ring.holds(header) else None
