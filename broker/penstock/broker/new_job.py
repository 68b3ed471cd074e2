"""The data of a submit: what is asked for, what holds where nothing is said, and its receipt.

Times and spans are as those of `job`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from penstock.broker.job import Backoff, Content, Priority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.job import JobState, Message

_NOTHING: Final = Content()
_BACKOFF: Final = Backoff()


class SubmitOutcome(StrEnum):
    """Whether a submit made a job or met an earlier one."""

    CREATED = "created"
    REPEATED = "repeated"
    JOINED = "joined"
    CACHED = "cached"


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
    payload: Content = _NOTHING
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
    backoff: Backoff = _BACKOFF
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
