"""A link that can fail: a proxy between clients and a server, on loopback, of our own.

It runs in the event loop of whoever made it. Where no fault is on, a chunk costs one callback and
one write.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, Literal, Self, cast

from tests.chaos.link.direction import Bandwidth, Direction, abort
from tests.chaos.link.taps import Requests, Sprung, Trap

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FaultProxy"]

_HOST: Final = "127.0.0.1"
#: For so long the reply of a trapped request is waited for (s).
_REPLY_WITHIN_S: Final = 10.0


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
        self._connections: set[_Connection] = set()
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
        self._listener = await loop.create_server(lambda: _Connection(self), _HOST, 0)
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

    def opened(self, connection: _Connection) -> None:
        """Notes a new one, and connects it to the server."""
        self._connections.add(connection)
        self._all_gone.clear()
        task = asyncio.create_task(connection.dial(*self._upstream), name="fault-proxy-dial")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def closed(self, connection: _Connection) -> None:
        """Forgets one."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()


class _Connection(asyncio.Protocol):
    """A client's connection, and the one to the server that goes with it."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self.requests = Direction(proxy, proxy.requests_wire)
        self.replies = Direction(proxy, proxy.replies_wire)
        self._split = Requests()
        self._sprung: Sprung | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._is_dialling = True

    async def dial(self, host: str, port: int) -> None:
        """Connects to the server."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _ServerSide(self), host, port)
        except OSError:
            self.reset()
        finally:
            self._is_dialling = False
            self._forget()

    def pump(self) -> None:
        """Passes on what is due."""
        self.requests.pump()
        self.replies.pump()

    def restore(self) -> None:
        """Passes on all that waits."""
        if held := self._split.flush():
            self.requests.send(held)
        self.requests.expedite()
        self.replies.expedite()

    def reset(self) -> None:
        """Ends it at both ends at once."""
        self.requests.die()
        self.replies.die()
        abort(self._client)
        abort(self._server)

    def _forget(self) -> None:
        if not self._is_dialling and self._client is None and self._server is None:
            self._proxy.closed(self)

    # The client's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)
        if self._proxy.refusing:
            abort(self._client)
            return
        self.requests.connect(source=self._client)
        self.replies.connect(target=self._client)
        self._proxy.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._sprung is not None:
            return  # Lost with the connection.
        if not self._proxy.traps:
            self.requests.send(self._split.flush() + data if self._split.is_at_work else data)
            self._split.saw(data)
            return
        for request in self._split.split(data):
            trap = self._proxy.trap(request)
            if trap is not None:
                self._spring(trap, request)
                return
            self.requests.send(request)

    def pause_writing(self) -> None:
        self.replies.target_is_full(full=True)

    def resume_writing(self) -> None:
        self.replies.target_is_full(full=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._client = None
        self.replies.die()
        self.requests.end()
        self._forget()

    # The server's side.

    def server_found(self, transport: asyncio.Transport) -> None:
        """It is connected."""
        self._server = transport
        self.replies.connect(source=transport)
        self.requests.connect(target=transport)

    def server_sent(self, data: bytes) -> None:
        """Replies."""
        if self._sprung is None:
            self.replies.send(data)
            return
        if earlier := self._sprung.passed(data):
            self.replies.send(earlier)
        if self._sprung.is_over:
            self._strike(self._sprung.trap)

    def server_lost(self) -> None:
        """It has hung up, or was reset."""
        if self._sprung is not None:
            self._proxy.set_again(self._sprung.trap)
            self._sprung = None
        if self._patience is not None:
            self._patience.cancel()
        self._server = None
        self.requests.die()
        self.replies.end()
        self._forget()

    # What is trapped.

    def _spring(self, trap: Trap, request: bytes) -> None:
        if trap.when == "before":
            self._strike(trap)
            return
        self._sprung = Sprung(trap)
        self.requests.send(self._sprung.requests(request))
        # A connection that may not PING yet, say.
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(_REPLY_WITHIN_S, self.reset)

    def _strike(self, trap: Trap) -> None:
        self._sprung = None
        if trap.when == "after":
            self._proxy.lost += 1
        trap.act()
        abort(self._client)  # Which ends the server's side, when it has read what came before.


class _ServerSide(asyncio.Protocol):
    """The connection to the server, for the client's."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.server_found(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._connection.server_sent(data)

    def pause_writing(self) -> None:
        self._connection.requests.target_is_full(full=True)

    def resume_writing(self) -> None:
        self._connection.requests.target_is_full(full=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._connection.server_lost()
