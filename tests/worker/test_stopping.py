"""Handlers that are told to stop, in each mode: cancelled, timed out, expired."""

import asyncio
import threading

from penstock.broker import Backoff, FailureReason, JobState
from penstock.worker import Context, Stopped, StopReason, SyncContext, Worker
from tests.worker.rig import Rig

QUICK = Backoff(initial_ms=10, max_ms=10, jitter=0)


async def test_a_running_coroutine_is_cancelled_at_once(rig: Rig) -> None:
    app = Worker()
    seen: list[object] = []

    @app.job("endless")
    async def endless(ctx: Context) -> None:
        ctx.progress(0, 1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.extend((ctx.stop_reason, bool(ctx.cancelled)))
            await ctx.emit("goodbye")
            raise

    async with rig.working(app, lease_s=120):
        job_id = await rig.submit("endless")
        await rig.progressed(job_id)
        asked = await rig.broker.jobs.cancel(job_id, "enough")
        assert asked.cancel_requested
        job = await rig.until(job_id, JobState.CANCELLED)
    assert seen == [StopReason.CANCELLED, True]
    assert job.cancel_reason == "enough"
    # The bell brought it, not a renewal, which would have come after 30 s.
    assert job.finished_ms is not None
    assert job.started_ms is not None
    assert job.finished_ms - job.started_ms < 20_000


async def test_a_cancel_also_arrives_without_the_bell(rig: Rig) -> None:
    app = Worker()

    @app.job("endless")
    async def endless(ctx: Context) -> None:
        ctx.progress(0, 1)
        await asyncio.Event().wait()

    async with rig.working(app, lease_s=1):
        job_id = await rig.submit("endless")
        job = await rig.progressed(job_id)
        # As if the hint had been lost: requested in the record, and nobody told.
        slot, tail, _ = await rig.broker.engine.locate(job.job_id)
        await rig.broker.link.call("HSET", slot.record(tail), "cr", "quietly")
        job = await rig.until(job_id, JobState.CANCELLED)
    assert job.cancel_reason == "quietly"


async def test_a_value_stands_even_if_a_cancel_was_requested(rig: Rig) -> None:
    app = Worker()

    @app.job("insistent")
    async def insistent(ctx: Context) -> str:
        ctx.progress(0, 1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    @app.job("insistent.thread")
    def insistent_in_thread(ctx: SyncContext) -> str:
        ctx.progress(0, 1)
        ctx.cancelled.wait()
        return "done all the same"

    async with rig.working(app):
        for job_type in app.handlers:
            job_id = await rig.submit(job_type)
            await rig.progressed(job_id)
            await rig.broker.jobs.cancel(job_id, "enough")
            assert await rig.result(job_id) == "done all the same"


async def test_a_coroutine_that_goes_on_is_cancelled_again(rig: Rig) -> None:
    app = Worker()

    @app.job("stubborn")
    async def stubborn(ctx: Context) -> None:
        ctx.progress(0, 1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async with rig.working(app, stop_grace_s=0.1):
        job_id = await rig.submit("stubborn")
        await rig.progressed(job_id)
        await rig.broker.jobs.cancel(job_id, "enough")
        await rig.until(job_id, JobState.CANCELLED)


async def test_a_thread_sees_that_it_is_to_stop(rig: Rig) -> None:
    app = Worker()
    seen: list[object] = []

    @app.job("endless")
    def endless(ctx: SyncContext) -> None:
        ctx.progress(0, 1)
        while not ctx.cancelled:
            ctx.cancelled.wait(0.01)
        seen.append(ctx.stop_reason)
        try:
            ctx.check()
        except Stopped as stopped:
            seen.append(stopped.reason)
            raise

    async with rig.working(app):
        job_id = await rig.submit("endless")
        await rig.progressed(job_id)
        await rig.broker.jobs.cancel(job_id, "enough")
        await rig.until(job_id, JobState.CANCELLED)
    assert seen == [StopReason.CANCELLED, StopReason.CANCELLED]


async def test_a_thread_that_does_not_stop_keeps_its_slot_but_not_its_job(rig: Rig) -> None:
    app = Worker(slots=1)
    gate = threading.Event()
    refused: list[str] = []

    @app.job("deaf")
    def deaf(ctx: SyncContext) -> None:
        ctx.progress(0, 1)
        gate.wait()
        try:
            ctx.emit("too late")
        except Stopped as stopped:
            refused.append(stopped.reason.name)
            raise

    @app.job("next")
    async def following() -> None:
        pass

    async with rig.working(app, stop_grace_s=0.05):
        job_id = await rig.submit("deaf")
        await rig.progressed(job_id)
        await rig.broker.jobs.cancel(job_id, "enough")
        await rig.until(job_id, JobState.CANCELLED)
        waiting = await rig.submit("next")
        assert (await rig.job(waiting)).state is JobState.QUEUED
        gate.set()
        await rig.until(waiting, JobState.SUCCEEDED)
    assert refused == ["CANCELLED"]


async def test_an_attempt_times_out_and_is_tried_again(rig: Rig) -> None:
    app = Worker()
    stops: list[StopReason | None] = []

    @app.job("slow", timeout=0.05)
    async def slow(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stops.append(ctx.stop_reason)

    @app.job("slow.thread", timeout=0.05)
    def slow_in_thread(ctx: SyncContext) -> None:
        ctx.cancelled.wait()
        stops.append(ctx.stop_reason)
        ctx.check()

    async with rig.working(app):
        for job_type in app.handlers:
            job_id = await rig.submit(job_type, max_attempts=2, backoff=QUICK)
            job = await rig.until(job_id, JobState.FAILED)
            assert job.failure is not None
            assert (job.attempt, job.failure.reason) == (2, FailureReason.TIMED_OUT)
    assert stops == [StopReason.TIMED_OUT] * 4


async def test_the_job_s_own_timeout_comes_before_the_type_s(rig: Rig) -> None:
    app = Worker()

    @app.job("slow", timeout=3_600)
    async def slow() -> None:
        await asyncio.Event().wait()

    async with rig.working(app):
        job_id = await rig.submit("slow", timeout_ms=50, max_attempts=1)
        await rig.until(job_id, JobState.FAILED)


async def test_a_running_job_meets_its_deadline(rig: Rig) -> None:
    app = Worker()
    stops: list[StopReason | None] = []

    @app.job("slow", timeout=3_600)
    async def slow(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stops.append(ctx.stop_reason)

    async with rig.working(app):
        job_id = await rig.submit("slow", expires_in_ms=5_000)
        job = await rig.until(job_id, JobState.EXPIRED)
    assert stops == [StopReason.EXPIRED]
    assert job.deadline_ms is not None
    assert job.finished_ms is not None
    assert job.finished_ms >= job.deadline_ms
