"""A gateway is killed and comes back: nobody but the clock notices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.client import AsyncClient, ChunkEvent, Event, JobState, StateEvent
from penstock.worker import Context, Worker
from tests.client.process import GatewayProcess
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.client import Job
    from penstock.client.async_client import AsyncCalls
    from tests.client.conftest import Connect, RunWorker

KILLS = 3
SUBMITTERS = 4


@pytest.fixture
async def process(redis_url: str, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    async with GatewayProcess(redis_url, tmp_path / "gateway.log") as process:
        yield process


@pytest.mark.timeout(120)
async def test_submits_over_a_gateway_that_is_killed_again_and_again(
    connect: Connect, process: GatewayProcess
) -> None:
    """Each submit that returned is one job, and there is no other."""
    job_ids: list[str] = []
    killing = True

    async def submit_all(calls: AsyncCalls) -> None:
        while killing:
            handle = await calls.submit(
                "work", len(job_ids), allow_unregistered=True, rpc_timeout=60
            )
            job_ids.append(handle.job_id)

    async def fifty_more(description: str) -> None:
        enough = len(job_ids) + 50
        await eventually(lambda: len(job_ids) >= enough, description, within_s=20)

    async with connect(process.address) as client:
        submitters = [asyncio.create_task(client(submit_all)) for _ in range(SUBMITTERS)]
        for _ in range(KILLS):
            await fifty_more("jobs are submitted at full speed")
            await process.kill()
            await process.start()
        await fifty_more("and after it all")
        killing = False
        await asyncio.gather(*submitters)
        async with AsyncClient(process.address) as other:
            stored = [job.job_id async for job in other.list()]
            stats = await other.queue_stats()
    assert sorted(stored) == sorted(job_ids)
    assert stats.submitted == len(job_ids)


talker = Worker()
CHUNKS = 40
gates: dict[int, asyncio.Event] = {}


@talker.job("talk")
async def talk(ctx: Context) -> str:
    """Emits numbered chunks, and waits at the gates that the test has set up."""
    for number in range(CHUNKS):
        if number in gates:
            await gates[number].wait()
        await ctx.emit(str(number))
        ctx.progress(number + 1, CHUNKS)
    return "said"


@pytest.mark.timeout(120)
async def test_a_watch_over_a_gateway_that_is_killed_or_stopped(
    connect: Connect, process: GatewayProcess, run_worker: RunWorker
) -> None:
    """No gap and no repetition, whatever was said while nobody listened."""
    gates.update({10: asyncio.Event(), 20: asyncio.Event(), 30: asyncio.Event()})
    events: list[Event] = []

    async def submit_and_watch(calls: AsyncCalls) -> Job:
        watch = await calls.submit_and_watch("talk", allow_unregistered=True)
        async for event in watch:
            events.append(event)  # noqa: PERF401 - looked at while it grows.
        return await calls.status(watch.job_id)

    async def chunks_are_seen(count: int) -> None:
        await eventually(
            lambda: sum(isinstance(event, ChunkEvent) for event in events) == count,
            f"{count} chunks are seen",
            within_s=20,
        )

    async with run_worker(talker), connect(process.address) as client:
        watching = asyncio.create_task(client(submit_and_watch))
        for gate, end in zip(
            sorted(gates), (process.kill, process.stop, process.kill), strict=True
        ):
            await chunks_are_seen(gate)
            await end()
            gates[gate].set()  # The job goes on while there is no gateway.
            await process.start()
        job = await asyncio.wait_for(watching, 30)

    assert [event.text for event in events if isinstance(event, ChunkEvent)] == [
        str(number) for number in range(CHUNKS)
    ]
    assert_tiling(events)
    assert isinstance(events[-1], StateEvent)
    assert events[-1].state is JobState.SUCCEEDED
    assert events[-1].last_sequence == job.last_sequence


async def test_a_wait_over_a_gateway_that_stops(
    connect: Connect, process: GatewayProcess, run_worker: RunWorker
) -> None:
    gates.clear()
    gates[1] = asyncio.Event()

    async def submit_and_wait(calls: AsyncCalls) -> object:
        handle = await calls.submit("talk", allow_unregistered=True)
        return await handle.result(timeout=30)

    async with run_worker(talker), connect(process.address) as client:
        waiting = asyncio.create_task(client(submit_and_wait))
        async with AsyncClient(process.address) as other:
            await eventually(lambda: _count(other, JobState.RUNNING), "the job runs", within_s=10)
        await process.stop()
        await process.start()
        gates[1].set()
        assert await asyncio.wait_for(waiting, 30) == "said"


async def _count(client: AsyncClient, state: JobState) -> int:
    queues = await client.queues()
    return len([job async for job in client.list(states=[state])]) if queues else 0


def assert_tiling(events: list[Event]) -> None:
    expected = 1
    for event in events:
        assert event.first_sequence == expected, f"a gap or a repetition before {event}"
        expected = event.last_sequence + 1
