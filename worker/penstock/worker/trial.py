"""What an attempt says and how it ends, noted instead of written to a server."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic_core import from_json

from penstock.broker import Chunk, Content, Failure, FailureReason, JobState, LogLine, Progress
from penstock.broker.attempts import Attempts
from penstock.worker import checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.broker import CacheTarget, Grant
    from penstock.worker.attempt import Attempt
    from penstock.worker.executors import Executor
    from penstock.worker.handler import Handler

__all__ = ["LeadsTo", "Notes", "Overheard", "Trial"]

#: The state that the job would be in after the attempt.
LeadsTo: TypeAlias = Literal["SUCCEEDED", "SCHEDULED", "QUEUED", "FAILED", "CANCELLED", "EXPIRED"]


@dataclass
class Trial:
    """What one attempt said, and how it ended.

    Attributes:
        state: That the job would be in: SUCCEEDED; SCHEDULED, to be tried again; QUEUED, handed
            back; FAILED, CANCELLED or EXPIRED. None until the attempt has ended, and of one that
            was told that its lease is lost.
        error: What came out of the handler, if it did not return.
        failure: What the job's record would say of that; None where it would not.
        retry_after: The pause before the next attempt, where the state is SCHEDULED.
        chunks: What it emitted, in order.
        progress: The latest that it reported; None if it did not.
        lines: Its log: (level, message), in order.
        checkpoints: What it saved, in order, each as the next attempt would find it.
        invalidated: What it had the cache forget.
    """

    state: LeadsTo | None = None
    error: BaseException | None = None
    failure: Failure | None = None
    retry_after: timedelta | None = None
    chunks: list[bytes] = field(default_factory=list)
    progress: Progress | None = None
    lines: list[tuple[str, str]] = field(default_factory=list)
    checkpoints: list[Any] = field(default_factory=list)
    invalidated: list[CacheTarget] = field(default_factory=list)
    result_content: Content | None = None

    @property
    def result(self) -> Any:  # noqa: ANN401 - whatever the handler returned.
        """What the handler returned, as its callers would get it: JSON decoded, or bytes.

        Raises:
            BaseException: `error`, if it did not return.
        """
        content = self.result_content
        if content is None:
            raise self.error or AssertionError(f"no result: the job is {self.state}")
        return content.data if content.content_type else from_json(content.data)

    @property
    def text(self) -> str:
        """All that it emitted, as text."""
        return b"".join(self.chunks).decode()


class Notes(Attempts):
    """Takes what a worker writes to the server, and notes it in a trial.

    Args:
        trial: Takes it.
        grant: Whose attempt it is.
        on_note: Called whenever there is something new that the handler said or saved.
    """

    def __init__(self, trial: Trial, grant: Grant, on_note: Callable[[], None]) -> None:
        self._trial = trial
        self._grant = grant
        self._on_note = on_note

    async def report(  # noqa: D102 - as all below, see Attempts.
        self,
        job_id: str,
        token: int,
        number: int,
        events: Sequence[Progress | Chunk | LogLine],
        budget_s: float = 0,
    ) -> bool:
        del job_id, token, number, budget_s
        for event in events:
            match event:
                case Progress():
                    self._trial.progress = event
                case Chunk(data=data):
                    self._trial.chunks.append(data)
                case LogLine(level=level, message=message):
                    self._trial.lines.append((level, message))
        self._on_note()
        return False

    async def checkpoint(self, job_id: str, token: int, data: bytes, budget_s: float = 0) -> None:  # noqa: D102
        del job_id, token, budget_s
        self._trial.checkpoints.append(checkpoints.decode(data))
        self._on_note()

    async def invalidate(self, targets: Sequence[CacheTarget]) -> None:  # noqa: D102
        self._trial.invalidated += targets
        self._on_note()

    async def complete(  # noqa: D102
        self, job_id: str, token: int, result: Content, budget_s: float = 0
    ) -> None:
        del job_id, token, budget_s
        self._trial.state = "SUCCEEDED"
        self._trial.result_content = result

    async def fail(  # noqa: D102, PLR0917
        self,
        job_id: str,
        token: int,
        kind: str,
        failure: Failure,
        retry_after_ms: int = 0,
        budget_s: float = 0,
    ) -> JobState:
        del job_id, token, budget_s
        trial = self._trial
        trial.state, reason = self._end_of(kind, retry_after_ms)
        if trial.state != "CANCELLED":
            trial.failure = Failure(failure.type, failure.message, reason)
        if trial.state == "SCHEDULED":
            trial.retry_after = timedelta(milliseconds=retry_after_ms)
        return JobState[trial.state]

    async def release(  # noqa: D102
        self,
        job_id: str,
        token: int,
        reason: str,
        pause_ms: int = 0,
        *,
        misrouted: bool = False,
        budget_s: float = 0,
    ) -> JobState:
        del job_id, token, reason, pause_ms, misrouted, budget_s
        self._trial.state = "QUEUED"
        return JobState.QUEUED

    def _end_of(self, kind: str, retry_after_ms: int) -> tuple[LeadsTo, FailureReason | None]:
        """What an attempt without a result leads to: the rules of fail.lua."""
        grant = self._grant
        if kind == "expired":
            return "EXPIRED", None
        if kind == "cancelled":
            return "CANCELLED", None
        if kind == "final":
            return "FAILED", FailureReason.NON_RETRYABLE
        if grant.failures + 1 >= grant.max_attempts:
            timed_out = kind == "timeout"
            return "FAILED", FailureReason.TIMED_OUT if timed_out else FailureReason.EXHAUSTED
        if grant.deadline_ms and time.time() * 1000 + retry_after_ms >= grant.deadline_ms:
            return "EXPIRED", None
        return "SCHEDULED", None


class Overheard:
    """An executor that notes in a trial what comes out of a handler."""

    def __init__(self, executor: Executor, trial: Trial) -> None:
        self._executor = executor
        self._trial = trial

    async def execute(self, attempt: Attempt, handler: Handler) -> Content:
        """As `Executor.execute`."""
        try:
            return await self._executor.execute(attempt, handler)
        except BaseException as error:
            self._trial.error = error
            raise
