"""kill -9 of the server under load: all recovers by itself, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.broker import Broker
from penstock.client import AsyncClient, JobState
from penstock.runtime.embedded import EmbeddedServer
from tests.support.processes import Fleet, free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


APP = "tests.faults.app:app"
SUBMITTERS = 6
KILLS = 3
#: Jobs acknowledged between two kills, so that each kill finds the system at work.
BETWEEN_KILLS = 150


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "journal"
    path.touch()
    monkeypatch.setenv("PENSTOCK_TEST_JOURNAL", str(path))
    return path


@pytest.fixture
def server(server_binary: Path) -> Iterator[EmbeddedServer]:
    """One that acknowledges what is on disk.

    With everysec, a server holds writes back in its memory while an fsync is under way, for up to
    two seconds: killed on a slow disk, it loses what it acknowledged meanwhile.
    """
    with EmbeddedServer(binary=server_binary, appendfsync="always") as server:
        yield server


@pytest.fixture
def fleet(server: EmbeddedServer, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(server.url, tmp_path) as fleet:
        yield fleet


@pytest.mark.timeout(180)
async def test_nothing_acknowledged_is_lost(
    fleet: Fleet, server: EmbeddedServer, journal: Path
) -> None:
    port = free_port()
    fleet.gateway(port)
    for _ in range(2):
        fleet.worker(APP, lease_s=2)
    acknowledged: dict[int, str] = {}
    stopping = asyncio.Event()
    async with AsyncClient(f"127.0.0.1:{port}", timeout=60) as client:
        await _worker_registered(server.url)

        async def submit(first: int) -> None:
            number = first
            while not stopping.is_set():
                handle = await client.submit("tally", number)
                acknowledged[number] = handle.job_id
                number += SUBMITTERS

        async with asyncio.TaskGroup() as group:
            for first in range(SUBMITTERS):
                group.create_task(submit(first))
            for _ in range(KILLS):
                goal = len(acknowledged) + BETWEEN_KILLS

                def is_at_work(goal: int = goal) -> bool:
                    return len(acknowledged) >= goal

                await eventually(is_at_work, "more jobs are acknowledged", within_s=60)
                server.kill()
                server.start()
            stopping.set()

        results = await asyncio.gather(
            *(client.wait(job_id, timeout=60) for job_id in acknowledged.values())
        )
    assert {job.state for job in results} == {JobState.SUCCEEDED}
    assert [job.result for job in results] == list(acknowledged)
    assert len(set(acknowledged.values())) == len(acknowledged)
    executed = await _numbers_in(journal)
    assert executed >= set(acknowledged), "an acknowledged job has a result but did not run"
    async with Broker(server.url) as broker:
        stats = await broker.queues.stats("default")
    assert sum(stats.waiting.values()) + stats.scheduled + stats.running == 0
    assert stats.succeeded == stats.counters["submitted"] == len(executed)


async def _worker_registered(redis_url: str) -> None:
    async with Broker(redis_url) as broker:

        async def registered() -> bool:
            return bool(await broker.registry.types())

        await eventually(registered, "a worker has registered", within_s=30)


async def _numbers_in(journal: Path) -> set[int]:
    text = await asyncio.to_thread(journal.read_text)
    return {int(line) for line in text.splitlines()}
