"""Schedules, from both clients, on a real gateway."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.client import (
    AlreadyExists,
    Backoff,
    CatchUp,
    FailedPrecondition,
    InvalidRequest,
    NewJob,
    NotFound,
    Overlap,
    Priority,
    Schedule,
    SubmitOutcome,
)
from penstock.worker import Context, Worker
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from penstock.client.async_client import AsyncCalls
    from penstock.server import Gateway
    from tests.client.conftest import Connect, RunWorker

JOB = NewJob("report", {"kind": "daily"}, allow_unregistered=True)
app = Worker()


@app.job("report")
async def report(ctx: Context) -> str:
    return f"{ctx.schedule_id} of {ctx.occurrence_time:%Y}"


async def test_a_definition_is_read_back_as_it_was_given(
    connect: Connect, gateway: Gateway
) -> None:
    given = Schedule(
        NewJob(
            "report",
            {"kind": "daily"},
            queue="reports",
            priority=Priority.HIGH,
            expires_in=timedelta(hours=1),
            max_attempts=7,
            backoff=Backoff(initial=timedelta(seconds=2), jitter=0.0),
            timeout=timedelta(minutes=5),
            retention=timedelta(days=2),
            metadata={"team": "blue"},
            allow_unregistered=True,
        ),
        cron="0 6 * * MON-FRI",
        time_zone="Europe/Berlin",
        start_time=datetime(2026, 1, 1, tzinfo=UTC),
        end_time=datetime(2099, 1, 1, tzinfo=UTC),
        jitter=timedelta(seconds=30),
        overlap=Overlap.QUEUE,
        catch_up=CatchUp.ALL,
        catch_up_limit=9,
        tolerance=timedelta(seconds=10),
        note="for the morning",
    )

    async def scenario(calls: AsyncCalls) -> None:
        made = await calls.create_schedule("nightly", given)
        assert made.created
        assert made.schedule == given
        found = await calls.get_schedule("nightly", run_times=2)
        assert (found.schedule, found.version, found.created) == (given, 1, False)
        assert len(found.next_run_times) == 2
        assert all(time.weekday() < 5 for time in found.next_run_times)
        assert not (await calls.create_schedule("nightly", given)).created
        (listed,) = [each async for each in calls.schedules("reports")]
        assert listed.schedule.job.payload is None
        assert [each async for each in calls.schedules("default")] == []
        raw = Schedule(NewJob("report", b"\0", allow_unregistered=True), every=60)
        stored = (await calls.create_schedule("raw", raw)).schedule
        assert (stored.job.payload, stored.every) == (b"\0", timedelta(seconds=60))
        # What was read can be changed and written.
        later = replace(stored, note="changed")
        assert (await calls.update_schedule("raw", later)).version == 2

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_the_life_of_a_schedule(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        await calls.create_schedule("poll", Schedule(JOB, every=timedelta(hours=1)), paused=True)
        assert (await calls.get_schedule("poll")).paused
        handle = await calls.trigger_schedule("poll", request_id="r")
        again = await calls.trigger_schedule("poll", request_id="r")
        assert handle.job_id == again.job_id
        assert again.submitted is not None
        assert again.submitted.outcome is SubmitOutcome.REPEATED
        job = await handle.status()
        assert (job.schedule_id, job.occurrence_time) == ("poll", None)
        resumed = await calls.resume_schedule("poll")
        assert (resumed.triggered, resumed.last_job_id) == (1, handle.job_id)
        assert len(resumed.next_run_times) == 5
        changed = Schedule(JOB, every=60, overlap="allow")
        updated = await calls.update_schedule("poll", changed, version=resumed.version)
        assert updated.schedule.overlap is Overlap.ALLOW
        assert (await calls.pause_schedule("poll")).next_run_times == ()
        assert await calls.delete_schedule("poll")
        assert not await calls.delete_schedule("poll")

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_a_preview(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        first, second = await calls.preview_schedule(cron="0 12 * * *", run_times=2)
        assert (first.hour, second - first) == (12, timedelta(days=1))
        start = datetime(2090, 1, 1, tzinfo=UTC)
        assert await calls.preview_schedule(every=60, start_time=start, run_times=1) == (start,)

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_what_is_refused(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        await calls.create_schedule("poll", Schedule(JOB, every=60))
        with pytest.raises(AlreadyExists, match="update_schedule"):
            await calls.create_schedule("poll", Schedule(JOB, every=61))
        with pytest.raises(FailedPrecondition, match="version"):
            await calls.update_schedule("poll", Schedule(JOB, every=61), version=7)
        with pytest.raises(NotFound, match="lists them"):
            await calls.get_schedule("nobody")
        with pytest.raises(InvalidRequest, match=r"spec\.timing\.cron\.expression"):
            await calls.create_schedule("bad", Schedule(JOB, cron="0 0 30 2 *"))
        with pytest.raises(InvalidRequest, match=r"timing\.cron\.time_zone"):
            await calls.preview_schedule(cron="* * * * *", time_zone="Mars/Olympus")
        with pytest.raises(InvalidRequest, match="either cron or every"):
            await calls.create_schedule("bad", Schedule(JOB))
        with pytest.raises(InvalidRequest) as refusal:
            await calls.create_schedule(
                "bad",
                Schedule(
                    JOB,
                    every=60,
                    overlap="sometimes",
                    start_time=datetime(2026, 1, 1),  # noqa: DTZ001 - that is what is wrong.
                ),
            )
        assert [each.field for each in refusal.value.violations] == [
            "spec.timing.start_time",
            "spec.overlap",
        ]
        with pytest.raises(InvalidRequest, match=r"spec\.job\.request_id"):
            await calls.create_schedule("bad", Schedule(replace(JOB, request_id="r"), every=60))

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_it_fires_and_a_worker_runs_it(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        await client.create_schedule("tick", Schedule(NewJob("report"), every=1))

        async def fired() -> str:
            return (await client.get_schedule("tick")).last_job_id

        handle = client.handle(await eventually(fired, "it fires", within_s=10))
        assert await handle.result() == f"tick of {datetime.now(UTC):%Y}"
        await client.delete_schedule("tick")
