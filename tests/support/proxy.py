"""A relay in front of a server, to put TLS before it or faults between it and its clients."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["Proxy", "proxy"]


class Proxy:
    """A relay on a free port of loopback.

    Attributes:
        port: where clients connect.
        accepting: False hangs up on new clients without a word.
    """

    def __init__(self, upstream: Path) -> None:
        self._upstream = upstream
        self._clients: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepting = True

    def inject(self, data: bytes) -> None:
        """Sends every client bytes that its server never sent."""
        for client in self._clients:
            client.write(data)

    async def serve(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        """Relays one client, until either side hangs up."""
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        self._clients.add(to_client)
        try:
            if self.accepting:
                from_server, to_server = await asyncio.open_unix_connection(self._upstream)
                try:
                    await _first_of(_pump(from_client, to_server), _pump(from_server, to_client))
                finally:
                    await _hang_up(to_server)
        finally:
            self._clients.discard(to_client)
            self._relays.discard(task)
            await _hang_up(to_client)

    async def hang_up(self) -> None:
        """Drops every client, and returns when their relays have ended."""
        for client in self._clients:
            client.close()
        if self._relays:
            await asyncio.wait(self._relays)


@asynccontextmanager
async def proxy(upstream: Path, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A relay to a unix socket, with TLS on the clients' side if it is given."""
    relay = Proxy(upstream)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, ssl=tls)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.hang_up()
        await server.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def _first_of(*pumps: object) -> None:
    tasks = [asyncio.ensure_future(pump) for pump in pumps]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
