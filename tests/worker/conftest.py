"""Fixtures of the worker's tests. What a test leaves in the server is audited after it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock.broker import Broker, Janitor
from penstock.runtime.embedded import EmbeddedServer
from tests.broker.audit import audit
from tests.worker.rig import Rig


@pytest.fixture
async def rig(redis_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A running, empty server, and a broker on it that keeps house, as a gateway does."""
    async with _rig_on(redis_url, tmp_path) as rig:
        yield rig


@pytest.fixture
def durable_server(server_binary: Path) -> Iterator[EmbeddedServer]:
    """A server that loses nothing it has acknowledged when it is killed, whatever the disk is at.

    The shared one syncs every second: while a sync takes its while, it answers before it writes.
    """
    with EmbeddedServer(binary=server_binary, port=0, appendfsync="always") as server:
        yield server


@pytest.fixture
async def durable_rig(durable_server: EmbeddedServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """As `rig`, on a server that may be killed."""
    async with _rig_on(durable_server.url, tmp_path) as rig:
        yield rig


@contextlib.asynccontextmanager
async def _rig_on(url: str, folder: Path) -> AsyncIterator[Rig]:
    async with Broker(url) as broker, Janitor(broker.housekeeper):
        yield Rig(broker, url, folder / "worker.log")
        faults = await audit(broker)
    assert not faults, "the test left behind:\n  " + "\n  ".join(faults)
