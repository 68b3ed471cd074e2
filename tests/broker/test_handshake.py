"""Connecting: what redis-py does for us, and what it must not do to us."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from redis.asyncio.connection import UnixDomainSocketConnection

from penstock.broker import Unavailable
from penstock.broker.handshake import Endpoint, open_connection, parse_endpoint


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


class Cut(UnixDomainSocketConnection):
    """Loses its connection after it is made, and before anything is said."""

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]  # redis-py's.
        assert self._writer is not None
        self._writer.transport.abort()
        await asyncio.sleep(0)


def test_a_connection_that_is_lost_at_once_is_only_unavailable(redis_url: str) -> None:
    real = parse_endpoint(redis_url)._options
    endpoint = Endpoint("cut", Cut, real)

    async def connect() -> None:
        with pytest.raises(Unavailable, match="cannot connect to Redis at cut"):
            await open_connection(
                endpoint, asyncio.Protocol(), client_name="test", timeout_s=5.0, user_timeout_s=5.0
            )

    for loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(connect())
