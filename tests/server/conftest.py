"""Fixtures of the gateway's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.rig import Rig, rig_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    """A gateway with default settings on an empty server."""
    async with rig_on(redis_url) as running:
        yield running
