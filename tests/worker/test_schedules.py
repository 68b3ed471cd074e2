"""What a handler is told of the schedule that made its job, in each mode."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.broker import NewJob, NewSchedule, Overlap, SchedulePolicy, Timing
from penstock.worker import Context, SyncContext, Worker
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.worker.rig import Rig


def told(ctx: Context | SyncContext) -> dict[str, str | None]:
    moment = ctx.occurrence_time
    return {"schedule": ctx.schedule_id, "time": None if moment is None else moment.isoformat()}


async def test_a_handler_knows_its_schedule_and_its_occurrence(rig: Rig) -> None:
    app = Worker()

    @app.job("async")
    async def in_loop(ctx: Context) -> dict[str, str | None]:
        return told(ctx)

    @app.job("thread")
    def in_thread(ctx: SyncContext) -> dict[str, str | None]:
        return told(ctx)

    schedules = rig.broker.schedules
    async with rig.working(app):
        for job_type in app.handlers:
            await schedules.create(
                NewSchedule(
                    job_type,
                    Timing(interval_ms=1_000),
                    NewJob(job_type, "default", ""),
                    SchedulePolicy(overlap=Overlap.ALLOW),
                )
            )

            async def fired(schedule_id: str = job_type) -> str:
                return (await schedules.get(schedule_id)).last_job_id

            job_id = await eventually(fired, "it fires", within_s=10)
            await schedules.delete(job_type)
            result = await rig.result(job_id)
            occurrence = (await rig.job(job_id)).occurrence_ms
            assert occurrence is not None
            moment = datetime.fromtimestamp(occurrence / 1000, UTC)
            assert result == {"schedule": job_type, "time": moment.isoformat()}
        submitted = await rig.submit("thread")
        assert await rig.result(submitted) == {"schedule": "", "time": None}
