"""Between the contract and the broker: a job as it stands. As `convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from penstock.broker import HoldReason
from penstock.server.convert import (
    STATE_OUT,
    content_out,
    moment,
    priority_out,
    reason_out,
    span_of,
    time_of,
)
from penstock.v1 import job_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.broker import Job, JobState, Message, Progress

_STATE: Final = {number: state for state, number in STATE_OUT.items()}
_HOLD_OUT: Final = cast(
    "dict[HoldReason, job_pb2.HoldReason]",
    {r: job_pb2.HoldReason.Value(f"HOLD_REASON_{r.name}") for r in HoldReason},
)


def states(numbers: Iterable[job_pb2.JobState]) -> list[JobState]:
    """The states that a validated ListJobsRequest names."""
    return [_STATE[number] for number in numbers]


def job(found: Job) -> job_pb2.Job:
    """A job as it stands."""
    return job_pb2.Job(
        job_id=found.job_id,
        type=found.type,
        queue=found.queue,
        state=STATE_OUT[found.state],
        priority=priority_out(found.priority),
        attempt=found.attempt,
        max_attempts=found.max_attempts,
        crashes=found.crashes,
        fencing_token=found.fencing_token,
        hold_reason=_HOLD_OUT[found.hold_reason]
        if found.hold_reason
        else job_pb2.HOLD_REASON_UNSPECIFIED,
        cancel_requested=found.cancel_requested,
        cancel_reason=found.cancel_reason,
        progress=progress(found.progress) if found.progress else None,
        failure=_failure(found),
        result=content_out(found.result),
        payload=content_out(found.payload),
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


def progress(told: Progress) -> job_pb2.Progress:
    """How far a job is."""
    return job_pb2.Progress(current=told.current, total=told.total, message=told.message)


def _failure(found: Job) -> job_pb2.Failure | None:
    failure = found.failure
    if failure is None:
        return None
    return job_pb2.Failure(
        reason=reason_out(failure.reason) if failure.reason else job_pb2.FAILURE_REASON_UNSPECIFIED,
        type=failure.type,
        message=failure.message,
    )


def _envelope(message: Message) -> job_pb2.MessageEnvelope:
    return job_pb2.MessageEnvelope(
        message_id=message.message_id,
        topic=message.topic,
        time=moment(message.time_ms),
        source=message.source,
    )
