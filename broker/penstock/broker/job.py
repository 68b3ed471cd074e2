"""The data: a job, its states and the arrows between them, what is stored, and what scripts answer.

Times are integers, milliseconds since the epoch by the server's clock; spans are milliseconds too
(suffix ``_ms``). Nothing here talks to Redis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

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


class SubmitOutcome(StrEnum):
    """Whether a submit made a job or met an earlier one."""

    CREATED = "created"
    REPEATED = "repeated"
    JOINED = "joined"
    CACHED = "cached"


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
class CachePolicy:
    """How a submit uses the result cache. Not together with a start or an idempotency key.

    Attributes:
        ttl_ms: how long a result stands for equal submits.
        key: of the work within its type, made by `caller_key` or `payload_key`.
        tags: names by which results are invalidated; no two are equal.
        reads: it may be answered by an equal job.
        writes: its job is what equal submits meet.
        hit_retention_ms: of a job that is answered from the cache.
    """

    ttl_ms: int
    key: str
    tags: tuple[str, ...] = ()
    reads: bool = True
    writes: bool = True
    hit_retention_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class NewJob:
    """A validated submit. Exactly one of delay_ms and run_at_ms may be set; both None: at once.

    What is None is left to the policy of the queue and type (see `policy`), then to `DEFAULTS`.
    """

    type: str
    queue: str
    request_id: str
    payload: Content = Content()
    priority: Priority | None = None
    delay_ms: int | None = None
    run_at_ms: int | None = None
    expires_in_ms: int | None = None
    deadline_ms: int | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    timeout_ms: int | None = None
    idempotency_key: str = ""
    retention_ms: int | None = None
    retention_succeeded_ms: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    retried_from: str = ""
    message: Message | None = None
    cache: CachePolicy | None = None
    schedule_id: str = ""
    occurrence_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where neither a submit nor a policy says anything."""

    priority: Priority = Priority.DEFAULT
    max_attempts: int = 3
    backoff: Backoff = Backoff()
    retention_ms: int = 86_400_000


DEFAULTS: Final = Defaults()


@dataclass(frozen=True, slots=True)
class Submitted:
    """Receipt of a submit.

    Attributes:
        job_id: of the job that stands for it.
        state: of that; None only for a duplicate whose first job is already gone.
        outcome: what became of the submit.
        result: of a job that was answered from the cache, if it is short; else None.
    """

    job_id: str
    state: JobState | None
    outcome: SubmitOutcome
    result: Content | None = None


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


@dataclass(frozen=True, slots=True)
class Grant:
    """A worker's right to one attempt. Every write that it makes carries fencing_token.

    A suspect is a job that one more crash would have quarantined: its worker runs it alone, and
    says so by `Attempts.begin`.
    """

    job_id: str
    type: str
    queue: str
    fencing_token: int
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    backoff: Backoff
    payload: Content
    created_ms: int
    queued_ms: int
    granted_ms: int
    deadline_ms: int | None
    timeout_ms: int | None
    metadata: Mapping[str, str]
    checkpoint: bytes | None
    cancel_requested: bool
    message: Message | None
    schedule_id: str = ""
    occurrence_ms: int | None = None
    suspect: bool = False


class Renewal(Enum):
    """What a renewal tells about one lease."""

    RENEWED = 1
    CANCEL_REQUESTED = 2
    LOST = 0


@dataclass(frozen=True, slots=True)
class StateChange:
    """Event: the job entered a state; run_at_ms is when it is due, where that is SCHEDULED."""

    state: JobState
    attempt: int
    reason: str = ""
    run_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Event: a part of the output."""

    data: bytes
    attempt: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """Event: a line of log from the handler."""

    level: str
    message: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Event: a range of events that was trimmed from the capped log."""

    lost: int


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a job, and the range of sequence numbers that tells it."""

    first_sequence: int
    last_sequence: int
    time_ms: int
    body: StateChange | Progress | Chunk | LogLine | Gap


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a cursor. More are left if they do not reach last_sequence, the newest."""

    events: tuple[Event, ...]
    last_sequence: int
    state: JobState
