"""Connecting: what redis-py does for us, and what it must not do to us."""

from __future__ import annotations

import asyncio

from penstock.broker.handshake import open_connection, parse_endpoint


class Held(asyncio.Protocol):
    """Keeps its transport at hand."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport


async def test_a_cancellation_is_never_lost(redis_url: str) -> None:
    endpoint = parse_endpoint(redis_url)

    async def connect() -> None:
        protocol = Held()
        streams = await open_connection(
            endpoint, protocol, client_name="test", timeout_s=5.0, user_timeout_s=5.0
        )
        try:
            await asyncio.Event().wait()
        finally:
            protocol.transport.abort()
            del streams

    for turns in range(1, 30):
        task = asyncio.create_task(connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        _, pending = await asyncio.wait([task], timeout=2.0)
        assert not pending, f"a cancellation was lost after {turns} turns of the loop"
