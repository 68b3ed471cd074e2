"""Between the contract and the broker: values that several of its messages have in common.

Each module of conversion turns the types of one into the other's, both ways. Requests come in
validated (see `validation`); nothing is refused here.
"""

from __future__ import annotations

from typing import Final, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.broker import (
    DEFAULTS,
    Backoff,
    Content,
    Durability,
    FailureReason,
    JobState,
    Priority,
)
from penstock.server.payloads import is_json
from penstock.server.validation import duration_ms
from penstock.v1 import job_pb2

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
STATE_OUT: Final = cast(
    "dict[JobState, job_pb2.JobState]",
    {s: job_pb2.JobState.Value(f"JOB_STATE_{s.name}") for s in JobState},
)
_REASON_OUT: Final = cast(
    "dict[FailureReason, job_pb2.FailureReason]",
    {r: job_pb2.FailureReason.Value(f"FAILURE_REASON_{r.name}") for r in FailureReason},
)
_DURABILITY_OUT: Final = cast(
    "dict[Durability, job_pb2.Durability]",
    {d: job_pb2.Durability.Value(f"DURABILITY_{d.name}") for d in Durability},
)


# From the contract.


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


def content_of(content: job_pb2.Content) -> Content:
    """A payload."""
    data, kind = content.data, content.content_type
    if kind == "application/json":
        kind = ""  # The default is not stored.
    if not data and is_json(kind):
        return _NULL  # No payload is JSON's null, so that handlers always get JSON.
    return Content(data, kind)


# To the contract.


def durability_out(durability: Durability) -> job_pb2.Durability:
    """What an acknowledgement survives."""
    return _DURABILITY_OUT[durability]


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


def content_out(content: Content | None) -> job_pb2.Content | None:
    """A payload or result that there may be."""
    if content is None:
        return None
    return job_pb2.Content(data=content.data, content_type=content.content_type)


def moment(time_ms: int) -> Timestamp:
    """A time."""
    seconds, rest_ms = divmod(time_ms, 1000)
    return Timestamp(seconds=seconds, nanos=rest_ms * 1_000_000)


def time_of(time_ms: int | None) -> Timestamp | None:
    """A time that there may be."""
    return None if time_ms is None else moment(time_ms)


def span_of(span_ms: int | None) -> Duration | None:
    """A span that there may be."""
    if span_ms is None:
        return None
    seconds, rest_ms = divmod(span_ms, 1000)
    return Duration(seconds=seconds, nanos=rest_ms * 1_000_000)
