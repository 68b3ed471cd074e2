"""Fixtures of the broker's tests: real servers, alone and as a cluster of one node.

A test that asks for `url`, `broker` or `rig` runs on both kinds of server. After it, all that it
left there is audited: every key is one of the stated list, with a TTL where it says so, and records
and structures agree. A test that tampers with the data on purpose says so by the mark
``foreign_hands``: then only the keys are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.broker import Broker
from penstock.runtime._probe import ask
from tests.broker.audit import audit, stray_keys
from tests.broker.rig import Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.runtime.embedded import EmbeddedServer


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "foreign_hands: tampers with stored data, so only its keys are audited"
    )


@pytest.fixture(params=["single", "cluster"])
def server(request: pytest.FixtureRequest) -> EmbeddedServer:
    """A running server without data."""
    name = {"single": "redis_server", "cluster": "cluster_server"}[request.param]
    server: EmbeddedServer = request.getfixturevalue(name)
    server.start()
    ask(server.socket_path, "FLUSHALL", timeout_s=10)
    return server


@pytest.fixture
async def url(server: EmbeddedServer, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The server's address; what the test leaves there is audited."""
    yield server.url
    async with Broker(server.url) as broker:
        tampered = request.node.get_closest_marker("foreign_hands")
        faults = await (stray_keys(broker) if tampered else audit(broker))
    assert not faults, "the test left behind:\n  " + "\n  ".join(faults)


@pytest.fixture
async def broker(url: str) -> AsyncIterator[Broker]:
    """The broker of one process."""
    async with Broker(url) as broker:
        yield broker


@pytest.fixture
async def other(url: str) -> AsyncIterator[Broker]:
    """The broker of another process."""
    async with Broker(url) as broker:
        yield broker


@pytest.fixture
async def rig(broker: Broker) -> Rig:
    """A queue of one partition."""
    return await Rig.on(broker)
