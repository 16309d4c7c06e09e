"""The frame bus message: topic NUL, one line of JSON LF, payload (docs/wire/frame.md)."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

from .errors import MessageError

_VERSION = 1


@dataclasses.dataclass(frozen=True)
class FrameHeader:
    """What the hub knows of one picture. Times in nanoseconds, exact."""

    camera: str
    #: The access unit's number: grows by one per picture that the camera sent.
    seq: int
    #: ``shm``: BGR in the ring file.
    format: str
    width: int
    height: int
    #: Bytes from one row to the next.
    stride: int
    #: 90 kHz, wraps at 2**32.
    rtp_timestamp: int
    #: Media time: the same timestamp without the wrap. Its zero is arbitrary.
    pts_ns: int
    #: When the picture was taken, Unix time.
    captured_at_ns: int
    #: ``rtcp``: by the camera's clock; ``arrival``: when the hub got the first packet.
    captured_clock: Literal["rtcp", "arrival"]
    #: When the picture was complete in memory, Unix time.
    decoded_at_ns: int
    keyframe: bool
    #: The picture may show what never was. The hub keeps such pictures back.
    damaged: bool
    #: Pictures of this camera that were not delivered since the last one that was.
    dropped_before: int
    #: The ring file, and where in it the picture is.
    path: str
    slot: int
    offset: int
    size: int
    #: What the slot's counter says while it holds this picture.
    generation: int


_TEXTS = ("camera", "format", "captured_clock", "path")
_FLAGS = ("keyframe", "damaged")
#: The type of every field, in JSON.
_KINDS = {
    field.name: str if field.name in _TEXTS else bool if field.name in _FLAGS else int
    for field in dataclasses.fields(FrameHeader)
}


def parse_message(message: bytes) -> tuple[str, FrameHeader, memoryview]:
    """Take a message apart into topic, header and payload; fields not known are let pass.

    Raises MessageError when it is none, or of another version.
    """
    nul = message.find(b"\0")
    end = message.find(b"\n", nul + 1)
    if nul < 0 or end < 0:
        raise MessageError("not a frame bus message: no topic or no header")
    try:
        topic = message[:nul].decode()
        fields: Any = json.loads(message[nul + 1 : end])
    except ValueError as error:
        raise MessageError(f"not a frame bus message: {error}") from error
    if not isinstance(fields, dict):
        raise MessageError("not a frame bus message: its header is no JSON object")
    return topic, _header(fields), memoryview(message)[end + 1 :]  # pyright: ignore[reportUnknownArgumentType]


def _header(fields: dict[str, Any]) -> FrameHeader:
    version = fields.get("v")
    if version != _VERSION:
        raise MessageError(
            f"frame bus messages of version {version!r}: this package knows {_VERSION}; "
            "use the onepull package of the hub's release"
        )
    for name, kind in _KINDS.items():
        # Not isinstance: True is no number.
        if type(fields.get(name)) is not kind:
            raise MessageError(f"not a frame bus message: no {kind.__name__} {name}")
    header = FrameHeader(**{name: fields[name] for name in _KINDS})
    if header.captured_clock not in ("rtcp", "arrival"):
        raise MessageError(f"not a frame bus message: captured_clock {header.captured_clock!r}")
    if header.size != header.stride * header.height or header.stride < header.width * 3:
        raise MessageError("not a frame bus message: its sizes contradict each other")
    return header
