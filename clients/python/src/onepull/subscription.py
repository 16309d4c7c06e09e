"""Frames of several cameras, the newest of each."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Union, cast

import zmq

from .endpoint import find_endpoint, why_no_frame
from .errors import NoFrameError
from .frame import Frame, read_frame
from .header import parse_message
from .ring import RingReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    Socket = zmq.Socket[bytes]

Cameras = Union[str, "Sequence[str]"]

#: Where a Unix socket or a network is not, shared memory is not either.
_ELSEWHERE = (
    "{path} is not there: pictures are in the shared memory of the hub's machine; run this program "
    "there, and in a container with the host's /dev/shm"
)


class CameraSocket:
    """The newest frame of one camera. One socket each: a conflating socket keeps one message."""

    def __init__(self, camera: str, width: int | None, endpoint: str) -> None:
        """Subscribe, which lets the hub decode the camera."""
        topic = f"{camera}/shm" if width is None else f"{camera}/shm?width={width}"
        context = cast("zmq.Context[Socket]", zmq.Context.instance())
        self.socket = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        # Both before connecting: later they would be for the next connection.
        self.socket.setsockopt(zmq.CONFLATE, 1)
        self.socket.setsockopt(zmq.SUBSCRIBE, topic.encode() + b"\0")
        self.socket.connect(endpoint)
        self._reader = RingReader()
        #: A picture that a message spoke of and that could not be opened.
        self.missing: str | None = None

    def receive(self, copy: bool) -> Frame | None:
        """The frame that waits; None when there is none, or it was overwritten already."""
        try:
            message = self.socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        _, header, _ = parse_message(message)
        try:
            frame = read_frame(self._reader, header, copy)
        except FileNotFoundError:
            self.missing = header.path
            return None
        if frame is not None:
            self.missing = None
        return frame

    def close(self) -> None:
        """Unsubscribe."""
        self.socket.close(0)


class Subscription:
    """Iterates frames of several cameras. Made by ``subscribe``."""

    def __init__(
        self,
        cameras: Cameras,
        *,
        width: int | None = None,
        endpoint: str | None = None,
        timeout: float | None = 5.0,
        copy: bool = True,
    ) -> None:
        """See ``subscribe``."""
        self.cameras = [cameras] if isinstance(cameras, str) else list(cameras)
        if not self.cameras:
            raise ValueError("no cameras to subscribe to")
        self.endpoint = find_endpoint(endpoint)
        self.timeout = timeout
        self.copy = copy
        self._poller = zmq.Poller()
        self._waiting: list[CameraSocket] = []
        self._order: list[CameraSocket] = []
        for camera in dict.fromkeys(self.cameras):
            source = CameraSocket(camera, width, self.endpoint)
            self._poller.register(source.socket, zmq.POLLIN)
            self._order.append(source)

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        frame = self.read(self.timeout)
        if frame is None:
            raise NoFrameError(self.why_no_frame(self.timeout or 0))
        return frame

    def read(self, timeout: float | None = None) -> Frame | None:
        """Wait for the next frame of any camera, at most ``timeout`` seconds; None means forever.

        Returns None when none came in time.
        """
        if not self._order:
            raise ValueError("this subscription is closed")
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            frame = self._next_ready()
            if frame is not None:
                return frame
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = self._poller.poll(None if left is None else math.ceil(left * 1000))
            if not ready and left is not None:
                return None
            self._queue({socket for socket, _ in ready})

    def why_no_frame(self, timeout: float) -> str:
        """What to tell somebody who waited for so long in vain."""
        for source in self._order:
            if source.missing is not None:
                return _ELSEWHERE.format(path=source.missing)
        return why_no_frame(self.endpoint, " and ".join(self.cameras), timeout)

    def close(self) -> None:
        """Unsubscribe from every camera. May be called twice."""
        for source in self._order:
            source.close()
        self._order.clear()
        self._waiting.clear()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_order"):
            self.close()

    def _queue(self, ready: set[Socket]) -> None:
        """Every camera that has a frame gets its turn before any gets a second one."""
        self._waiting = [source for source in self._order if source.socket in ready]

    def _next_ready(self) -> Frame | None:
        while self._waiting:
            source = self._waiting.pop(0)
            # Who was served goes to the end, so that the same camera is not always first.
            self._order.remove(source)
            self._order.append(source)
            frame = source.receive(self.copy)
            if frame is not None:
                return frame
        return None


def subscribe(
    cameras: Cameras,
    *,
    width: int | None = None,
    endpoint: str | None = None,
    timeout: float | None = 5.0,
    copy: bool = True,
) -> Subscription:
    """Frames of one or several cameras, each time the newest that its camera has.

    Nothing queues up: while you work on a frame, newer ones replace each other. Cameras take turns,
    so a fast one does not crowd out a slow one.

    >>> for frame in onepull.subscribe(["lobby", "gate"]):
    ...     print(frame.header.camera, frame.image.shape, frame.age())

    :param cameras: names as the hub has them
    :param width: of the pictures in pixels, 640 unless given; the height follows. Never enlarges
    :param endpoint: of the hub, see ``find_endpoint``
    :param timeout: seconds without any frame after which NoFrameError is raised; None waits forever
    :param copy: False gives views of shared memory: read about their lifetime at ``Frame``
    """
    return Subscription(cameras, width=width, endpoint=endpoint, timeout=timeout, copy=copy)
