"""The rules of all requests but JobSpec (see `validation`).

What refuses raises InvalidArgument with every violation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.broker import InvalidArgument
from penstock.broker.ids import split
from penstock.server.payloads import is_json, judge
from penstock.server.validation import (
    MAX_QUEUE,
    MAX_TYPE,
    YEAR_MS,
    Found,
    check_cache_key,
    check_duration,
    check_name,
    check_policy,
    check_request_id,
    check_tag,
    check_text,
    duration_ms,
)
from penstock.v1 import job_pb2

if TYPE_CHECKING:
    from penstock.broker import PenstockError
    from penstock.v1 import cache_service_pb2, job_service_pb2, queue_service_pb2

__all__ = [
    "age_to_clean",
    "placed",
    "refuse_bad_batch",
    "refuse_bad_cancel",
    "refuse_bad_id",
    "refuse_bad_invalidation",
    "refuse_bad_kind",
    "refuse_bad_list",
    "refuse_bad_policy",
    "refuse_bad_queue",
    "refuse_bad_redrive",
    "refuse_bad_retry",
    "refuse_bad_stream",
    "wait_of",
]

MAX_BATCH: Final = 1_000
MAX_TARGETS: Final = 1_000
MAX_PAGE: Final = 1_000
MAX_REASON_BYTES: Final = 1_024
MAX_WAIT_MS: Final = 300_000
DEFAULT_WAIT_MS: Final = 30_000
_ENDED: Final = frozenset(
    {
        job_pb2.JOB_STATE_SUCCEEDED,
        job_pb2.JOB_STATE_FAILED,
        job_pb2.JOB_STATE_CANCELLED,
        job_pb2.JOB_STATE_EXPIRED,
    }
)


def refuse_bad_id(job_id: str) -> None:
    """A job id has one form; one that has it may still name no job."""
    _refuse(_check_id(job_id))


def refuse_bad_batch(request: job_service_pb2.SubmitJobsRequest) -> None:
    """SubmitJobs, as a whole."""
    count = len(request.jobs)
    if not 1 <= count <= MAX_BATCH:
        _refuse([("jobs", f"it has {count} jobs; 1 to {MAX_BATCH} are taken")])


def placed(error: PenstockError, path: str) -> PenstockError:
    """An error about a job, with the job's path within the batch; the broker knows one job only."""
    if not isinstance(error, InvalidArgument):
        return error
    return InvalidArgument(
        [
            (f"{path}{field.removeprefix('job')}" if field.startswith("job.") else field, text)
            for field, text in error.violations
        ]
    )


def wait_of(request: job_service_pb2.WaitJobRequest) -> float:
    """How long a WaitJob is to wait (s)."""
    found = _check_id(request.job_id)
    if not request.HasField("timeout"):
        wait_ms = DEFAULT_WAIT_MS
    else:
        check_duration(found, "timeout", request.timeout, 0, MAX_WAIT_MS)
        wait_ms = duration_ms(request.timeout)
    _refuse(found)
    return wait_ms / 1000


def refuse_bad_list(request: job_service_pb2.ListJobsRequest) -> None:
    """ListJobs, but for its token (see `tokens`)."""
    found: Found = []
    _check_queue(found, request.queue)
    for index, state in enumerate(request.states):
        if state == job_pb2.JOB_STATE_UNSPECIFIED or state not in job_pb2.JobState.values():
            found.append((f"states[{index}]", f"there is no state {state}"))
    if request.type:
        check_name(found, "type", request.type, MAX_TYPE)
    if not 0 <= request.page_size <= MAX_PAGE:
        found.append(("page_size", f"it must be 1 to {MAX_PAGE}, or 0 for the default"))
    _refuse(found)


def refuse_bad_stream(request: job_service_pb2.StreamProgressRequest) -> None:
    """StreamProgress."""
    found = _check_id(request.job_id)
    if request.after_sequence < 0:
        found.append(("after_sequence", "it must not be negative"))
    _refuse(found)


def refuse_bad_cancel(request: job_service_pb2.CancelJobRequest) -> None:
    """CancelJob."""
    found = _check_id(request.job_id)
    check_text(found, "reason", request.reason, MAX_REASON_BYTES)
    _refuse(found)


def refuse_bad_retry(request: job_service_pb2.RetryJobRequest) -> None:
    """RetryJob."""
    found = _check_id(request.job_id)
    if request.request_id:
        check_request_id(found, "request_id", request.request_id)
    _refuse(found)


def refuse_bad_queue(queue: str, *, required: bool = False) -> None:
    """A request that names a queue; an empty name is the default queue, unless it is required."""
    found: Found = []
    _check_queue(found, queue, required=required)
    _refuse(found)


def refuse_bad_redrive(queue: str, job_type: str) -> None:
    """RedriveDeadLetters, but for its token."""
    refuse_bad_kind(queue, job_type, required=True)


def age_to_clean(request: queue_service_pb2.CleanQueueRequest) -> int:
    """How long ago the jobs ended at least that a CleanQueue is to remove (ms); not its token."""
    found = _check_kind(request.queue, request.type, required=True)
    if not request.states:
        found.append(("states", "at least one state must be given"))
    for index, state in enumerate(request.states):
        if state not in _ENDED:
            text = "only jobs that have ended are cleaned; see PurgeQueue for those that wait"
            found.append((f"states[{index}]", text))
    if request.HasField("older_than"):
        check_duration(found, "older_than", request.older_than, 0, YEAR_MS)
    _refuse(found)
    return duration_ms(request.older_than)


def refuse_bad_kind(queue: str, job_type: str, *, required: bool = False) -> None:
    """A queue, and a type where one is given."""
    _refuse(_check_kind(queue, job_type, required=required))


def refuse_bad_policy(request: queue_service_pb2.SetQueuePolicyRequest) -> None:
    """SetQueuePolicy."""
    found = _check_kind(request.queue, request.type, required=True)
    check_policy(found, "policy", request.policy, of_type=bool(request.type))
    _refuse(found)


def refuse_bad_invalidation(request: cache_service_pb2.InvalidateCacheRequest) -> None:
    """InvalidateCache."""
    count = len(request.targets)
    if not 1 <= count <= MAX_TARGETS:
        _refuse([("targets", f"it has {count} targets; 1 to {MAX_TARGETS} are taken")])
    found: Found = []
    for index, target in enumerate(request.targets):
        _check_target(found, f"targets[{index}]", target)
    _refuse(found)


def _check_target(found: Found, path: str, target: cache_service_pb2.CacheTarget) -> None:
    match target.WhichOneof("target"):
        case "type":
            check_name(found, f"{path}.type", target.type, MAX_TYPE)
        case "tag":
            check_tag(found, f"{path}.tag", target.tag)
        case "entry":
            check_name(found, f"{path}.entry.type", target.entry.type, MAX_TYPE)
            _check_work(found, f"{path}.entry", target.entry)
        case _:
            found.append((path, "it names nothing: give it a type, a tag or an entry"))


def _check_work(found: Found, path: str, entry: cache_service_pb2.CacheEntry) -> None:
    match entry.WhichOneof("work"):
        case "key":
            check_cache_key(found, f"{path}.key", entry.key)
        case "payload":
            payload = entry.payload
            if payload.data and is_json(payload.content_type):
                found += judge(f"{path}.payload.data", payload.data, ())
        case _:
            found.append((path, "it names no work: give it a key or a payload"))


def _check_id(job_id: str) -> Found:
    return [] if split(job_id) else [("job_id", "it is not a job id")]


def _check_kind(queue: str, job_type: str, *, required: bool) -> Found:
    found: Found = []
    _check_queue(found, queue, required=required)
    if job_type:
        check_name(found, "type", job_type, MAX_TYPE)
    return found


def _check_queue(found: Found, queue: str, *, required: bool = False) -> None:
    if queue or required:
        check_name(found, "queue", queue, MAX_QUEUE)


def _refuse(found: Found) -> None:
    if found:
        raise InvalidArgument(found)
