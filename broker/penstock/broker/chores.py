"""The kinds of work that come due in a slot, each at the times in a sorted set.

A visit looks at all these sets at once, and does the chores whose time has come. A further kind
needs its set (`keys.py`, `lib/slot.lua`), a line in `look.lua` that names the chore and its set, a
class here, and an entry under that name in what `Broker` gives to its `Housekeeper`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from penstock.broker.engine import SCRIPT_BATCH, Engine
from penstock.broker.policy import GRACE_MS
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker.doorbell import Doorbell
    from penstock.broker.keys import Slot
    from penstock.broker.reconciler import Reconciler

PROMOTE = load_script("promote")
EXPIRE = load_script("expire")
PRUNE = load_script("prune")

_log = logging.getLogger(__name__)


class Chore(Protocol):
    """One kind of due work. Any number of processes may do it at once, in the same slot."""

    async def do(self, slot: Slot) -> float | None:
        """Does some of what is due, and not for long.

        Returns:
            How long until there is more to do (s), 0 if there is now; None if nothing waits.

        Raises:
            Unavailable: the server cannot be reached.
            ReplyError: somebody broke the slot.
        """


class Promoter:
    """Queues the jobs that have come due, and rings for them."""

    def __init__(self, engine: Engine, doorbell: Doorbell) -> None:
        self._engine = engine
        self._doorbell = doorbell

    async def do(self, slot: Slot) -> float | None:
        """See `Chore`."""
        queued, next_ms, failed = await self._engine.run(PROMOTE, [slot.base], SCRIPT_BATCH)
        complain(slot, "queued", failed)
        if queued:
            self._doorbell.ring(slot, queued)
        return _seconds(next_ms)


class Expirer:
    """Ends the waiting jobs whose deadline has passed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def do(self, slot: Slot) -> float | None:
        """See `Chore`."""
        _, next_ms, failed = await self._engine.run(EXPIRE, [slot.base], SCRIPT_BATCH)
        complain(slot, "expired", failed)
        return _seconds(next_ms)


class Pruner:
    """Forgets ended jobs whose retention is over, or that are too many.

    Args:
        engine: to run scripts.
        max_retained: ended jobs that a partition keeps per terminal state.
    """

    def __init__(self, engine: Engine, max_retained: int) -> None:
        self._engine = engine
        self.max_retained = max_retained

    async def do(self, slot: Slot) -> float | None:
        """See `Chore`."""
        forgotten, next_ms = await self._engine.run(
            PRUNE, [slot.base], SCRIPT_BATCH, self.max_retained, GRACE_MS
        )
        # A full batch: forgetting must keep pace with ending.
        return 0.0 if forgotten == SCRIPT_BATCH else _seconds(next_ms)


class Alarm:
    """Asks for a walk over all records, since jobs are missing: it takes too long for a visit."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    async def do(self, slot: Slot) -> float | None:
        """See `Chore`."""
        self._reconciler.want(slot)
        return None


def complain(slot: Slot, done: str, failed: Sequence[bytes]) -> None:
    """Tells of jobs that a script had to leave, since foreign keys are in the way.

    Args:
        slot: of the jobs.
        done: what should have been done with them: a participle.
        failed: tail and error of each.
    """
    if failed:
        tail, error = (part.decode(errors="replace") for part in failed[:2])
        base, count = slot.base.decode(), len(failed) // 2
        _log.warning("jobs of %s that cannot be %s: %d, as %s (%s)", base, done, count, tail, error)


def _seconds(wait_ms: int) -> float | None:
    return None if wait_ms < 0 else wait_ms / 1000
