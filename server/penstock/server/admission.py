"""How many calls this gateway works on at once; more are turned away before any work is done.

Calls with one answer and streams are counted apart, each in total and by caller, so that a greedy
caller leaves room for the others. Health checks do not come past here: a gateway that is full is
still alive.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from penstock.broker import StorageFull
from penstock.server.errors import Shed

if TYPE_CHECKING:
    import grpc.aio

    from penstock.server.settings import ServerSettings

__all__ = ["Admission", "Lane", "caller_of"]


def caller_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Whose call it is, as far as limits go: the address, all of whose connections count together.

    Whatever knows callers better than by their address belongs here.
    """
    peer: str = context.peer()
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer


class Lane:
    """Calls of one kind. Whoever entered must leave, whatever happens in between.

    Args:
        kind: in the plural, for those who are turned away.
        most: at once, in total.
        most_each: at once, of one caller.

    Attributes:
        open: calls now.
    """

    __slots__ = ("_by_caller", "_kind", "_most", "_most_each", "open")

    def __init__(self, kind: str, most: int, most_each: int) -> None:
        self._kind = kind
        self._most = most
        self._most_each = most_each
        self._by_caller: Counter[str] = Counter()
        self.open = 0

    @property
    def is_full(self) -> bool:
        """Whether anybody would be turned away."""
        return self.open >= self._most

    def enter(self, caller: str) -> None:
        """Raises Shed at a limit."""
        if self.open >= self._most:
            raise self.shed()
        if self._by_caller[caller] >= self._most_each:
            raise Shed(f"the caller's address is at its limit of {self._most_each} {self._kind}")
        self.open += 1
        self._by_caller[caller] += 1

    def leave(self, caller: str) -> None:
        """Undoes `enter`."""
        self.open -= 1
        self._by_caller[caller] -= 1
        if not self._by_caller[caller]:
            del self._by_caller[caller]

    def shed(self) -> Shed:
        """What those are told who are turned away, whoever they are."""
        return Shed(f"the gateway is at its limit of {self._most} {self._kind}")


class Admission:
    """What is open, and whether there is room for jobs.

    Attributes:
        unary_lane: calls with one answer.
        stream_lane: streams and waits.
        storage_full: whether the server has no room for more jobs.
        storage_away: whether it did not answer lately.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.unary_lane = Lane("calls", settings.max_unary_calls, settings.max_unary_calls_per_peer)
        self.stream_lane = Lane("streams", settings.max_streams, settings.max_streams_per_peer)
        self.storage_full = False
        self.storage_away = False

    @property
    def unary(self) -> int:
        """Calls with one answer now."""
        return self.unary_lane.open

    @property
    def streams(self) -> int:
        """Streams and waits now."""
        return self.stream_lane.open

    def check_room(self) -> None:
        """Before a submit. Raises StorageFull where the server has no room for more jobs."""
        if self.storage_full:
            raise StorageFull("OOM", "the server's memory is nearly full")
