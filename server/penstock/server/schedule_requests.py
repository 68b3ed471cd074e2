"""The rules of ScheduleService's requests, as the contract states them.

What refuses raises InvalidArgument with every violation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.broker import InvalidArgument, TimingError
from penstock.server import schedule_convert
from penstock.server.validation import (
    DAY_MS,
    MAX_QUEUE,
    MAX_TYPE,
    YEAR_MS,
    Found,
    check_duration,
    check_job,
    check_name,
    check_request_id,
    check_text,
    check_time,
    duration_ms,
    timestamp_ms,
)
from penstock.v1 import schedule_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.v1 import job_pb2

__all__ = [
    "refuse_bad_get",
    "refuse_bad_id",
    "refuse_bad_list",
    "refuse_bad_preview",
    "refuse_bad_schedule",
    "refuse_bad_trigger",
    "refuse_bad_update",
]

MAX_EXPRESSION: Final = 256
MAX_NOTE_BYTES: Final = 1_024
MAX_RUN_TIMES: Final = 100
MAX_CATCH_UP: Final = 1_000
MAX_PAGE: Final = 1_000
LEAST_INTERVAL_MS: Final = 1_000
#: How many occurrences of a cron expression its jitter is measured by.
MEASURED: Final = 50
#: What an occurrence gives a job, or what would keep the second job from being one.
NOT_FOR_TEMPLATES: Final = {
    "delay": "an occurrence fires at its time; use jitter to spread them",
    "run_at": "an occurrence fires at its time",
    "deadline": "it would pass for all later occurrences; give expires_in",
    "cache": "each occurrence is a run of its own",
}


def refuse_bad_schedule(
    schedule_id: str, spec: pb.ScheduleSpec, *, max_payload: int, now_ms: int
) -> None:
    """CreateSchedule, but for the schemas of its job's type.

    Args:
        schedule_id: of the schedule.
        spec: what was sent.
        max_payload: in bytes.
        now_ms: the time, in ms since the epoch.
    """
    found: Found = []
    _check_id(found, schedule_id)
    _check_spec(found, spec, max_payload, now_ms)
    _refuse(found)


def refuse_bad_update(request: pb.UpdateScheduleRequest, *, max_payload: int, now_ms: int) -> None:
    """UpdateSchedule; arguments as of `refuse_bad_schedule`."""
    found: Found = []
    _check_id(found, request.schedule_id)
    _check_spec(found, request.spec, max_payload, now_ms)
    if request.version < 0:
        found.append(("version", "it must not be negative"))
    _refuse(found)


def refuse_bad_id(schedule_id: str) -> None:
    """A request that names a schedule."""
    found: Found = []
    _check_id(found, schedule_id)
    _refuse(found)


def refuse_bad_get(request: pb.GetScheduleRequest) -> None:
    """GetSchedule."""
    found: Found = []
    _check_id(found, request.schedule_id)
    _check_run_times(found, request.run_times)
    _refuse(found)


def refuse_bad_list(request: pb.ListSchedulesRequest) -> None:
    """ListSchedules, but for its token."""
    found: Found = []
    if request.queue:
        check_name(found, "queue", request.queue, MAX_QUEUE)
    if not 0 <= request.page_size <= MAX_PAGE:
        found.append(("page_size", f"it must be 1 to {MAX_PAGE}, or 0 for the default"))
    _refuse(found)


def refuse_bad_trigger(request: pb.TriggerScheduleRequest) -> None:
    """TriggerSchedule."""
    found: Found = []
    _check_id(found, request.schedule_id)
    if request.request_id:
        check_request_id(found, "request_id", request.request_id)
    _refuse(found)


def refuse_bad_preview(request: pb.PreviewScheduleRequest, now_ms: int) -> None:
    """PreviewSchedule, at that time (ms)."""
    found: Found = []
    if request.schedule_id:
        _check_id(found, request.schedule_id)
    _check_timing(found, "timing", request.timing, now_ms)
    _check_run_times(found, request.run_times)
    _refuse(found)


def _check_id(found: Found, schedule_id: str) -> None:
    check_name(found, "schedule_id", schedule_id, MAX_TYPE)


def _check_run_times(found: Found, run_times: int) -> None:
    if not 0 <= run_times <= MAX_RUN_TIMES:
        found.append(("run_times", f"it must be 1 to {MAX_RUN_TIMES}, or 0 for the default"))


def _check_spec(found: Found, spec: pb.ScheduleSpec, max_payload: int, now_ms: int) -> None:
    _check_timing(found, "spec.timing", spec.timing, now_ms)
    found += check_job(spec.job, "spec.job", max_payload=max_payload, now_ms=now_ms)
    _check_template(found, spec.job)
    if spec.overlap not in pb.OverlapPolicy.values():
        found.append(("spec.overlap", f"there is no policy {spec.overlap}"))
    _check_catch_up(found, spec.catch_up)
    check_text(found, "spec.note", spec.note, MAX_NOTE_BYTES)


def _check_template(found: Found, job: job_pb2.JobSpec) -> None:
    if job.request_id:
        found.append(("spec.job.request_id", "the ids of jobs are derived from their occurrences"))
    options = job.options
    for name, why in NOT_FOR_TEMPLATES.items():
        if options.HasField(name):
            found.append((f"spec.job.options.{name}", why))
    if options.idempotency_key:
        text = "all occurrences would join the job of the first"
        found.append(("spec.job.options.idempotency_key", text))


def _check_catch_up(found: Found, catch_up: pb.CatchUp) -> None:
    if catch_up.policy not in pb.CatchUp.Policy.values():
        found.append(("spec.catch_up.policy", f"there is no policy {catch_up.policy}"))
    if not 0 <= catch_up.limit <= MAX_CATCH_UP:
        text = f"it must be 1 to {MAX_CATCH_UP}, or 0 for as many"
        found.append(("spec.catch_up.limit", text))
    if catch_up.HasField("tolerance"):
        path = "spec.catch_up.tolerance"
        check_duration(found, path, catch_up.tolerance, 1_000, YEAR_MS)


def _check_timing(found: Found, path: str, timing: pb.Timing, now_ms: int) -> None:
    before = len(found)
    match timing.WhichOneof("recurrence"):
        case "cron":
            _check_cron(found, f"{path}.cron", timing.cron)
        case "interval":
            where = f"{path}.interval"
            check_duration(found, where, timing.interval, LEAST_INTERVAL_MS, YEAR_MS)
        case _:
            found.append((path, "it needs a cron expression or an interval"))
    if timing.HasField("start_time"):
        check_time(found, f"{path}.start_time", timing.start_time)
    if timing.HasField("end_time"):
        check_time(found, f"{path}.end_time", timing.end_time)
    if timing.HasField("jitter"):
        check_duration(found, f"{path}.jitter", timing.jitter, 0, DAY_MS)
    if len(found) == before:
        _check_whole(found, path, timing, now_ms)


def _check_cron(found: Found, path: str, cron: pb.Cron) -> None:
    if len(cron.expression) > MAX_EXPRESSION:
        text = f"it is longer than {MAX_EXPRESSION} characters"
        found.append((f"{path}.expression", text))
        return
    try:
        schedule_convert.cron_timing(cron).check()
    except TimingError as error:
        found.append((f"{path}.{error.part}", str(error)))


def _check_whole(found: Found, path: str, timing: pb.Timing, now_ms: int) -> None:
    """What can be said of a timing only if each of its fields is sound."""
    if timing.HasField("interval") and duration_ms(timing.jitter) > duration_ms(timing.interval):
        found.append((f"{path}.jitter", "it must be at most the interval"))
    ends_ms = timestamp_ms(timing.end_time) if timing.HasField("end_time") else None
    if ends_ms is not None and ends_ms < timestamp_ms(timing.start_time):
        found.append((f"{path}.end_time", "it is before the start"))
    elif schedule_convert.timing(timing, now_ms).after(now_ms) is None:
        text = "it never fires" if ends_ms is None else "it does not fire between now and its end"
        found.append((path, text))
    elif timing.HasField("cron") and timing.HasField("jitter"):
        _check_jitter_of_cron(found, path, timing, now_ms)


def _check_jitter_of_cron(found: Found, path: str, timing: pb.Timing, now_ms: int) -> None:
    """An occurrence held back beyond the next would fire out of order, and hold that back, too."""
    bound_ms = schedule_convert.timing(timing, now_ms).least_distance_ms(now_ms, MEASURED)
    if bound_ms is not None and duration_ms(timing.jitter) > bound_ms:
        text = (
            f"it must be at most {bound_ms // 1000} s, the shortest distance between "
            f"the next {MEASURED} occurrences"
        )
        found.append((f"{path}.jitter", text))


def _refuse(found: Found) -> None:
    if found:
        raise InvalidArgument(found)
