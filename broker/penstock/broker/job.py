"""The data: a job, its states and the arrows between them, and what it is made of.

Times are integers, milliseconds since the epoch by the server's clock; spans are milliseconds too
(suffix ``_ms``). Nothing here talks to Redis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class JobState(StrEnum):
    """State of a job; the value is the one-letter code that its record holds."""

    SCHEDULED = "S"
    QUEUED = "Q"
    RUNNING = "R"
    SUCCEEDED = "D"
    FAILED = "F"
    CANCELLED = "C"
    EXPIRED = "E"

    @property
    def terminal(self) -> bool:
        """Whether a job in this state never changes again."""
        return self in TERMINAL


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})

#: Every arrow of the state machine, with the reason why a job goes that way. What is not here is
#: forbidden, and tested to be refused.
TRANSITIONS: Mapping[tuple[JobState, JobState], str] = {
    (JobState.SCHEDULED, JobState.QUEUED): "its time has come (promote)",
    (JobState.SCHEDULED, JobState.CANCELLED): "cancelled while it waited (cancel, purge)",
    (JobState.SCHEDULED, JobState.EXPIRED): "its deadline came first (expire)",
    (JobState.QUEUED, JobState.RUNNING): "granted to a worker (claim)",
    (JobState.QUEUED, JobState.CANCELLED): "cancelled while it waited (cancel, purge)",
    (JobState.QUEUED, JobState.EXPIRED): "its deadline came first (claim, expire)",
    (JobState.RUNNING, JobState.SUCCEEDED): "the handler returned (complete)",
    (JobState.RUNNING, JobState.FAILED): "no retry is left, or none is wanted (fail, reclaim)",
    (JobState.RUNNING, JobState.CANCELLED): "a cancel took effect (fail, release, reclaim, disown)",
    (JobState.RUNNING, JobState.EXPIRED): "its deadline passed (fail, release, reclaim)",
    (JobState.RUNNING, JobState.SCHEDULED): "a failed attempt waits for its retry (fail, release)",
    (JobState.RUNNING, JobState.QUEUED): "handed back, or lease lost (release, reclaim, disown)",
}


class Priority(StrEnum):
    """Priority within a queue; the value is the code in records and stream names."""

    HIGH = "h"
    DEFAULT = "d"
    LOW = "l"


class FailureReason(StrEnum):
    """Why a job became FAILED."""

    EXHAUSTED = "EXHAUSTED"
    NON_RETRYABLE = "NON_RETRYABLE"
    TIMED_OUT = "TIMED_OUT"
    QUARANTINED = "QUARANTINED"


class HoldReason(StrEnum):
    """Why a QUEUED job is passed over."""

    TYPE_CONCURRENCY = "TYPE_CONCURRENCY"


@dataclass(frozen=True, slots=True)
class Content:
    """A payload or a result: bytes, and their media type ('' means application/json)."""

    data: bytes = b""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pause before retry n: ``min(initial * multiplier ** (n - 1), max)``, spread by +- jitter."""

    initial_ms: int = 1_000
    max_ms: int = 300_000
    multiplier: float = 2.0
    jitter: float = 0.2

    def delay_ms(self, failures: int, spread: float) -> int:
        """Pause after the given number of failed attempts (>= 1); spread is a draw from [-1, 1]."""
        try:
            raw = min(self.initial_ms * self.multiplier ** (failures - 1), self.max_ms)
        except OverflowError:
            raw = self.max_ms
        return max(0, round(raw * (1 + self.jitter * spread)))


@dataclass(frozen=True, slots=True)
class Message:
    """The envelope of a message of a topic: what each of its jobs knows of it beside the payload.

    Attributes:
        message_id: as published; the same for every subscription's job.
        topic: that it was published to.
        time_ms: of what it tells, in ms since the epoch.
        source: that published it; '' if it did not say.
    """

    message_id: str
    topic: str
    time_ms: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a handler says it is; total 0 is unknown."""

    current: float
    total: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What the last failed attempt left; reason is set once the job is FAILED."""

    type: str
    message: str
    reason: FailureReason | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work as its record stands. payload and result are None unless asked for.

    retention_succeeded_ms is that of a success, where it is another than retention_ms. hold_reason
    is set while the job is QUEUED and passed over.
    """

    job_id: str
    type: str
    queue: str
    state: JobState
    priority: Priority
    attempt: int
    max_attempts: int
    crashes: int
    fencing_token: int
    last_sequence: int
    created_ms: int
    retention_ms: int
    retention_succeeded_ms: int | None = None
    backoff: Backoff = Backoff()
    queued_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    run_at_ms: int | None = None
    deadline_ms: int | None = None
    timeout_ms: int | None = None
    hold_reason: HoldReason | None = None
    cancel_requested: bool = False
    cancel_reason: str = ""
    worker_id: str = ""
    retried_from: str = ""
    cached_from: str = ""
    schedule_id: str = ""
    occurrence_ms: int | None = None
    progress: Progress | None = None
    failure: Failure | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    payload: Content | None = None
    result: Content | None = None
    message: Message | None = None

    @property
    def kept_ms(self) -> int:
        """For how long after its end it is kept, should it end as it stands."""
        if self.state is JobState.SUCCEEDED and self.retention_succeeded_ms is not None:
            return self.retention_succeeded_ms
        return self.retention_ms
