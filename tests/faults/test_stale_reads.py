"""The promise of the cache under faults: nobody is told what an acknowledged invalidation ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.client import AsyncClient, CachePolicy, SubmitOutcome
from penstock.runtime.embedded import EmbeddedServer
from penstock.server import Gateway, ServerSettings
from penstock.worker import Context, Worker, WorkerService, WorkerSettings
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READERS = 8
KILLS = 3
#: Reads and writes between two kills, so that each kill finds the cache at work.
READS, WRITES = 150, 10
#: Of a call that meets a server that is away (s).
PATIENCE_S = 60


class Shelf:
    """What is read through the cache, and how often it was asked itself."""

    def __init__(self) -> None:
        self.version = 0
        self.asked = 0


def app_over(shelf: Shelf) -> Worker:
    app = Worker(slots=20)

    @app.job("shelf.read")
    async def read() -> int:
        shelf.asked += 1
        version = shelf.version
        await asyncio.sleep(0.005)  # What was read is on its way for a while.
        return version

    @app.job("shelf.write")
    async def write(ctx: Context) -> int:
        shelf.version += 1
        written = shelf.version
        await ctx.invalidate(tags=["shelf"])
        return written

    return app


@pytest.fixture
def server(server_binary: Path) -> Iterator[EmbeddedServer]:
    """One that acknowledges what is on disk, so that a kill takes nothing back."""
    with EmbeddedServer(binary=server_binary, appendfsync="always") as server:
        yield server


@pytest.mark.timeout(180)
async def test_no_read_is_older_than_the_last_acknowledged_write(server: EmbeddedServer) -> None:
    shelf = Shelf()
    app = app_over(shelf)
    acknowledged, reads, writes = 0, 0, 0
    outcomes: set[SubmitOutcome | None] = set()
    stopping = asyncio.Event()

    async def reader(client: AsyncClient) -> None:
        nonlocal reads
        policy = CachePolicy(60, key="all", tags=["shelf"])
        while not stopping.is_set():
            known = acknowledged
            handle = await client.submit("shelf.read", cache=policy, retention=5)
            outcomes.add(handle.outcome)
            assert await handle.result(timeout=PATIENCE_S) >= known
            reads += 1

    async def writer(client: AsyncClient) -> None:
        nonlocal acknowledged, writes
        while not stopping.is_set():
            handle = await client.submit("shelf.write")
            acknowledged = await handle.result(timeout=PATIENCE_S)
            writes += 1

    def settings() -> ServerSettings:
        return ServerSettings.load(
            redis_url=server.url, listen="127.0.0.1:0", shutdown_grace_s=0.5, call_budget_s=5.0
        )

    worker = WorkerService(
        app, WorkerSettings.load(redis_url=server.url, drain_grace_s=0.0, stop_grace_s=0.5)
    )
    async with (
        Gateway(settings()) as one,
        Gateway(settings()) as two,
        worker,
        AsyncClient(one.address, timeout=PATIENCE_S) as here,
        AsyncClient(two.address, timeout=PATIENCE_S) as there,
        asyncio.TaskGroup() as group,
    ):
        for number in range(READERS):
            group.create_task(reader(there if number % 2 else here))
        group.create_task(writer(here))
        for _ in range(KILLS):
            goal = reads + READS, writes + WRITES

            def is_at_work(goal: tuple[int, int] = goal) -> bool:
                return reads >= goal[0] and writes >= goal[1]

            await eventually(is_at_work, "more is read and written", within_s=60)
            server.kill()
            await asyncio.to_thread(server.start)
        stopping.set()
    assert {SubmitOutcome.CACHED, SubmitOutcome.JOINED, SubmitOutcome.CREATED} <= outcomes
    assert shelf.asked < reads
