"""Between the contract and the broker: the module that turns the types of one into the other's.

Requests come in here validated (see `validation`); nothing in this module refuses anything.
Longer than other files: it has a line for nearly every field of the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.broker import (
    DEFAULTS,
    Backoff,
    CachePolicy,
    CacheTarget,
    Chunk,
    Content,
    Durability,
    FailureReason,
    Gap,
    HoldReason,
    JobState,
    LogLine,
    NewJob,
    Priority,
    Progress,
    StateChange,
    SubmitOutcome,
    caller_key,
    payload_key,
)
from penstock.server.payloads import is_json
from penstock.server.validation import duration_ms, timestamp_ms
from penstock.v1 import cache_service_pb2, job_pb2, job_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.broker import Event, Job, Message, Submitted
    from penstock.server.errors import Fault

EndReason = Literal["MAX_AGE", "SHUTDOWN", "SLOW_READER"]

DEFAULT_QUEUE: Final = "default"
_NULL: Final = Content(b"null")

_PRIORITY: Final = {
    job_pb2.PRIORITY_HIGH: Priority.HIGH,
    job_pb2.PRIORITY_DEFAULT: Priority.DEFAULT,
    job_pb2.PRIORITY_LOW: Priority.LOW,
}
_PRIORITY_OUT: Final = cast(
    "dict[Priority, job_pb2.Priority]",
    {p: job_pb2.Priority.Value(f"PRIORITY_{p.name}") for p in Priority},
)
_STATE_OUT: Final = cast(
    "dict[JobState, job_pb2.JobState]",
    {s: job_pb2.JobState.Value(f"JOB_STATE_{s.name}") for s in JobState},
)
_STATE: Final = {number: state for state, number in _STATE_OUT.items()}
_REASON_OUT: Final = cast(
    "dict[FailureReason, job_pb2.FailureReason]",
    {r: job_pb2.FailureReason.Value(f"FAILURE_REASON_{r.name}") for r in FailureReason},
)
_HOLD_OUT: Final = cast(
    "dict[HoldReason, job_pb2.HoldReason]",
    {r: job_pb2.HoldReason.Value(f"HOLD_REASON_{r.name}") for r in HoldReason},
)
_OUTCOME_OUT: Final = cast(
    "dict[SubmitOutcome, job_service_pb2.SubmitOutcome]",
    {o: job_service_pb2.SubmitOutcome.Value(f"SUBMIT_OUTCOME_{o.name}") for o in SubmitOutcome},
)
_DURABILITY_OUT: Final = cast(
    "dict[Durability, job_pb2.Durability]",
    {d: job_pb2.Durability.Value(f"DURABILITY_{d.name}") for d in Durability},
)
_END_OUT: Final = cast(
    "dict[EndReason, job_service_pb2.EndOfStream.Reason]",
    {
        reason: job_service_pb2.EndOfStream.Reason.Value(f"REASON_{reason}")
        for reason in get_args(EndReason)
    },
)


# From the contract.


def new_job(spec: job_pb2.JobSpec, request_id: str) -> NewJob:
    """The submit that a validated spec asks for.

    A cache policy without a key still needs that of its payload: see `work_of`.
    """
    queue = spec.queue or DEFAULT_QUEUE
    if not spec.HasField("options"):
        return NewJob(spec.type, queue, request_id, content_of(spec.payload))
    options = spec.options
    fields: dict[str, Any] = {}
    if options.HasField("delay"):
        fields["delay_ms"] = duration_ms(options.delay)
    elif options.HasField("run_at"):
        fields["run_at_ms"] = timestamp_ms(options.run_at)
    if options.HasField("expires_in"):
        fields["expires_in_ms"] = duration_ms(options.expires_in)
    elif options.HasField("deadline"):
        fields["deadline_ms"] = timestamp_ms(options.deadline)
    if options.HasField("backoff"):
        fields["backoff"] = backoff_of(options.backoff)
    if options.HasField("timeout"):
        fields["timeout_ms"] = duration_ms(options.timeout)
    if options.HasField("retention"):
        fields["retention_ms"] = duration_ms(options.retention)
    if options.HasField("cache"):
        fields["cache"] = _cache(options)
    return NewJob(
        spec.type,
        queue,
        request_id,
        content_of(spec.payload),
        priority_of(options.priority),
        max_attempts=options.max_attempts or None,
        idempotency_key=options.idempotency_key,
        metadata=dict(options.metadata),
        **fields,
    )


def work_of(payload: Content) -> str:
    """The key in the cache of work that has no other name than its payload."""
    return payload_key(payload, is_json=is_json(payload.content_type))


def cache_targets(request: cache_service_pb2.InvalidateCacheRequest) -> list[CacheTarget]:
    """What a validated request invalidates."""
    return [_cache_target(target) for target in request.targets]


def _cache_target(target: cache_service_pb2.CacheTarget) -> CacheTarget:
    match target.WhichOneof("target"):
        case "tag":
            return CacheTarget(tag=target.tag)
        case "type":
            return CacheTarget(target.type)
    entry = target.entry
    if entry.WhichOneof("work") == "key":
        return CacheTarget(entry.type, caller_key(entry.key))
    return CacheTarget(entry.type, work_of(content_of(entry.payload)))


def priority_of(number: job_pb2.Priority) -> Priority | None:
    """A priority; None where it is not chosen."""
    return _PRIORITY.get(number)


def backoff_of(message: job_pb2.Backoff) -> Backoff:
    """A backoff, with the defaults of what it does not choose."""
    default = DEFAULTS.backoff
    return Backoff(
        duration_ms(message.initial) if message.HasField("initial") else default.initial_ms,
        duration_ms(message.max) if message.HasField("max") else default.max_ms,
        message.multiplier or default.multiplier,
        message.jitter if message.HasField("jitter") else default.jitter,
    )


def states(numbers: Iterable[job_pb2.JobState]) -> list[JobState]:
    """The states that a validated ListJobsRequest names."""
    return [_STATE[number] for number in numbers]


def content_of(content: job_pb2.Content) -> Content:
    """A payload."""
    data, kind = content.data, content.content_type
    if kind == "application/json":
        kind = ""  # The default is not stored.
    if not data and is_json(kind):
        return _NULL  # No payload is JSON's null, so that handlers always get JSON.
    return Content(data, kind)


def _cache(options: job_pb2.JobOptions) -> CachePolicy:
    policy = options.cache
    default = CachePolicy(0, "").hit_retention_ms
    return CachePolicy(
        duration_ms(policy.ttl),
        caller_key(policy.key) if policy.key else "",
        tuple(dict.fromkeys(policy.tags)),
        reads=not policy.skip_cache,
        writes=not policy.do_not_cache,
        hit_retention_ms=duration_ms(options.retention)
        if options.HasField("retention")
        else default,
    )


# To the contract.


def submitted(receipt: Submitted, durability: Durability) -> job_service_pb2.SubmittedJob:
    """A receipt."""
    return job_service_pb2.SubmittedJob(
        job_id=receipt.job_id,
        state=_STATE_OUT[receipt.state] if receipt.state else job_pb2.JOB_STATE_UNSPECIFIED,
        outcome=_OUTCOME_OUT[receipt.outcome],
        durability=_DURABILITY_OUT[durability],
        result=_content_out(receipt.result),
    )


def durability_out(durability: Durability) -> job_pb2.Durability:
    """What an acknowledgement survives."""
    return _DURABILITY_OUT[durability]


def invalidated(durability: Durability) -> cache_service_pb2.InvalidateCacheResponse:
    """The acknowledgement of an invalidation."""
    return cache_service_pb2.InvalidateCacheResponse(durability=_DURABILITY_OUT[durability])


def submit_error(fault: Fault) -> job_service_pb2.SubmitError:
    """What one item of a batch is answered with instead of a receipt."""
    return job_service_pb2.SubmitError(
        code=fault.number, message=fault.message, details=fault.packed()
    )


def job(found: Job) -> job_pb2.Job:
    """A job as it stands."""
    return job_pb2.Job(
        job_id=found.job_id,
        type=found.type,
        queue=found.queue,
        state=_STATE_OUT[found.state],
        priority=_PRIORITY_OUT[found.priority],
        attempt=found.attempt,
        max_attempts=found.max_attempts,
        crashes=found.crashes,
        fencing_token=found.fencing_token,
        hold_reason=_HOLD_OUT[found.hold_reason]
        if found.hold_reason
        else job_pb2.HOLD_REASON_UNSPECIFIED,
        cancel_requested=found.cancel_requested,
        cancel_reason=found.cancel_reason,
        progress=_progress(found.progress) if found.progress else None,
        failure=_failure(found),
        result=_content_out(found.result),
        payload=_content_out(found.payload),
        metadata=found.metadata,
        create_time=time_of(found.created_ms),
        queue_time=time_of(found.queued_ms),
        start_time=time_of(found.started_ms),
        finish_time=time_of(found.finished_ms),
        run_at=time_of(found.run_at_ms),
        deadline=time_of(found.deadline_ms),
        timeout=span_of(found.timeout_ms),
        retention=span_of(found.kept_ms),
        worker_id=found.worker_id,
        retried_from=found.retried_from,
        last_sequence=found.last_sequence,
        schedule_id=found.schedule_id,
        occurrence_time=time_of(found.occurrence_ms),
        message=_envelope(found.message) if found.message else None,
        cached_from=found.cached_from,
    )


def snapshot(found: Job, cursor: int) -> job_service_pb2.StreamProgressResponse:
    """The first message of a stream. Its range is empty: whoever saw it goes on from cursor."""
    return job_service_pb2.StreamProgressResponse(
        first_sequence=cursor + 1, last_sequence=cursor, snapshot=job(found)
    )


def end(reason: EndReason, cursor: int) -> job_service_pb2.StreamProgressResponse:
    """The last message of a stream that ends before its job does. Its range is empty, too."""
    return job_service_pb2.StreamProgressResponse(
        first_sequence=cursor + 1,
        last_sequence=cursor,
        end=job_service_pb2.EndOfStream(reason=_END_OUT[reason], cursor=cursor),
    )


def event(told: Event, final: Job | None) -> job_service_pb2.StreamProgressResponse:
    """One message of a stream. final is the job after its terminal event, None for any other."""
    message = job_service_pb2.StreamProgressResponse(
        first_sequence=told.first_sequence, last_sequence=told.last_sequence
    )
    if told.time_ms:
        message.time.CopyFrom(_moment(told.time_ms))
    match told.body:
        case Progress() as body:
            message.progress.CopyFrom(_progress(body))
        case Chunk(data, attempt):
            message.chunk.data = data
            message.chunk.attempt = attempt
        case LogLine(level, text, attempt):
            message.log.level = level
            message.log.message = text
            message.log.attempt = attempt
        case Gap(lost):
            message.gap.lost = lost
        case StateChange(state, attempt, reason, run_at_ms):
            message.state_change.state = _STATE_OUT[state]
            message.state_change.attempt = attempt
            message.state_change.reason = reason
            if run_at_ms is not None:
                message.state_change.run_at.CopyFrom(_moment(run_at_ms))
            if final is not None:
                message.state_change.job.CopyFrom(job(final))
    return message


def reason_out(reason: FailureReason) -> job_pb2.FailureReason:
    """Why a job failed."""
    return _REASON_OUT[reason]


def priority_out(priority: Priority | None) -> job_pb2.Priority:
    """A priority that there may be."""
    return _PRIORITY_OUT[priority] if priority else job_pb2.PRIORITY_UNSPECIFIED


def backoff_out(backoff: Backoff) -> job_pb2.Backoff:
    """The pauses between attempts."""
    return job_pb2.Backoff(
        initial=span_of(backoff.initial_ms),
        max=span_of(backoff.max_ms),
        multiplier=backoff.multiplier,
        jitter=backoff.jitter,
    )


def _envelope(message: Message) -> job_pb2.MessageEnvelope:
    return job_pb2.MessageEnvelope(
        message_id=message.message_id,
        topic=message.topic,
        time=_moment(message.time_ms),
        source=message.source,
    )


def _progress(progress: Progress) -> job_pb2.Progress:
    return job_pb2.Progress(
        current=progress.current, total=progress.total, message=progress.message
    )


def _failure(found: Job) -> job_pb2.Failure | None:
    failure = found.failure
    if failure is None:
        return None
    return job_pb2.Failure(
        reason=reason_out(failure.reason) if failure.reason else job_pb2.FAILURE_REASON_UNSPECIFIED,
        type=failure.type,
        message=failure.message,
    )


def _content_out(content: Content | None) -> job_pb2.Content | None:
    if content is None:
        return None
    return job_pb2.Content(data=content.data, content_type=content.content_type)


def _moment(time_ms: int) -> Timestamp:
    seconds, rest_ms = divmod(time_ms, 1000)
    return Timestamp(seconds=seconds, nanos=rest_ms * 1_000_000)


def time_of(time_ms: int | None) -> Timestamp | None:
    """A time that there may be."""
    return None if time_ms is None else _moment(time_ms)


def span_of(span_ms: int | None) -> Duration | None:
    """A span that there may be."""
    if span_ms is None:
        return None
    seconds, rest_ms = divmod(span_ms, 1000)
    return Duration(seconds=seconds, nanos=rest_ms * 1_000_000)
