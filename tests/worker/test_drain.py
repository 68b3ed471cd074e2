"""A worker that is told to stop: running jobs may finish, and the rest is handed back."""

import asyncio
import time

from penstock.broker import JobState, StateChange
from penstock.worker import Context, StopReason, SyncContext, Worker
from tests.support.waiting import eventually
from tests.worker.rig import Rig


async def test_a_drain_lets_jobs_finish(rig: Rig) -> None:
    app = Worker()
    gate = asyncio.Event()

    @app.job("waiting")
    async def waiting(ctx: Context) -> bool:
        ctx.progress(0, 1)
        await gate.wait()
        return ctx.draining

    async with rig.working(app) as service:
        job_id = await rig.submit("waiting")
        await rig.progressed(job_id)
        stop = asyncio.create_task(service.stop())

        async def draining() -> bool:
            return all(worker.draining for worker in await rig.broker.registry.workers())

        await eventually(draining, "the worker says that it drains")
        later = await rig.submit("waiting")
        gate.set()
        await stop
    assert await rig.result(job_id) is True
    assert (await rig.job(later)).state is JobState.QUEUED
    assert await rig.broker.registry.workers() == []


async def test_what_outlasts_the_grace_is_handed_back_at_no_cost(rig: Rig) -> None:
    app = Worker()
    stops: list[StopReason | None] = []

    @app.job("endless")
    async def endless(ctx: Context) -> None:
        ctx.progress(0, 1)
        try:
            await asyncio.Event().wait()
        finally:
            stops.append(ctx.stop_reason)

    @app.job("endless.thread")
    def endless_in_thread(ctx: SyncContext) -> None:
        ctx.progress(0, 1)
        ctx.cancelled.wait()
        stops.append(ctx.stop_reason)
        ctx.check()

    async with rig.working(app, drain_grace_s=0.1):
        jobs = [await rig.submit(job_type) for job_type in app.handlers]
        for job_id in jobs:
            await rig.progressed(job_id)
    assert stops == [StopReason.DRAINING] * 2
    for job_id in jobs:
        job = await rig.job(job_id)
        assert (job.state, job.attempt, job.crashes) == (JobState.QUEUED, 0, 0)
        last = (await rig.events(job_id))[-1].body
        assert last == StateChange(JobState.QUEUED, 0, "the worker is draining")
    counters = (await rig.stats()).counters
    assert counters["released"] == 2
    assert "lost" not in counters


async def test_a_cancel_reaches_a_job_that_drains(rig: Rig) -> None:
    app = Worker()

    @app.job("endless")
    async def endless(ctx: Context) -> None:
        ctx.progress(0, 1)
        await asyncio.Event().wait()

    async with rig.working(app, drain_grace_s=30) as service:
        job_id = await rig.submit("endless")
        await rig.progressed(job_id)
        began_s = time.monotonic()
        stop = asyncio.create_task(service.stop())
        await rig.broker.jobs.cancel(job_id, "enough")
        await stop
    assert time.monotonic() - began_s < 20
    assert (await rig.job(job_id)).state is JobState.CANCELLED
