"""The passage of time, as jobs feel it: due jobs, deadlines, lost leases, retention.

Any number of processes do this at once, without a leader or a lock: every step is a bounded script
that the first to come wins. The cost follows the number of active slots.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from penstock.broker.engine import SCRIPT_BATCH, Engine
from penstock.broker.errors import ReplyError, Unavailable
from penstock.broker.observer import LeaseObserver
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from penstock.broker.activity import Activity
    from penstock.broker.doorbell import Doorbell
    from penstock.broker.keys import Slot

PROMOTE = load_script("promote")
EXPIRE = load_script("expire")
LEASES = load_script("leases")
RECLAIM = load_script("reclaim")
PRUNE = load_script("prune")

#: Longest pause between two visits of an active slot (s); it bounds how late a retry may start.
VISIT_EVERY_S: Final = 0.5
#: Of the time between two visits, leases are charged no more than this (s).
LONGEST_GAP_S: Final = 2 * VISIT_EVERY_S
#: Slots that are visited within VISIT_EVERY_S; with more, the pause grows in proportion.
SLOTS_PER_VISIT: Final = 100
#: Retention is coarse: it is looked at this often (s).
PRUNE_EVERY_S: Final = 10.0
SHORTEST_PAUSE_S: Final = 0.01
LEASES_PER_LOOK: Final = 1_000
#: Most leases that run out belong to jobs that ended since, so each is not worth a visit (s).
LEASE_GRAIN_S: Final = 0.1
MAX_CRASHES: Final = 3
#: Most ended jobs that a partition keeps per terminal state.
MAX_RETAINED: Final = 1_000_000

_log = logging.getLogger(__name__)


class Housekeeper:
    """Visits the active slots. Call `sweep` again and again, with the pauses that it asks for.

    Attributes:
        max_crashes: a job whose workers vanished so often is quarantined.
        max_retained: ended jobs that a partition keeps per terminal state.
    """

    def __init__(
        self,
        engine: Engine,
        activity: Activity,
        doorbell: Doorbell,
        *,
        max_crashes: int = MAX_CRASHES,
        max_retained: int = MAX_RETAINED,
    ) -> None:
        self._engine = engine
        self._activity = activity
        self._doorbell = doorbell
        self._observers: dict[Slot, LeaseObserver] = {}
        self._prune_at: dict[Slot, float] = {}
        self._longest_gap_s = LONGEST_GAP_S
        self.max_crashes = max_crashes
        self.max_retained = max_retained

    def forget(self) -> None:
        """Begins to watch all leases anew: while the server was away, none could be renewed."""
        for observer in self._observers.values():
            observer.restart()

    async def sweep(self) -> float:
        """Visits every active slot once. Returns how long to pause (s)."""
        slots = await self._activity.slots()
        crowding = max(1.0, len(slots) / SLOTS_PER_VISIT)
        pause_s = VISIT_EVERY_S * crowding
        self._longest_gap_s = LONGEST_GAP_S * crowding
        for slot in slots:
            try:
                pause_s = min(pause_s, await self.visit(slot))
            except Unavailable:
                raise
            except ReplyError:
                # A slot that a foreign hand broke must not keep the others waiting.
                _log.exception("no housekeeping in %s", slot.base.decode())
        for gone in self._observers.keys() - set(slots):
            del self._observers[gone]
            self._prune_at.pop(gone, None)
        return max(pause_s, SHORTEST_PAUSE_S)

    async def visit(self, slot: Slot) -> float:
        """Does what is due in one slot. Returns when there is more to do (s, at most a visit's)."""
        waits_s = [
            await self._promote(slot),
            await self._expire(slot),
            await self._reclaim(slot),
        ]
        waits_s.append(await self._prune(slot, idle=all(wait is None for wait in waits_s)))
        return min((wait for wait in waits_s if wait is not None), default=VISIT_EVERY_S)

    async def _promote(self, slot: Slot) -> float | None:
        queued, next_ms = await self._engine.run(PROMOTE, [slot.base], SCRIPT_BATCH)
        if queued:
            self._doorbell.ring(slot, queued)
        return None if next_ms < 0 else next_ms / 1000

    async def _expire(self, slot: Slot) -> float | None:
        _, next_ms = await self._engine.run(EXPIRE, [slot.base], SCRIPT_BATCH)
        return None if next_ms < 0 else next_ms / 1000

    async def _reclaim(self, slot: Slot) -> float | None:
        observer = self._observers.setdefault(slot, LeaseObserver())
        newest, *moved = await self._engine.run(
            LEASES, [slot.base], observer.cursor(), LEASES_PER_LOOK
        )
        # The time after the reply: a lease is never taken for older than it is.
        observer.look(
            newest,
            ((tail.decode(), tick, lease_ms) for tail, tick, lease_ms in moved),
            time.monotonic(),
            self._longest_gap_s,
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

    async def _take_back(self, slot: Slot, expired: list[tuple[str, int]]) -> None:
        args = [part for lease in expired for part in lease]
        queued, ended = await self._engine.run(RECLAIM, [slot.base], self.max_crashes, *args)
        if queued:
            # Each lost lease may be that of a dead worker who is still on the list of the idle, and
            # who stands there before the living.
            self._doorbell.ring(slot, 2 * queued)
        if queued or ended:
            _log.warning("leases lost: %d queued again, %d ended", queued, ended)

    async def _prune(self, slot: Slot, *, idle: bool) -> float | None:
        now_s = time.monotonic()
        if now_s < self._prune_at.get(slot, 0.0):
            return None
        forgotten, next_ms = await self._engine.run(
            PRUNE, [slot.base], SCRIPT_BATCH, self.max_retained
        )
        if forgotten == SCRIPT_BATCH:
            return 0.0  # There is more: forgetting must keep pace with ending.
        self._prune_at[slot] = now_s + PRUNE_EVERY_S
        if idle and next_ms < 0:
            await self._activity.drop(slot)
        return None
