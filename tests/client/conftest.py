"""A scripted gateway, a real one, a worker, and both clients, each put to the same tests."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

from penstock.client import AsyncClient, Client
from penstock.client.blocking import run
from penstock.server import Gateway, ServerSettings
from penstock.worker import WorkerService, WorkerSettings
from tests.client.scripted import ScriptedGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from penstock.client.async_client import AsyncCalls
    from penstock.worker import Worker

    Connect = Callable[..., AbstractAsyncContextManager["Both"]]
    RunWorker = Callable[..., AbstractAsyncContextManager[WorkerService]]

Result = TypeVar("Result")


class Both(Protocol):
    """One of the two clients, to which a scenario is put: a coroutine function over the calls."""

    async def __call__(
        self, scenario: Callable[[AsyncCalls], Coroutine[Any, Any, Result]]
    ) -> Result: ...


class _Async:
    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def __call__(
        self, scenario: Callable[[AsyncCalls], Coroutine[Any, Any, Result]]
    ) -> Result:
        return await scenario(self._client)


class _Blocking:
    """Runs the scenario in a thread, to its end: the proof that it never suspends."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(
        self, scenario: Callable[[AsyncCalls], Coroutine[Any, Any, Result]]
    ) -> Result:
        return await asyncio.to_thread(lambda: run(scenario(self._client._core)))


@pytest.fixture(params=["async", "blocking"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Connects each of the two clients in turn, to put scenarios to it."""

    @asynccontextmanager
    async def connected(address: str, **settings: Any) -> AsyncIterator[Both]:  # noqa: ANN401
        if request.param == "async":
            async with AsyncClient(address, **settings) as client:
                yield _Async(client)
        else:
            with Client(address, **settings) as blocking_client:
                yield _Blocking(blocking_client)

    return connected


@pytest.fixture
async def script() -> AsyncIterator[ScriptedGateway]:
    async with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[Gateway]:
    settings = ServerSettings.load(redis_url=redis_url, listen="127.0.0.1:0", shutdown_grace_s=0.5)
    async with Gateway(settings) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(gateway.address) as client:
        yield client


@pytest.fixture
def run_worker(redis_url: str) -> RunWorker:
    """Runs a worker in this event loop, as a context manager."""

    @asynccontextmanager
    async def running(app: Worker) -> AsyncIterator[WorkerService]:
        settings = WorkerSettings.load(redis_url=redis_url, drain_grace_s=0.0, stop_grace_s=0.5)
        async with WorkerService(app, settings) as service:
            yield service

    return running
