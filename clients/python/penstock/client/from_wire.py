"""From the generated types to the client's own; with `to_wire`, all that sees both.

Everything here raises Internal where the gateway tells what this client is too old to know.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from penstock.client.content import Content
from penstock.client.events import (
    ChunkEvent,
    Event,
    GapEvent,
    LogEvent,
    ProgressEvent,
    SnapshotEvent,
    StateEvent,
)
from penstock.client.job import (
    Durability,
    Failure,
    FailureReason,
    HoldReason,
    Job,
    JobState,
    MessageInfo,
    Priority,
    Progress,
    SubmitOutcome,
    Submitted,
)
from penstock.client.new_job import Backoff
from penstock.client.queue import ConcurrencyLimit, Page, Queue, QueueStats, WorkerInfo
from penstock.client.wire_names import given_name_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from penstock.v1 import job_pb2, job_service_pb2, queue_service_pb2


def submitted_of(message: job_service_pb2.SubmittedJob, request_id: str) -> Submitted:
    """The receipt of a submit that was made under that request id."""
    return Submitted(
        job_id=message.job_id,
        state=name_of(JobState, message.state),
        outcome=given_name_of(SubmitOutcome, message.outcome),
        durability=name_of(Durability, message.durability),
        request_id=request_id,
        result_content=_content_of(message.result) if message.HasField("result") else None,
    )


def job_of(message: job_pb2.Job) -> Job:
    """A job as the gateway told it."""
    has = message.HasField
    return Job(
        job_id=message.job_id,
        type=message.type,
        queue=message.queue,
        state=given_name_of(JobState, message.state),
        priority=name_of(Priority, message.priority) or Priority.DEFAULT,
        attempt=message.attempt,
        max_attempts=message.max_attempts,
        crashes=message.crashes,
        fencing_token=message.fencing_token,
        last_sequence=message.last_sequence,
        cancel_requested=message.cancel_requested,
        cancel_reason=message.cancel_reason,
        progress=_progress_of(message.progress) if has("progress") else None,
        failure=_failure_of(message.failure) if has("failure") else None,
        result_content=_content_of(message.result) if has("result") else None,
        payload_content=_content_of(message.payload) if has("payload") else None,
        metadata=dict(message.metadata),
        create_time=time_of(message.create_time) if has("create_time") else None,
        queue_time=time_of(message.queue_time) if has("queue_time") else None,
        start_time=time_of(message.start_time) if has("start_time") else None,
        finish_time=time_of(message.finish_time) if has("finish_time") else None,
        run_at=time_of(message.run_at) if has("run_at") else None,
        deadline=time_of(message.deadline) if has("deadline") else None,
        timeout=message.timeout.ToTimedelta() if has("timeout") else None,
        retention=message.retention.ToTimedelta() if has("retention") else None,
        worker_id=message.worker_id,
        retried_from=message.retried_from,
        message=_message_of(message.message) if has("message") else None,
        schedule_id=message.schedule_id,
        occurrence_time=time_of(message.occurrence_time) if has("occurrence_time") else None,
        cached_from=message.cached_from,
        hold_reason=name_of(HoldReason, message.hold_reason),
    )


def page_of(message: job_service_pb2.ListJobsResponse) -> Page:
    """One page of a list."""
    return Page(tuple(map(job_of, message.jobs)), message.next_page_token)


def snapshot_of(message: job_service_pb2.StreamProgressResponse, cursor: int) -> SnapshotEvent:
    """The first message of a stream. Its range is empty: ranges tile with it as without it."""
    job = job_of(message.snapshot)
    return SnapshotEvent(job.job_id, cursor + 1, cursor, None, job)


def event_of(job_id: str, first: int, message: job_service_pb2.StreamProgressResponse) -> Event:
    """What a message tells that is neither snapshot nor end, as of the first sequence given."""
    time = time_of(message.time) if message.HasField("time") else None
    last = message.last_sequence
    match message.WhichOneof("event"):
        case "state_change":
            change = message.state_change
            job = job_of(change.job) if change.HasField("job") else None
            state = given_name_of(JobState, change.state)
            due = time_of(change.run_at) if change.HasField("run_at") else None
            return StateEvent(
                job_id, first, last, time, state, change.attempt, change.reason, job, due
            )
        case "progress":
            return ProgressEvent(job_id, first, last, time, _progress_of(message.progress))
        case "chunk":
            chunk = message.chunk
            return ChunkEvent(job_id, first, last, time, chunk.data, chunk.attempt)
        case "log":
            log = message.log
            return LogEvent(job_id, first, last, time, log.level, log.message, log.attempt)
        case "gap":
            return GapEvent(job_id, first, last, time, last - first + 1)
        case _:
            return Event(job_id, first, last, time)


def queue_of(message: queue_service_pb2.Queue) -> Queue:
    """A queue."""
    return Queue(
        name=message.name,
        partitions=message.partitions,
        paused=message.paused,
        create_time=time_of(message.create_time) if message.HasField("create_time") else None,
    )


def queue_stats_of(message: queue_service_pb2.GetQueueStatsResponse) -> QueueStats:
    """The counts of a queue."""
    stats = message.stats
    age = stats.oldest_waiting_age.ToTimedelta() if stats.HasField("oldest_waiting_age") else None
    return QueueStats(
        queue=queue_of(message.queue),
        waiting={
            Priority.HIGH: stats.waiting.high,
            Priority.DEFAULT: stats.waiting.default,
            Priority.LOW: stats.waiting.low,
        },
        scheduled=stats.scheduled,
        running=stats.running,
        succeeded=stats.succeeded,
        failed=stats.failed,
        cancelled=stats.cancelled,
        expired=stats.expired,
        failed_by_reason=_counts_of(stats.failed_by_reason),
        oldest_waiting_age=age,
        throughput=stats.throughput,
        submitted=stats.submitted,
        retries=stats.retries,
        lost_leases=stats.lost_leases,
        stale_writes=stats.stale_writes,
        released=stats.released,
        misrouted=stats.misrouted,
        cache_hits=stats.cache_hits,
        cache_misses=stats.cache_misses,
        cache_joined=stats.cache_joined,
        held=stats.held,
        limits=tuple(map(_limit_of, message.limits)),
        durability=name_of(Durability, message.durability),
        durability_reached=name_of(Durability, message.durability_reached),
        max_waiting=message.max_waiting or None,
    )


def _limit_of(message: queue_service_pb2.ConcurrencyLimit) -> ConcurrencyLimit:
    limit = message.concurrency or None
    return ConcurrencyLimit(message.type, limit, message.running, message.held)


def worker_of(message: queue_service_pb2.WorkerInfo) -> WorkerInfo:
    """A worker process."""
    has = message.HasField
    return WorkerInfo(
        worker_id=message.worker_id,
        host=message.host,
        pid=message.pid,
        queues=tuple(message.queues),
        types=tuple(message.types),
        slots=message.slots,
        running=message.running,
        draining=message.draining,
        start_time=time_of(message.start_time) if has("start_time") else None,
        heartbeat_time=time_of(message.heartbeat_time) if has("heartbeat_time") else None,
    )


def _message_of(message: job_pb2.MessageEnvelope) -> MessageInfo:
    return MessageInfo(message.message_id, message.topic, time_of(message.time), message.source)


def _content_of(message: job_pb2.Content) -> Content:
    return Content(message.data, message.content_type)


def _progress_of(message: job_pb2.Progress) -> Progress:
    return Progress(message.current, message.total, message.message)


def _failure_of(message: job_pb2.Failure) -> Failure:
    return Failure(message.type, message.message, name_of(FailureReason, message.reason))


def _counts_of(counts: Iterable[queue_service_pb2.FailedCount]) -> dict[FailureReason, int]:
    return {given_name_of(FailureReason, each.reason): each.count for each in counts}


def backoff_from(message: job_pb2.Backoff) -> Backoff:
    """The pauses between attempts."""
    return Backoff(
        initial=span_in(message, "initial"),
        max=span_in(message, "max"),
        multiplier=message.multiplier or None,
        jitter=message.jitter if message.HasField("jitter") else None,
    )


def span_in(message: Message, name: str) -> timedelta | None:
    """A field that is a length of time; None if it is not set."""
    if not message.HasField(name):
        return None
    span: timedelta = getattr(message, name).ToTimedelta()
    return span


def time_of(message: Timestamp) -> datetime:
    """A time, aware."""
    return message.ToDatetime(tzinfo=UTC)
