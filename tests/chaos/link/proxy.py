"""A link that can fail: a proxy between clients and a server, on loopback, of our own.

It runs in the event loop of whoever made it. Where no fault is on, a chunk costs one callback and
one write.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, Literal, Self

from tests.chaos.link.connection import Connection
from tests.chaos.link.direction import Bandwidth
from tests.chaos.link.taps import Trap

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FaultProxy"]

_HOST: Final = "127.0.0.1"


class FaultProxy:
    """A link to a server. An async context manager; faults are set at any time, and undone.

    Args:
        host: of the server.
        port: of the server.

    Attributes:
        port: where clients connect.
        delay_s: that a chunk takes longer than it would, each way (s).
        jitter_s: that it takes longer still, at most (s). Chunks stay in order.
        bytes_per_s: that pass in each direction, on all connections together. None is any.
        refusing: new clients are hung up on.
        chance: decides on the jitter.
        lost: replies that were lost so far.
        traps: set, and not yet sprung.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._all_gone = asyncio.Event()
        self._all_gone.set()
        self._frozen = False
        self.traps: list[Trap] = []
        self.requests_wire, self.replies_wire = Bandwidth(), Bandwidth()
        self.port = 0
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.bytes_per_s: float | None = None
        self.refusing = False
        self.chance = random.Random(0)  # noqa: S311 - no secret.
        self.lost = 0

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    @property
    def frozen(self) -> bool:
        """Whether the link is half-open: nothing passes, and nothing is closed.

        New clients are accepted, and hear nothing. When it thaws, what was sent meanwhile arrives,
        even from those who are gone by then.
        """
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._frozen = frozen
        for connection in tuple(self._connections):
            connection.pump()

    def lead_to(self, host: str, port: int) -> None:
        """Has new connections go to another server, as an address does that fails over."""
        self._upstream = (host, port)

    def reset(self) -> int:
        """Resets all connections, at both ends. Returns how many."""
        connections = tuple(self._connections)
        for connection in connections:
            connection.reset()
        return len(connections)

    def cut_off(self, *, hangs_up: bool) -> None:
        """Has nothing pass any more.

        Args:
            hangs_up: on all clients, and on new ones; else they are told nothing.
        """
        if hangs_up:
            self.refusing = True
            self.reset()
        else:
            self.frozen = True

    def lose_replies(self, count: int, marker: bytes = b"") -> None:
        """Loses the replies to the next requests, which are executed; resets their connections.

        Args:
            count: how many.
            marker: bytes of the requests. Empty is any.
        """
        for _ in range(count):
            self.on_request(marker, 1, lambda: None, when="after")

    def on_request(
        self,
        marker: bytes,
        nth: int,
        act: Callable[[], object],
        *,
        when: Literal["before", "after"],
    ) -> None:
        """Has something happen at the nth request from now on that has these bytes.

        Before it is passed on: what came before it on its connection is executed, it is not. Or
        after the server has executed it: its reply is not passed on. The connection is then reset.
        If the server is lost before it replies, that request does not count.
        """
        self.traps.append(Trap(marker, nth, act, when))

    def restore(self) -> None:
        """No fault any more: what waits is passed on, what was trapped is not."""
        self.delay_s = self.jitter_s = 0.0
        self.bytes_per_s = None
        self.refusing = self._frozen = False
        self.traps.clear()
        for connection in tuple(self._connections):
            connection.restore()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), _HOST, 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        self.reset()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        await self._listener.wait_closed()
        await self._all_gone.wait()

    # For connections.

    def trap(self, request: bytes) -> Trap | None:
        """The trap that catches a request, and is none any more."""
        for trap in self.traps:
            if trap.catches(request):
                self.traps.remove(trap)
                return trap
        return None

    def set_again(self, trap: Trap) -> None:
        """Has a trap wait for the next request: this one was lost in other ways."""
        trap.nth = 1
        self.traps.append(trap)

    def opened(self, connection: Connection) -> None:
        """Notes a new one, and connects it to the server."""
        self._connections.add(connection)
        self._all_gone.clear()
        task = asyncio.create_task(connection.dial(*self._upstream), name="fault-proxy-dial")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def closed(self, connection: Connection) -> None:
        """Forgets one."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()
