"""The newest frame of any camera of a onepull hub, as an ndarray.

>>> import onepull
>>> camera = onepull.VideoCapture("lobby")
>>> ok, image = camera.read()
"""

from .capture import VideoCapture
from .endpoint import find_endpoint
from .errors import MessageError, NoFrameError, OnepullError, SharedMemoryError
from .frame import Frame
from .header import FrameHeader, parse_message
from .subscription import Subscription, subscribe

__version__ = "0.1.0"

__all__ = [
    "Frame",
    "FrameHeader",
    "MessageError",
    "NoFrameError",
    "OnepullError",
    "SharedMemoryError",
    "Subscription",
    "VideoCapture",
    "find_endpoint",
    "parse_message",
    "subscribe",
]
