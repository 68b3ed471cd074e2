"""What a job of the chaos run is told to do by its payload, and what may come of it.

A plan is a JSON object with these keys, all of them optional but the first:

==============  ===============================================================================
work            its name, unique to this piece of work
steps           how many steps it has (1)
step_ms         how long each takes (0)
progress        it reports its progress at each step
chunks          it emits a chunk at each step
checkpoint      it saves a checkpoint at each step, and goes on after the last one saved
fail            it raises an error in its attempts up to this one (99: in all of them)
retry_ms        it does so by ``Retry(after)``
crash           it kills its process in its first attempt
cancel          it raises Cancel
hang            it goes on until it is told to stop
==============  ===============================================================================

Its result is an object with ``work`` and ``token``, that of the attempt which returned it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FOR_EVER", "QUEUE", "TYPES", "Plan", "ends_of"]

#: Where the jobs wait.
QUEUE: Final = "chaos"

#: Of ``fail``: in all attempts.
FOR_EVER: Final = 99

#: Job types: a coroutine, a thread, a child process.
TYPES: Final = ("chaos.async", "chaos.sync", "chaos.process")


class Plan(TypedDict, total=False):
    """See the module."""

    work: str
    steps: int
    step_ms: float
    progress: bool
    chunks: bool
    checkpoint: bool
    fail: int
    retry_ms: int
    crash: bool
    cancel: bool
    hang: bool


def ends_of(plan: Plan, options: Mapping[str, object]) -> list[str]:
    """How a job may end, besides what cancels, deadlines and crashes bring.

    Args:
        plan: its payload.
        options: of its submit; a timeout counts.
    """
    ends = []
    if plan.get("cancel"):
        ends.append("CANCELLED")
    elif plan.get("fail", 0) >= FOR_EVER:
        ends.append("FAILED:EXHAUSTED")
    elif not plan.get("hang"):
        ends.append("SUCCEEDED")
    if options.get("timeout") is not None:
        ends.append("FAILED:TIMED_OUT")
    return ends
