"""Takes jobs back whose lease has run out, in every slot that this process looks at."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from penstock.broker.chores import complain
from penstock.broker.engine import SCRIPT_BATCH, Engine
from penstock.broker.observer import LeaseObserver, WatchedClock
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker.doorbell import Doorbell
    from penstock.broker.keys import Slot

RECLAIM = load_script("reclaim")

LEASES_PER_LOOK: Final = 1_000
#: Most leases that run out belong to jobs that ended since, so each is not worth a visit (s).
LEASE_GRAIN_S: Final = 0.1

_log = logging.getLogger(__name__)


class Reclaimer:
    """Has one observer a slot, all by one clock.

    Args:
        engine: to run scripts.
        doorbell: to ring for jobs that wait again.
        clock: that leases run by.
        max_crashes: a job whose workers vanished so often is quarantined.
    """

    def __init__(
        self, engine: Engine, doorbell: Doorbell, clock: WatchedClock, max_crashes: int
    ) -> None:
        self._engine = engine
        self._doorbell = doorbell
        self._clock = clock
        self._max_crashes = max_crashes
        self._observers: dict[Slot, LeaseObserver] = {}

    def cursor(self, slot: Slot) -> int:
        """The tick after which to look for leases that moved."""
        return self._observer(slot).cursor()

    async def take_in(
        self, slot: Slot, newest_tick: int, moved: Sequence[Sequence[Any]]
    ) -> float | None:
        """Takes in what a look has found, and takes back what has run out.

        Args:
            slot: that was looked at.
            newest_tick: of the slot.
            moved: (tail, tick, lease in ms) of leases beyond the cursor.

        Returns:
            How long until the next lease may run out (s); None if none is watched.
        """
        observer = self._observer(slot)
        observer.look(
            newest_tick, ((tail.decode(), tick, lease_ms) for tail, tick, lease_ms in moved)
        )
        expired = observer.expired()
        # All of them: most are of jobs that have ended, and every visit sees new ones.
        for start in range(0, len(expired), SCRIPT_BATCH):
            batch = expired[start : start + SCRIPT_BATCH]
            await self._take_back(slot, batch)
            observer.forget(tail for tail, _ in batch)
        if len(moved) >= LEASES_PER_LOOK:
            return 0.0
        next_s = observer.next_expiry_s()
        return None if next_s is None else max(next_s, LEASE_GRAIN_S)

    def restart(self) -> None:
        """Gives every lease its whole length again: while the server was away, none was renewed."""
        for observer in self._observers.values():
            observer.restart()

    def forget(self, slot: Slot) -> None:
        """Drops what was seen in a slot that is not looked at any more."""
        self._observers.pop(slot, None)

    def _observer(self, slot: Slot) -> LeaseObserver:
        observer = self._observers.get(slot)
        if observer is None:
            observer = self._observers[slot] = LeaseObserver(self._clock)
        return observer

    async def _take_back(self, slot: Slot, expired: Sequence[tuple[str, int]]) -> None:
        args = [part for lease in expired for part in lease]
        queued, ended, failed = await self._engine.run(
            RECLAIM, [slot.base], self._max_crashes, *args
        )
        complain(slot, "taken back", failed)
        if queued or ended:
            # Each lost lease may be that of a dead worker who is still on the list of the idle, and
            # who stands there before the living. One that ended may leave a place to another job.
            self._doorbell.ring(slot, 2 * queued + ended)
            _log.warning("leases lost: %d queued again, %d ended", queued, ended)
