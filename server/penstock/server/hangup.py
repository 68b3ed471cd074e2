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
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import structlog

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["hang_up", "hang_up_on"]

#: Lists the descriptors of the process that reads it, on Linux as on macOS.
_DESCRIPTORS: Final = "/dev/fd"

#: Before the addresses of IPv4 on a socket of IPv6.
_MAPPED: Final = "::ffff:"

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


def hang_up_on(peers: Collection[str]) -> None:
    """Ends the connections of some clients, whatever is on them. Where that cannot be done, none.

    Args:
        peers: as gRPC names them, such as ipv4:10.0.0.1:54321. Those of unix sockets have no names.
    """
    wanted = {_address(peer) for peer in peers if peer.startswith(("ipv4:", "ipv6:"))}
    if not wanted:
        return
    try:
        descriptors = [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208 - numbers.
    except OSError as error:
        _log.debug("connections of stalled readers not ended", reason=str(error))
        return
    for descriptor in descriptors:
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as end:
                    host, port, *_ = end.getpeername()
                    if (host.removeprefix(_MAPPED), port) in wanted:
                        end.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):
            continue  # It listens, is of another kind, or is closed by now.


def _address(peer: str) -> tuple[str, int]:
    """Host and port, as a socket has them."""
    host, _, port = unquote(peer).partition(":")[2].rpartition(":")
    return host.strip("[]").removeprefix(_MAPPED), int(port)


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
