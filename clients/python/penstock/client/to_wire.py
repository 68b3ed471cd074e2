"""From the client's own types to the generated ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.client.cache_policy import CachePolicy
from penstock.client.content import encode
from penstock.client.job import Priority
from penstock.client.wire_names import wire_name
from penstock.v1 import job_pb2

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.client.new_job import Backoff, NewJob
    from penstock.client.spans import Span


def spec_of(job: NewJob) -> job_pb2.JobSpec:
    """The message of a job to submit, under a random request id if it has none.

    Raises:
        InvalidRequest: the wire cannot express it.
    """
    job.check()
    content = encode(job.payload, job.content_type)
    return job_pb2.JobSpec(
        type=job.type,
        queue=job.queue,
        payload=job_pb2.Content(data=content.data, content_type=content.content_type),
        options=_options_of(job),
        request_id=job.request_id or new_request_id(),
    )


def new_request_id() -> str:
    """A name for one call, random, so that the call can be repeated."""
    return str(uuid4())


def duration_of(span: Span) -> Duration:
    """A length of time, to the microsecond."""
    duration = Duration()
    duration.FromTimedelta(span if isinstance(span, timedelta) else timedelta(seconds=span))
    return duration


def optional_duration(span: Span | None) -> Duration | None:
    """A length of time, if there is one."""
    return None if span is None else duration_of(span)


def timestamp_of(time: datetime) -> Timestamp:
    """An aware datetime, to the microsecond."""
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _options_of(job: NewJob) -> job_pb2.JobOptions:
    return job_pb2.JobOptions(
        priority=None if job.priority is None else wire_name(Priority(job.priority)),
        delay=optional_duration(job.delay),
        run_at=timestamp_of(job.run_at) if job.run_at else None,
        expires_in=optional_duration(job.expires_in),
        deadline=timestamp_of(job.deadline) if job.deadline else None,
        max_attempts=job.max_attempts or 0,
        backoff=backoff_of(job.backoff) if job.backoff else None,
        timeout=optional_duration(job.timeout),
        idempotency_key=job.idempotency_key,
        retention=optional_duration(job.retention),
        metadata=job.metadata,
        allow_unregistered=job.allow_unregistered,
        cache=_cache_of(job),
    )


def _cache_of(job: NewJob) -> job_pb2.CachePolicy | None:
    policy = job.cache
    if policy is None and job.cache_ttl is not None:
        policy = CachePolicy(job.cache_ttl)
    if policy is None:
        return None
    return job_pb2.CachePolicy(
        ttl=duration_of(policy.ttl),
        key=policy.key,
        tags=policy.tags,
        skip_cache=policy.skip_cache,
        do_not_cache=policy.do_not_cache,
    )


def backoff_of(backoff: Backoff) -> job_pb2.Backoff:
    """The pauses between attempts; what is None is left to the gateway."""
    return job_pb2.Backoff(
        initial=optional_duration(backoff.initial),
        max=optional_duration(backoff.max),
        multiplier=backoff.multiplier or 0.0,
        jitter=backoff.jitter,
    )
