"""What the tests of schedules have in common: a definition, and the coming of its time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.broker import Broker, Content, Job, NewJob, ids
from penstock.broker.schedule import NewSchedule, Schedule, SchedulePolicy
from penstock.broker.timing import Timing, write_timing
from tests.broker.rig import QUEUE, Rig

HOUR = 3_600_000
ID = "nightly"


def template(**options: Any) -> NewJob:  # noqa: ANN401 - the fields of NewJob.
    return NewJob(**{"type": "work", "queue": QUEUE, "request_id": "", **options})


def definition(
    schedule_id: str = ID,
    timing: Timing | None = None,
    job: NewJob | None = None,
    **policies: Any,  # noqa: ANN401 - the fields of SchedulePolicy.
) -> NewSchedule:
    """A schedule of an hour's interval."""
    return NewSchedule(
        schedule_id,
        timing or Timing(interval_ms=HOUR),
        job or template(payload=Content(b'{"n":1}')),
        SchedulePolicy(**policies),
        repr((timing, job, policies)).encode(),
    )


async def created(rig: Rig, **options: Any) -> Schedule:  # noqa: ANN401 - as definition.
    schedule, new = await rig.broker.schedules.create(definition(**options))
    assert new
    return schedule


async def come_due(rig: Rig, schedule: Schedule, late_ms: int = 0) -> int:
    """Its time comes, or came so long ago; returns the occurrence that it waits for now."""
    occurrence = schedule.now_ms - late_ms
    tail = ids.schedule_tail("default", schedule.schedule_id)
    anchor = replace(schedule.timing, anchor_ms=occurrence)
    key = rig.slot.schedule(tail)
    await rig.call("HSET", key, "nx", occurrence, "tm", write_timing(anchor))
    await rig.call("HDEL", key, "lt")
    await rig.call("ZADD", rig.slot.schedules(), "XX", occurrence, tail)
    return occurrence


async def jobs_of(rig: Rig) -> list[Job]:
    """Its jobs, in the order of their occurrences."""
    return sorted(await rig.listed(), key=lambda job: job.occurrence_ms or 0)


async def fire(rig: Rig, broker: Broker | None = None) -> None:
    """A visit by somebody who keeps house."""
    await (broker or rig.broker).housekeeper.visit(rig.slot)
