"""Running one job: find its handler, run it within its time, conclude, flush, write the outcome."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog

from penstock.broker import PenstockError, StaleToken
from penstock.worker.journal import tell
from penstock.worker.misroutes import Misroutes
from penstock.worker.outcome import Dropped, Failed, Released, Succeeded, conclude
from penstock.worker.persistence import persist
from penstock.worker.probation import Probation
from penstock.worker.reporter import OutputLost
from penstock.worker.signals import Stopped, StopReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from penstock.broker import Content
    from penstock.broker.attempts import Attempts
    from penstock.worker.attempt import Attempt
    from penstock.worker.executors import Executor
    from penstock.worker.handler import Handler, Mode
    from penstock.worker.outcome import Outcome
    from penstock.worker.roster import Roster

__all__ = ["Runner"]

#: For how long an outcome is held on to that the server does not take (s).
OUTCOME_PATIENCE_S: Final = 300.0

_log: Final = structlog.get_logger(__name__)


class Runner:
    """Runs attempts, each in a task of its own.

    Args:
        attempts: where outcomes are written to.
        roster: who is dismissed once the outcome is written.
        handlers: by job type.
        executors: by mode.
    """

    def __init__(
        self,
        attempts: Attempts,
        roster: Roster,
        handlers: Mapping[str, Handler],
        executors: Mapping[Mode, Executor],
    ) -> None:
        self._attempts = attempts
        self._roster = roster
        self._handlers = handlers
        self._executors = executors
        self._misroutes = Misroutes()
        self._probation = Probation(attempts, roster)

    def launch(self, attempt: Attempt) -> None:
        """Runs an attempt in the background."""
        attempt.task = asyncio.get_running_loop().create_task(self._run(attempt))

    async def _run(self, attempt: Attempt) -> None:
        """The steps of one attempt. Nothing that a handler does ends the process."""
        job_id = attempt.grant.job_id
        try:
            handler = self._handlers.get(attempt.grant.type)
            if handler is None:
                outcome: Outcome = self._misroutes.handed_back(attempt.grant.type)
            elif (waived := await self._begin(attempt)) is not None:
                outcome = waived
            else:
                ended = await self._execute(attempt, handler)
                outcome = conclude(attempt, ended)
                tell(attempt, outcome, ended)
                outcome = await self._flush(attempt, outcome)
            await self._write(attempt, outcome)
        except StaleToken as error:
            _log.warning("outcome refused", job_id=job_id, state=error.state)
        except PenstockError as error:
            # Nobody renews the lease from here on, so the job will be run again.
            _log.error("outcome not written", job_id=job_id, error=str(error))
        except Exception:  # noqa: BLE001 - a fault of ours; the job will be run again.
            _log.exception("attempt left to its lease", job_id=job_id)
        finally:
            self._roster.dismiss(attempt)

    async def _begin(self, attempt: Attempt) -> Outcome | None:
        """Waits for its turn. Returns what it ends with, if that does not come."""
        return await self._probation.begin(attempt) if attempt.grant.suspect else None

    async def _execute(self, attempt: Attempt, handler: Handler) -> Content | BaseException:
        """Runs the handler within its time. Returns its result, or what came instead of one."""
        timer = self._arm(attempt, handler)
        try:
            if attempt.stop_reason is not None:
                return Stopped(attempt.stop_reason)
            return await self._executors[handler.mode].execute(attempt, handler)
        except BaseException as error:
            if _is_cut_short(attempt) and not isinstance(error, Exception):
                raise
            return error
        finally:
            if timer is not None:
                timer.cancel()

    def _arm(self, attempt: Attempt, handler: Handler) -> asyncio.TimerHandle | None:
        """Sets the clock for whichever comes first: the attempt's timeout or the job's deadline."""
        grant = attempt.grant
        timeout_s = handler.timeout_s if grant.timeout_ms is None else grant.timeout_ms / 1000
        reason = StopReason.TIMED_OUT
        if grant.deadline_ms is not None:
            # Both by the server's clock, so that ours need not agree with it.
            left_s = (grant.deadline_ms - grant.granted_ms) / 1000
            if grant.suspect:  # It may have waited for its turn.
                left_s -= time.monotonic() - attempt.admitted_s
            if timeout_s is None or left_s < timeout_s:
                timeout_s, reason = left_s, StopReason.EXPIRED
        if timeout_s is None:
            return None
        return asyncio.get_running_loop().call_later(timeout_s, attempt.stop, reason)

    async def _flush(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        """Stores what the handler said, before the outcome ends the job's log."""
        reporter = attempt.reporter
        if reporter is None:
            return outcome
        if isinstance(outcome, Dropped):
            reporter.discard()
            return outcome
        try:
            await reporter.close()
        except OutputLost as error:
            # A result whose output is incomplete is none; other outcomes do not depend on it.
            return conclude(attempt, error) if isinstance(outcome, Succeeded) else outcome
        return outcome

    async def _write(self, attempt: Attempt, outcome: Outcome) -> None:
        """Writes the outcome, fenced. The first that is accepted stands."""
        grant = attempt.grant
        job_id, token = grant.job_id, grant.fencing_token
        attempts = self._attempts
        match outcome:
            case Succeeded(result):
                await self._persist(job_id, lambda: attempts.complete(job_id, token, result))
            case Failed(kind, failure, after_ms):
                await self._persist(
                    job_id, lambda: attempts.fail(job_id, token, kind, failure, after_ms)
                )
            case Released(reason, pause_ms, misrouted):
                await self._persist(
                    job_id,
                    lambda: attempts.release(job_id, token, reason, pause_ms, misrouted=misrouted),
                )
            case Dropped():
                pass

    @staticmethod
    async def _persist(job_id: str, write: Callable[[], Awaitable[object]]) -> None:
        await persist(write, job_id=job_id, patience_s=OUTCOME_PATIENCE_S, wanted=lambda: True)


def _is_cut_short(attempt: Attempt) -> bool:
    """Whether the task is cancelled from outside, because the process is to end at once."""
    task = attempt.task
    return attempt.stop_reason is None and task is not None and task.cancelling() > 0
