"""A relay that loses replies and holds back requests, to bring about what is rare.

A lost reply: what was asked for is done, and whoever asked never hears of it. A request held back:
something else is done first.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["Relay", "relay_to"]


class Relay:
    """A relay to a server's unix socket, on a free port of loopback.

    Attributes:
        port: where clients connect.
        losses: so many replies to commands that hold `marker` are still to be lost; the
            connection is reset in place of each.
        marker: a part of the commands' bytes, such as the id of a job.
        lost: replies lost so far.
        held: set once a request is held back.
    """

    def __init__(self, upstream: Path) -> None:
        self._upstream = upstream
        self._relays: dict[asyncio.Task[None], list[asyncio.WriteTransport]] = {}
        self.port = 0
        self.losses = 0
        self.marker = b""
        self.lost = 0
        self.held = asyncio.Event()
        self._hold_marker = b""
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    def lose(self, marker: bytes, replies: int = 1) -> None:
        """Loses the next replies to commands that hold these bytes."""
        self.marker, self.losses = marker, replies

    def hold(self, marker: bytes) -> None:
        """Holds back requests that hold these bytes, and what comes after them."""
        self._hold_marker = marker

    def release(self) -> None:
        """Lets everything pass again."""
        self._hold_marker = b""
        self._released.set()

    async def serve(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        """Relays one client, until either side hangs up or its reply is lost."""
        task = asyncio.current_task()
        assert task is not None
        ends = [to_client.transport]
        self._relays[task] = ends
        replies: asyncio.Task[None] | None = None
        try:
            with suppress(OSError):
                from_server, to_server = await asyncio.open_unix_connection(self._upstream)
                ends.append(to_server.transport)
                replies = asyncio.create_task(_pump(from_server, to_client))
                await self._requests(from_client, from_server, to_server, replies)
        finally:
            _abort(ends)
            if replies is not None:
                await asyncio.wait([replies])
            del self._relays[task]

    async def _requests(
        self,
        from_client: asyncio.StreamReader,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        replies: asyncio.Task[None],
    ) -> None:
        while request := await from_client.read(1 << 20):
            if self._hold_marker and self._hold_marker in request:
                self.held.set()
                await self._released.wait()
            lost = self.losses and self.marker in request
            if lost:
                replies.cancel()
                await asyncio.wait([replies])
            to_server.write(request)
            if lost:
                await from_server.read(1 << 20)  # Executed: here is the reply.
                self.losses -= 1
                self.lost += 1
                return

    async def close(self) -> None:
        """Drops every client."""
        self.release()
        for ends in self._relays.values():
            _abort(ends)
        if self._relays:
            await asyncio.wait(self._relays)


@asynccontextmanager
async def relay_to(upstream: Path) -> AsyncIterator[Relay]:
    """A relay in front of a server."""
    relay = Relay(upstream)
    listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = listener.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        listener.close()
        await relay.close()
        await listener.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 20):
            writer.write(data)
            await writer.drain()
    writer.close()


def _abort(transports: list[asyncio.WriteTransport]) -> None:
    for transport in transports:
        transport.abort()
