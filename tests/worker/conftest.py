"""Fixtures of the worker's tests. What a test leaves in the server is audited after it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.broker import Broker, Janitor
from tests.broker.audit import audit
from tests.worker.rig import Rig


@pytest.fixture
async def rig(redis_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A running, empty server, and a broker on it that keeps house, as a gateway does."""
    async with Broker(redis_url) as broker, Janitor(broker.housekeeper):
        yield Rig(broker, redis_url, tmp_path / "worker.log")
        faults = await audit(broker)
    assert not faults, "the test left behind:\n  " + "\n  ".join(faults)
