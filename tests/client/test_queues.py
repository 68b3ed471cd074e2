"""What those who run queues ask, and lists, on a real gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.client import (
    AsyncClient,
    FailedPrecondition,
    InvalidRequest,
    JobState,
    NewJob,
    NotFound,
    Priority,
    SubmitOutcome,
)
from penstock.worker import Worker
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.client.async_client import AsyncCalls
    from penstock.server import Gateway
    from tests.client.conftest import Connect, RunWorker

app = Worker()


@app.job("fail")
async def fail() -> None:
    raise ValueError("no way")


async def test_a_list_is_fetched_page_by_page(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        await calls.submit_many(NewJob("t", n, allow_unregistered=True) for n in range(250))
        await calls.submit("u", delay=600, allow_unregistered=True)
        assert len([job async for job in calls.list()]) == 251
        scheduled = [job async for job in calls.list(states=["scheduled"])]
        assert [job.type for job in scheduled] == ["u"]
        assert [job.type async for job in calls.list(type="u")] == ["u"]
        page = await calls.list_page(page_size=10)
        assert len(page.jobs) == 10
        rest = await calls.list_page(page_size=10, page_token=page.next_page_token)
        assert not {job.job_id for job in page.jobs} & {job.job_id for job in rest.jobs}

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_queues_are_counted_paused_and_purged(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        with pytest.raises(NotFound, match="first job or worker"):
            await calls.queue_stats("nowhere")
        await calls.submit("t", queue="q", priority=Priority.HIGH, allow_unregistered=True)
        await calls.submit("t", queue="q", delay=600, allow_unregistered=True)
        assert [queue.name for queue in await calls.queues()] == ["q"]
        assert (await calls.pause_queue("q")).paused
        assert not (await calls.resume_queue("q")).paused
        stats = await calls.queue_stats("q")
        assert stats.waiting == {Priority.HIGH: 1, Priority.DEFAULT: 0, Priority.LOW: 0}
        assert (stats.scheduled, stats.submitted, stats.queue.name) == (1, 2, "q")
        assert stats.oldest_waiting_age is not None
        reports: list[int] = []
        assert await calls.purge_queue("q", on_progress=reports.append) == 2
        assert reports[-1] == 2
        assert (await calls.queue_stats("q")).cancelled == 2

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_dead_letters_are_retried_and_redriven(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        (worker,) = await client.workers("default")
        assert worker.types == ("fail",)
        handle = await client.submit("fail", max_attempts=1)
        assert (await handle.wait()).state is JobState.FAILED
        again = await handle.retry(request_id="once more")
        repeated = await handle.retry(request_id="once more")
        assert again.job_id == repeated.job_id
        assert repeated.submitted is not None
        assert repeated.submitted.outcome is SubmitOutcome.REPEATED
        assert (await again.wait()).retried_from == handle.job_id
        assert await client.redrive("default") == 2
    waiting = await client.submit("fail", delay=600)
    with pytest.raises(FailedPrecondition) as refusal:
        await waiting.retry()
    assert refusal.value.reason == "JOB_NOT_RETRYABLE"


async def test_health_is_told_by_service(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        assert await calls.health()
        assert await calls.health("penstock.v1.JobService")
        with pytest.raises(NotFound):
            await calls.health("no.such.Service")

    async with AsyncClient(gateway.address) as other:
        await eventually(other.health, "the gateway is ready")
    async with connect(gateway.address) as client:
        await client(scenario)


async def test_ended_jobs_are_cleaned(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        await calls.submit_many(NewJob("t", n, allow_unregistered=True) for n in range(5))
        await calls.purge_queue("default")
        assert await calls.clean_queue("default", ["cancelled"], older_than=3600) == 0
        seen: list[int] = []
        removed = await calls.clean_queue(
            "default", [JobState.CANCELLED], type="t", on_progress=seen.append
        )
        assert (removed, seen) == (5, [5])
        with pytest.raises(InvalidRequest):
            await calls.clean_queue("default", ["queued"])

    async with connect(gateway.address) as client:
        await client(scenario)
