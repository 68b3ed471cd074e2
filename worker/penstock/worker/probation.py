"""Runs a suspect alone: a job that one more crash would have quarantined.

A crash takes all jobs of its process along, and does not say which of them it was due to. So the
crash that has a job quarantined is one that it had alone: neither can an innocent neighbour be
condemned for what another job did, nor can the guilty one hide among others.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from penstock.runtime import jittered
from penstock.worker.outcome import Released, conclude
from penstock.worker.persistence import persist
from penstock.worker.signals import Stopped, StopReason

if TYPE_CHECKING:
    from penstock.broker.attempts import Attempts
    from penstock.worker.attempt import Attempt
    from penstock.worker.outcome import Outcome
    from penstock.worker.roster import Roster

__all__ = ["Probation"]

#: For so long a suspect is left to other workers where another one is held already (s).
ELSEWHERE_S: Final = 1.0
#: So long it waits to be alone (s), or for a part of the job's age. Not for ever: one of those that
#: run may wait for a job that is queued.
ALONE_WITHIN_S: Final = 30.0
PART_OF_AGE: Final = 0.1
#: How long the server may be away when a suspect is to begin (s).
PATIENCE_S: Final = 60.0

_log: Final = structlog.get_logger(__name__)


class Probation:
    """Holds suspects back until they are alone in the process.

    Meanwhile nothing is claimed (see `Roster.free`), and a suspect that has not begun is not
    charged with a crash (see `claim.lua`).

    Args:
        attempts: where its begin is written to.
        roster: who else is held.
    """

    def __init__(self, attempts: Attempts, roster: Roster) -> None:
        self._attempts = attempts
        self._roster = roster

    async def begin(self, attempt: Attempt) -> Outcome | None:
        """Returns once the attempt may run, or what it ends with instead.

        Raises:
            StaleToken: the attempt is over.
            PenstockError: the server was away for too long.
        """
        grant = attempt.grant
        if self._roster.suspect is not attempt:
            return Released("it is to run alone", round(jittered(ELSEWHERE_S, 0.5) * 1000))
        _log.warning(
            "a job is run alone", job_id=grant.job_id, type=grant.type, crashes=grant.crashes
        )
        age_s = (grant.granted_ms - grant.created_ms) / 1000
        patience_s = max(ALONE_WITHIN_S, PART_OF_AGE * age_s)
        if not await self._be_alone(attempt, patience_s):
            pause_s = jittered(patience_s, 0.5)
            return Released("it is to run alone, and others run on", round(pause_s * 1000))
        if attempt.stop_reason is None:
            await persist(
                lambda: self._attempts.begin(grant.job_id, grant.fencing_token),
                job_id=grant.job_id,
                patience_s=PATIENCE_S,
                wanted=lambda: attempt.stop_reason is None,
            )
        reason = attempt.stop_reason
        return None if reason is None else conclude(attempt, Stopped(reason))

    async def _be_alone(self, attempt: Attempt, within_s: float) -> bool:
        """Waits until nothing else is held here, or the attempt is to stop; False: not in time."""
        woken = asyncio.Event()
        attempt.on_stop = woken.set
        attempt.on_drain = lambda: attempt.stop(StopReason.DRAINING)
        self._roster.call_when_alone(woken.set)
        try:
            if self._roster.held > 1 and attempt.stop_reason is None:
                async with asyncio.timeout(within_s):
                    await woken.wait()
        except TimeoutError:
            return False
        finally:
            attempt.on_stop = attempt.on_drain = None
        return True
