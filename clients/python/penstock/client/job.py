"""What a gateway tells about a job, as plain data. Times are aware datetimes in UTC.

Nothing here knows gRPC or generated types.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from penstock.client.content import Content

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from datetime import datetime, timedelta

T = TypeVar("T")


class _Name(StrEnum):
    """An enum of the contract; its values are the contract's names, accepted in any case."""

    @classmethod
    def _missing_(cls, value: object) -> _Name | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class JobState(_Name):
    """Where a job stands. Of the terminal ones there is no return."""

    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"

    @property
    def terminal(self) -> bool:
        """Whether a job in this state never changes again."""
        return self in _TERMINAL


_TERMINAL: Final = frozenset(
    {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
)


class FailureReason(_Name):
    """Why a job became FAILED."""

    EXHAUSTED = "EXHAUSTED"
    NON_RETRYABLE = "NON_RETRYABLE"
    TIMED_OUT = "TIMED_OUT"
    QUARANTINED = "QUARANTINED"


class HoldReason(_Name):
    """Why a QUEUED job is passed by: as many jobs of its type run as its policy allows."""

    TYPE_CONCURRENCY = "TYPE_CONCURRENCY"


class Priority(_Name):
    """Which jobs of a queue are served first."""

    HIGH = "HIGH"
    DEFAULT = "DEFAULT"
    LOW = "LOW"


class Durability(_Name):
    """What an acknowledged submit survives; see the contract for each level."""

    NONE = "NONE"
    EVERYSEC = "EVERYSEC"
    ALWAYS = "ALWAYS"
    REPLICATED = "REPLICATED"


class SubmitOutcome(_Name):
    """Whether a submit made a job to run, or met an earlier one.

    CREATED: a new job. REPEATED: the same submit was stored before. JOINED: an equal job stands for
    it. CACHED: a new job, SUCCEEDED from the start with the result of an equal one.
    """

    CREATED = "CREATED"
    REPEATED = "REPEATED"
    JOINED = "JOINED"
    CACHED = "CACHED"


@dataclass(frozen=True, slots=True)
class Submitted:
    """Receipt of a submit.

    Attributes:
        job_id: to watch, wait for, or cancel.
        state: of the job at that moment; None only for a duplicate of a job that is gone already.
        outcome: whether this submit made it.
        durability: what the acknowledgement survives; None is unknown.
        request_id: under which the submit may be repeated.
        result_content: the job's result, if it was answered from the cache and the gateway told
            it along; a handle's result() then asks nothing.
    """

    job_id: str
    state: JobState | None
    outcome: SubmitOutcome
    durability: Durability | None
    request_id: str
    result_content: Content | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job says it is: current of total units (total 0 is unknown)."""

    current: float
    total: float
    message: str = ""

    @property
    def fraction(self) -> float | None:
        """How much of it is done, 0 to 1; None if the total is unknown."""
        return min(max(self.current / self.total, 0.0), 1.0) if self.total > 0 else None


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """The message of a topic that a job was made of; its payload is the job's.

    Attributes:
        message_id: as published; the same for every subscription's job.
        topic: that it was published to.
        time: of what it tells.
        source: who published it; '' if they did not say.
    """

    message_id: str
    topic: str
    time: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What the last failed attempt left behind.

    Attributes:
        type: name of the exception.
        message: the handler's text.
        reason: set once the job is FAILED.
    """

    type: str
    message: str
    reason: FailureReason | None = None


@dataclass(frozen=True)
class Job:
    """One unit of work as it stood when the gateway answered.

    The fields are those of the contract's Job. What was not asked for, or is not there yet, is
    None: `result_content` and `payload_content` hold the bytes as they came, and `result`,
    `result_as` and `payload` decode them.
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
    cancel_requested: bool = False
    cancel_reason: str = ""
    progress: Progress | None = None
    failure: Failure | None = None
    result_content: Content | None = None
    payload_content: Content | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    create_time: datetime | None = None
    queue_time: datetime | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    run_at: datetime | None = None
    deadline: datetime | None = None
    timeout: timedelta | None = None
    retention: timedelta | None = None
    worker_id: str = ""
    retried_from: str = ""
    message: MessageInfo | None = None
    schedule_id: str = ""
    occurrence_time: datetime | None = None
    cached_from: str = ""
    hold_reason: HoldReason | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state.terminal

    @cached_property
    def result(self) -> Any:  # noqa: ANN401 - what the handler returned, which only it knows.
        """The result: JSON decoded, other content as bytes; None if it is not here.

        Raises:
            ResultMismatch: it is labelled JSON, and is none.
        """
        return None if self.result_content is None else self.result_content.decode()

    @property
    def result_bytes(self) -> bytes | None:
        """The result as it came; None if it is not here."""
        return None if self.result_content is None else self.result_content.data

    def result_as(self, result_type: builtins.type[T]) -> T:
        """The result, validated as a type that pydantic's TypeAdapter takes.

        Raises:
            ResultMismatch: it is of another type, or it is not here.
        """
        return (self.result_content or Content()).decode_as(result_type)

    @cached_property
    def payload(self) -> Any:  # noqa: ANN401 - as `result`.
        """The payload: JSON decoded, other content as bytes; None if it was not asked for.

        Raises:
            ResultMismatch: it is labelled JSON, and is none.
        """
        return None if self.payload_content is None else self.payload_content.decode()
