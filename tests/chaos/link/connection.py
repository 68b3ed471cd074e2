"""A connection through the fault proxy: a client's, and the one to the server that goes with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from tests.chaos.link.direction import Direction, abort
from tests.chaos.link.taps import Requests, Sprung

if TYPE_CHECKING:
    from tests.chaos.link.proxy import FaultProxy
    from tests.chaos.link.taps import Trap

__all__ = ["Connection"]

#: For so long the reply of a trapped request is waited for (s).
_REPLY_WITHIN_S: Final = 10.0


class Connection(asyncio.Protocol):
    """Both sides of it; this object is the client's.

    Args:
        proxy: that it goes through.
    """

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

    def __init__(self, connection: Connection) -> None:
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
