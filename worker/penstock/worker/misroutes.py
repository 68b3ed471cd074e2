"""How long to keep off jobs of a type that this worker has no handler for."""

from __future__ import annotations

import time
from typing import Final

import structlog

from penstock.runtime import jittered
from penstock.worker.outcome import Released

__all__ = ["Misroutes"]

FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 30.0
#: A type that was not met for so long is new again (s).
FORGET_AFTER_S: Final = 300.0

_log: Final = structlog.get_logger(__name__)


class Misroutes:
    """The types that were met without a handler, and since when.

    The pause grows with the time for which it has been so: a worker that is about to come up finds
    the job soon, and a job that nobody handles costs the fleet little.
    """

    def __init__(self) -> None:
        self._met: dict[str, tuple[float, float]] = {}

    def handed_back(self, job_type: str) -> Released:
        """The outcome for a job of that type, which was met just now."""
        now = time.monotonic()
        first, last = self._met.get(job_type, (now, now))
        if now - last > FORGET_AFTER_S:
            first = now
        if first == now:
            _log.warning("no handler for this job type here; jobs are handed back", type=job_type)
            self._forget_old(now)
        self._met[job_type] = first, now
        pause_s = min(max(FIRST_PAUSE_S, (now - first) / 2), LONGEST_PAUSE_S)
        pause_ms = round(jittered(pause_s, 0.2) * 1000)
        return Released(f"no handler for {job_type} here", pause_ms, misrouted=True)

    def _forget_old(self, now: float) -> None:
        # Types are names that callers chose: what is kept of them must not grow for ever.
        old = [name for name, (_, last) in self._met.items() if now - last > FORGET_AFTER_S]
        for name in old:
            del self._met[name]
