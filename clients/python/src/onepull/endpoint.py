"""Where the hub's frame bus is."""

from __future__ import annotations

import os
import socket
import stat
from urllib.parse import urlsplit

_TCP = "tcp://127.0.0.1:5555"
#: Longer than any local hub takes to accept a connection.
_PROBE_SECONDS = 0.5


def find_endpoint(endpoint: str | None = None) -> str:
    """The ZeroMQ endpoint to use.

    The argument, else ``$ONEPULL_BUS``, else the Unix socket of a hub on this machine, else
    ``tcp://127.0.0.1:5555``.
    """
    if endpoint:
        return endpoint
    if os.environ.get("ONEPULL_BUS"):
        return os.environ["ONEPULL_BUS"]
    for folder in _runtime_folders():
        path = os.path.join(folder, "frames")
        if _is_socket(path):
            return f"ipc://{path}"
    return _TCP


def _runtime_folders() -> list[str]:
    """Where a hub keeps its sockets; the same places in the same order as the hub's own."""
    chosen = os.environ.get("ONEPULL_RUNTIME_DIR")
    if chosen:
        return [chosen]
    folders = ["/run/onepull"]
    if os.environ.get("XDG_RUNTIME_DIR"):
        folders.append(os.path.join(os.environ["XDG_RUNTIME_DIR"], "onepull"))
    folders.append(f"/tmp/onepull-{os.getuid()}")
    return folders


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def why_no_frame(endpoint: str, cameras: str, seconds: float) -> str:
    """What to tell somebody who waited for a frame in vain."""
    waited = f"no frame of {cameras} within {seconds:g} s"
    if _answers(endpoint):
        return (
            f"{waited}: the hub at {endpoint} answers; is the name right, and is the camera live? "
            "Its page and GET /api/v1/cameras say so"
        )
    return (
        f"{waited}: is the hub running at {endpoint}? Start it with ./onepull start, or name "
        "another one with endpoint= or ONEPULL_BUS"
    )


def _answers(endpoint: str) -> bool:
    """Whether anything accepts connections there. True when that cannot be told."""
    scheme, _, rest = endpoint.partition("://")
    try:
        if scheme == "ipc":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_PROBE_SECONDS)
                probe.connect(rest)
        elif scheme == "tcp":
            parts = urlsplit(endpoint)
            address = (parts.hostname or "", parts.port or 0)
            socket.create_connection(address, _PROBE_SECONDS).close()
    except OSError:
        return False
    return True
