"""What can go wrong, in words that say what to do."""

from __future__ import annotations


class OnepullError(Exception):
    """Base of everything this package raises."""


class NoFrameError(OnepullError, TimeoutError):
    """No frame came in time. The message says whether a hub answers at all."""


class MessageError(OnepullError, ValueError):
    """What arrived is no frame bus message of a version that this package knows."""


class SharedMemoryError(OnepullError):
    """The ring file with the pixels cannot be read from this process."""
