"""Taking leave of clients, so that none is told that its call was cancelled.

gRPC answers CANCELLED to each call that comes in while a server stops, and to those that came in
and had not been taken up yet: it offers no way to send connections away before that. But a client
whose connection ends knows by itself that the gateway is UNAVAILABLE. So this process says the end
of what it sends on each connection that it accepted, just before the server is stopped: what was
written arrives, and nothing comes after it.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import Final

import structlog

__all__ = ["hang_up"]

#: Lists the descriptors of the process that reads it, on Linux as on macOS.
_DESCRIPTORS: Final = "/dev/fd"

_log = structlog.get_logger(__name__)


def hang_up(name: str | int) -> None:
    """Ends what is sent on all accepted connections. Where that cannot be done, nothing is.

    Args:
        name: of the socket that the server listens on: its port, or its path.
    """
    leave = _Leave(name)
    try:
        if leave.connections() and leave.connections():
            # Some came back at once, and would again. gRPC logs that it cannot accept any more, so
            # this is not done where there is no need.
            leave.listeners()
            leave.connections()
    except OSError as error:
        _log.debug("connections not ended before the server", reason=str(error))


class _Leave:
    """What was ended so far.

    Args:
        name: of the sockets that are meant.
    """

    def __init__(self, name: str | int) -> None:
        self._name = name
        self._ended: set[int] = set()

    def connections(self) -> bool:
        """Ends those that are there; returns whether there were any that had not been ended."""
        return self._shut(socket.SHUT_WR, listening=False)

    def listeners(self) -> None:
        """Has no more connections come in."""
        self._shut(socket.SHUT_RD, listening=True)

    def _shut(self, how: int, *, listening: bool) -> bool:
        before = len(self._ended)
        for descriptor in map(int, os.listdir(_DESCRIPTORS)):  # noqa: PTH208 - numbers, no paths.
            try:
                inode = self._inode(descriptor)
                if inode in self._ended:
                    continue
                # A descriptor of our own: the other may be closed at any time, and used anew.
                with socket.socket(fileno=os.dup(descriptor)) as end:
                    if self._is_meant(end, listening=listening):
                        end.shutdown(how)
                        self._ended.add(inode)
            except OSError:
                continue  # It is no socket, or closed, or its other end is.
        return len(self._ended) > before

    def _inode(self, descriptor: int) -> int:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode):
            raise OSError("no socket")
        return status.st_ino

    def _is_meant(self, end: socket.socket, *, listening: bool) -> bool:
        name = end.getsockname()
        if (name[1] if isinstance(name, tuple) else name) != self._name:
            return False
        return bool(end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is listening
