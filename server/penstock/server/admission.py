"""How many calls this gateway works on at once; more are turned away before any work is done.

Health checks do not come past here: a gateway that is full is still alive.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from penstock.broker import StorageFull
from penstock.server.errors import Shed

if TYPE_CHECKING:
    from penstock.server.settings import ServerSettings

__all__ = ["Admission"]


class Admission:
    """Counts what is open. Whoever entered must leave, whatever happens in between.

    Attributes:
        unary: calls with one answer now.
        streams: streams and waits now.
        storage_full: whether the server has no room for more jobs.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._max_unary = settings.max_unary_calls
        self._max_streams = settings.max_streams
        self._max_per_peer = settings.max_streams_per_peer
        self._by_peer: Counter[str] = Counter()
        self.unary = 0
        self.streams = 0
        self.storage_full = False

    def check_room(self) -> None:
        """Before a submit. Raises StorageFull where the server has no room for more jobs."""
        if self.storage_full:
            raise StorageFull("OOM", "the server's memory is nearly full")

    def enter_unary(self) -> None:
        """Raises Shed at the limit."""
        if self.unary >= self._max_unary:
            raise Shed(f"the gateway is at its limit of {self._max_unary} calls")
        self.unary += 1

    def leave_unary(self) -> None:
        """Undoes `enter_unary`."""
        self.unary -= 1

    def enter_stream(self, peer: str) -> str:
        """Raises Shed at a limit. Returns what `leave_stream` is to be given.

        Args:
            peer: as gRPC names it, such as ipv4:10.0.0.1:54321.
        """
        host = _host(peer)
        if self.streams >= self._max_streams:
            raise Shed(f"the gateway is at its limit of {self._max_streams} streams")
        if self._by_peer[host] >= self._max_per_peer:
            raise Shed(f"the client's address is at its limit of {self._max_per_peer} streams")
        self.streams += 1
        self._by_peer[host] += 1
        return host

    def leave_stream(self, host: str) -> None:
        """Undoes `enter_stream`."""
        self.streams -= 1
        self._by_peer[host] -= 1
        if not self._by_peer[host]:
            del self._by_peer[host]


def _host(peer: str) -> str:
    """The address without its port: all connections of one client count together."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
