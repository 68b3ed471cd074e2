"""Between the contract and the broker, as `convert`: what is of schedules.

Requests come in here validated; nothing in this module refuses anything.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, cast

from google.protobuf.message import DecodeError

from penstock.broker import (
    CatchUp,
    NewJob,
    NewSchedule,
    Overlap,
    Schedule,
    SchedulePolicy,
    Timing,
    anchored,
)
from penstock.server.convert import DEFAULT_QUEUE, time_of
from penstock.server.validation import duration_ms, timestamp_ms
from penstock.v1 import schedule_service_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

DEFAULT_RUN_TIMES: Final = 5
_DEFAULTS: Final = SchedulePolicy()

_OVERLAP: Final = {pb.OVERLAP_POLICY_UNSPECIFIED: _DEFAULTS.overlap} | {
    pb.OverlapPolicy.Value(f"OVERLAP_POLICY_{policy.name}"): policy for policy in Overlap
}
_CATCH_UP: Final = {pb.CatchUp.POLICY_UNSPECIFIED: _DEFAULTS.catch_up} | {
    pb.CatchUp.Policy.Value(f"POLICY_{policy.name}"): policy for policy in CatchUp
}


# From the contract.


def cron_timing(cron: pb.Cron) -> Timing:
    """An expression, and nothing else."""
    return Timing(cron=cron.expression.strip() or " ", time_zone=cron.time_zone or "UTC")


def timing(given: pb.Timing, now_ms: int) -> Timing:
    """A timing; its interval, if it has no start, begins one interval after now (ms)."""
    recurrence = cron_timing(given.cron) if given.HasField("cron") else Timing()
    found = Timing(
        cron=recurrence.cron,
        time_zone=recurrence.time_zone,
        interval_ms=duration_ms(given.interval),
        start_ms=timestamp_ms(given.start_time) if given.HasField("start_time") else None,
        end_ms=timestamp_ms(given.end_time) if given.HasField("end_time") else None,
        jitter_ms=duration_ms(given.jitter),
    )
    return anchored(found, now_ms)


def new_schedule(schedule_id: str, spec: pb.ScheduleSpec, job: NewJob, now_ms: int) -> NewSchedule:
    """A definition, whose job is the accepted one; now (ms) is only an anchor to be replaced."""
    catch_up = spec.catch_up
    policy = SchedulePolicy(
        overlap=_OVERLAP[spec.overlap],
        catch_up=_CATCH_UP[catch_up.policy],
        limit=catch_up.limit or _DEFAULTS.limit,
        tolerance_ms=duration_ms(catch_up.tolerance)
        if catch_up.HasField("tolerance")
        else _DEFAULTS.tolerance_ms,
    )
    kept = pb.ScheduleSpec()
    kept.CopyFrom(spec)
    kept.job.queue = spec.job.queue or DEFAULT_QUEUE
    kept.job.payload.ClearField("data")  # It is stored once, with the job's template.
    return NewSchedule(
        schedule_id,
        timing(spec.timing, now_ms),
        job,
        policy,
        kept.SerializeToString(deterministic=True),
    )


# To the contract.


def schedule(
    found: Schedule, *, run_times: int = DEFAULT_RUN_TIMES, payload: bool = True
) -> pb.Schedule:
    """A schedule as it stands, with so many next times, and with its job's payload if wanted."""
    spec, readable = _spec_of(found.definition)
    if payload:
        spec.job.payload.data = found.payload
    return pb.Schedule(
        schedule_id=found.schedule_id,
        spec=spec,
        paused=found.paused,
        version=found.version,
        create_time=time_of(found.created_ms),
        update_time=time_of(found.updated_ms),
        next_run_times=_times(found.run_times(run_times)),
        last_job_id=found.last_job_id,
        last_run_time=time_of(found.last_run_ms),
        counts=pb.ScheduleCounts(
            fired=found.fired,
            triggered=found.triggered,
            skipped=found.skipped,
            missed=found.missed,
        ),
        unreadable=not (found.readable and readable),
    )


def _spec_of(definition: bytes) -> tuple[pb.ScheduleSpec, bool]:
    """The definition as it was given, and whether it can be read at all."""
    try:
        return pb.ScheduleSpec.FromString(definition), True
    except DecodeError:
        return pb.ScheduleSpec(), False


def preview(request: pb.PreviewScheduleRequest, now_ms: int) -> pb.PreviewScheduleResponse:
    """The next times of a timing from now on (ms)."""
    tried = timing(request.timing, now_ms)
    occurrences = islice(tried.all_after(now_ms), request.run_times or DEFAULT_RUN_TIMES)
    return pb.PreviewScheduleResponse(
        run_times=_times([each + tried.delay_ms(request.schedule_id, each) for each in occurrences])
    )


def _times(times_ms: list[int]) -> list[Timestamp]:
    return [cast("Timestamp", time_of(each)) for each in times_ms]
