"""Running one job: find its handler, run it within its time, conclude, flush, write the outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from penstock.broker import PenstockError, StaleToken
from penstock.worker.outcome import Dropped, Failed, Released, Succeeded, conclude
from penstock.worker.persistence import persist
from penstock.worker.reporter import OutputLost
from penstock.worker.signals import Stopped, StopReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from penstock.broker.attempts import Attempts
    from penstock.worker.attempt import Attempt
    from penstock.worker.executors import Executor
    from penstock.worker.handler import Handler, Mode
    from penstock.worker.misroutes import Misroutes
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
        misroutes: how long to keep off jobs without a handler here.
    """

    def __init__(
        self,
        attempts: Attempts,
        roster: Roster,
        handlers: Mapping[str, Handler],
        executors: Mapping[Mode, Executor],
        misroutes: Misroutes,
    ) -> None:
        self._attempts = attempts
        self._roster = roster
        self._handlers = handlers
        self._executors = executors
        self._misroutes = misroutes

    def launch(self, attempt: Attempt) -> None:
        """Runs an attempt in the background."""
        attempt.task = asyncio.get_running_loop().create_task(self._run(attempt))

    async def _run(self, attempt: Attempt) -> None:
        """The whole way of one attempt. Nothing that a handler does ends the process."""
        try:
            outcome = await self._outcome_of(attempt)
            outcome = await self._flush(attempt, outcome)
            await self._write(attempt, outcome)
        except StaleToken as error:
            _log.warning("outcome refused", job_id=attempt.grant.job_id, state=error.state)
        except PenstockError as error:
            # Nobody renews the lease from here on, so the job will be run again.
            _log.error("outcome not written", job_id=attempt.grant.job_id, error=str(error))
        finally:
            self._roster.dismiss(attempt)

    async def _outcome_of(self, attempt: Attempt) -> Outcome:
        """Finds the handler and runs it within its time."""
        grant = attempt.grant
        handler = self._handlers.get(grant.type)
        if handler is None:
            pause_ms = self._misroutes.pause_ms(grant.type)
            return Released(f"no handler for {grant.type} here", pause_ms, misrouted=True)
        if grant.cancel_requested:
            attempt.stop(StopReason.CANCELLED)
        timer = self._arm(attempt, handler)
        try:
            _check_orders(attempt)
            result = await self._executors[handler.mode].execute(attempt, handler)
        except (Exception, asyncio.CancelledError, Stopped, SystemExit) as error:
            if isinstance(error, asyncio.CancelledError) and _is_ending(attempt):
                raise
            outcome = conclude(attempt, error)
            _tell(attempt, outcome, error)
            return outcome
        finally:
            if timer is not None:
                timer.cancel()
        return Dropped() if _is_lost(attempt) else Succeeded(result)

    def _arm(self, attempt: Attempt, handler: Handler) -> asyncio.TimerHandle | None:
        """Sets the clock for whichever comes first: the attempt's timeout or the job's deadline."""
        grant = attempt.grant
        timeout_s = handler.timeout_s if grant.timeout_ms is None else grant.timeout_ms / 1000
        reason = StopReason.TIMED_OUT
        if grant.deadline_ms is not None:
            # Both by the server's clock, so that ours need not agree with it.
            left_s = (grant.deadline_ms - grant.granted_ms) / 1000
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


def _check_orders(attempt: Attempt) -> None:
    if attempt.stop_reason is not None:
        raise Stopped(attempt.stop_reason)


def _is_lost(attempt: Attempt) -> bool:
    return attempt.stop_reason is StopReason.LEASE_LOST


def _is_ending(attempt: Attempt) -> bool:
    """Whether the task is cancelled from outside, because the process is being cut short."""
    task = attempt.task
    return attempt.stop_reason is None and task is not None and task.cancelling() > 0


def _tell(attempt: Attempt, outcome: Outcome, error: BaseException) -> None:
    """One line of log for an attempt that did not succeed; its traceback for those who debug."""
    grant = attempt.grant
    log = _log.bind(job_id=grant.job_id, type=grant.type, attempt=grant.attempt)
    match outcome:
        case Failed("cancelled" | "expired" as kind, failure):
            log.info("attempt ended", how=kind, message=failure.message)
        case Failed(kind, failure, after_ms):
            log.warning(
                "attempt failed",
                how=kind,
                error=failure.type,
                message=failure.message,
                retry_after_s=after_ms / 1000,
            )
            log.debug("traceback", exc_info=error, child=getattr(error, "trace", ""))
        case Released(reason):
            log.info("attempt handed back", reason=reason)
        case Dropped():
            log.warning("attempt dropped: its lease is lost")
        case Succeeded():
            pass
