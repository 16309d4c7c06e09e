"""A camera as OpenCV has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .subscription import Subscription

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from .frame import Frame

    Image = NDArray[np.uint8]


class VideoCapture:
    """A camera of the hub, with the interface of ``cv2.VideoCapture``.

    >>> camera = onepull.VideoCapture("lobby")
    >>> ok, image = camera.read()

    Each ``read`` returns the newest picture, never one that was returned before: slow work skips
    pictures instead of falling behind. The camera is decoded once, however many programs read it.

    Use an object from one thread at a time.
    """

    def __init__(
        self,
        camera: str,
        width: int | None = None,
        *,
        endpoint: str | None = None,
        timeout: float = 5.0,
        copy: bool = True,
    ) -> None:
        """Subscribe, which lets the hub decode the camera. Returns at once.

        :param camera: its name as the hub has it
        :param width: of the pictures in pixels, 640 unless given; the height follows. Never
            enlarges
        :param endpoint: of the hub, see ``find_endpoint``
        :param timeout: seconds that ``read`` waits for a new picture
        :param copy: False gives views of shared memory: read about their lifetime at ``Frame``, and
            ask ``camera.frame.valid()`` after each use
        """
        self._subscription: Subscription | None = Subscription(
            camera, width=width, endpoint=endpoint, copy=copy
        )
        self._timeout = timeout
        #: The frame last read, with its header; None before the first and after a failure.
        self.frame: Frame | None = None
        #: Why ``read`` failed last, in words that say what to do; None after a success.
        self.error: str | None = None

    def read(self) -> tuple[bool, Image]:
        """Wait for a picture newer than the last one returned: ``(True, image)``.

        ``(False, None)`` when none came in time, or after ``release``; ``error`` says why. The type
        is that of OpenCV, which does not speak of the None either.
        """
        self.frame = None
        subscription = self._subscription
        if subscription is None:
            self.error = "this VideoCapture is released"
            return False, cast("Image", None)
        frame = subscription.read(self._timeout)
        if frame is None:
            self.error = subscription.why_no_frame(self._timeout)
            return False, cast("Image", None)
        self.frame = frame
        self.error = None
        return True, frame.image

    def isOpened(self) -> bool:
        """True until ``release``: a camera that is away may come back."""
        return self._subscription is not None

    def release(self) -> None:
        """Unsubscribe. May be called twice."""
        if self._subscription is not None:
            self._subscription.close()
        self._subscription = None
        self.frame = None

    def __enter__(self) -> VideoCapture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
