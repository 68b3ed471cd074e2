"""A gateway on a real server and a real socket, a client, and a way to run a worker."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from penstock.client import AsyncClient
from penstock.server import Gateway, ServerSettings
from penstock.worker import WorkerService, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from penstock.worker import Worker

    RunWorker = Callable[..., AbstractAsyncContextManager[WorkerService]]


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[Gateway]:
    async with Gateway(
        ServerSettings.load(redis_url=redis_url, listen="127.0.0.1:0", shutdown_grace_s=0.5)
    ) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(gateway.address) as client:
        yield client


@pytest.fixture
def run_worker(redis_url: str) -> RunWorker:
    """Runs a worker of an app in this event loop, for as long as the block lasts."""

    @asynccontextmanager
    async def run(app: Worker, **settings: object) -> AsyncIterator[WorkerService]:
        flags = {"drain_grace_s": 0.0, "stop_grace_s": 0.5, **settings}
        async with WorkerService(app, WorkerSettings.load(redis_url=redis_url, **flags)) as service:
            yield service

    return run
