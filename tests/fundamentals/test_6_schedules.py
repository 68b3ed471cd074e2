"""A schedule submits a job again and again, and every occurrence of it exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client import CatchUp, JobState, NewJob, Overlap, Schedule
from penstock.worker import Context, Worker
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.client import AsyncClient, Job
    from tests.fundamentals.conftest import RunWorker

app = Worker()


@app.job("report.make")
async def make_report(kind: str, ctx: Context) -> str:
    """Reports on the time that it stands for, however late or often it runs."""
    if ctx.occurrence_time is None:
        return f"{kind}, by hand"
    return f"{kind} of {ctx.occurrence_time:%Y-%m-%d}"


async def test_each_occurrence_is_a_job(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        tick = Schedule(NewJob("report.make", "tick"), every=1, overlap=Overlap.ALLOW)
        await client.create_schedule("tick", tick)

        async def ended() -> list[Job]:
            jobs = [job async for job in client.list(states=[JobState.SUCCEEDED])]
            return jobs if len(jobs) >= 2 else []

        jobs = await eventually(ended, "two occurrences have run", within_s=10)
        times = {job.occurrence_time for job in jobs}
        assert len(times) == len(jobs)
        assert await client.delete_schedule("tick")


async def test_a_schedule_by_the_calendar(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        nightly = Schedule(
            NewJob("report.make", "daily"),
            cron="0 3 * * MON-FRI",
            time_zone="Europe/Berlin",
            overlap=Overlap.QUEUE,
            catch_up=CatchUp.ALL,
            catch_up_limit=7,
        )
        found = await client.create_schedule("nightly", nightly)
        job = await client.trigger_schedule("nightly")
        assert await job.result() == "daily, by hand"
        assert (await client.get_schedule("nightly")).triggered == 1
        assert all(time.weekday() < 5 for time in found.next_run_times)
