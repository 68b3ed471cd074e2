"""The passage of time, as jobs feel it: due jobs, deadlines, lost leases, retention.

Any number of processes do this, without a leader or a lock: every step is a bounded script that the
first to come wins. So that the cost follows the number of active slots, each slot has two
caretakers, who visit it all the time; all others look in now and then, lest anything should stick.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Final

from penstock.broker.agenda import VISIT_EVERY_S
from penstock.broker.errors import Overloaded, PenstockError, Unavailable
from penstock.broker.observer import WatchedClock
from penstock.broker.reclaimer import LEASES_PER_LOOK, Reclaimer
from penstock.broker.rota import BEAT_EVERY_S, CARETAKERS, Rota
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.broker.activity import Activity
    from penstock.broker.chores import Chore
    from penstock.broker.doorbell import Doorbell
    from penstock.broker.engine import Engine
    from penstock.broker.keys import Slot
    from penstock.broker.policies import Policies

LOOK = load_script("look")

#: Longest pause between two visits of one who is no caretaker (s), while they are few.
LOOK_IN_EVERY_S: Final = 5.0
#: However many they are, together they look in no more often than this (s).
LOOK_IN_TOGETHER_S: Final = 1.0
#: The second caretaker comes so much later to what the first should have done (s).
LAG_S: Final = 0.1
#: Visits of one process; with more slots than that allows, all pauses grow in proportion.
VISITS_PER_S: Final = 200.0
#: Retention is coarse: it is looked at this often (s).
RETENTION_EVERY_S: Final = 10.0
#: The books of a slot are looked at this often (s); it costs more than all the rest of a look.
BOOKS_EVERY_S: Final = 1.0
SHORTEST_PAUSE_S: Final = 0.01
MAX_CRASHES: Final = 3
#: Most ended jobs that a partition keeps per terminal state.
MAX_RETAINED: Final = 1_000_000

_log = logging.getLogger(__name__)


class Housekeeper:
    """Visits the active slots. Call `sweep` again and again, with the pauses that it asks for.

    Args:
        engine: to run scripts.
        activity: which slots are active, and when to visit them.
        doorbell: to ring for jobs that wait again.
        policies: what limits a slot should have.
        chores: kinds of due work, by their names in `look.lua`.
        max_crashes: a job whose workers vanished so often is quarantined.
        max_retained: ended jobs that a partition keeps per terminal state.

    Attributes:
        chores: the same.
    """

    def __init__(
        self,
        engine: Engine,
        activity: Activity,
        doorbell: Doorbell,
        policies: Policies,
        *,
        chores: Mapping[str, Chore],
        max_crashes: int = MAX_CRASHES,
        max_retained: int = MAX_RETAINED,
    ) -> None:
        self._engine = engine
        self._activity = activity
        self._agenda = activity.agenda
        self._policies = policies
        self.chores = dict(chores)
        self._max_retained = max_retained
        self._clock = WatchedClock()
        self._rota = Rota(engine, self._clock)
        self._reclaimer = Reclaimer(engine, doorbell, self._clock, max_crashes)
        self._retention_at_s: dict[Slot, float] = {}
        self._books_at_s: dict[Slot, float] = {}
        self._beat_at_s = 0.0
        self._list_at_s = 0.0
        self._look_in_every_s = LOOK_IN_EVERY_S
        self._crowding = 1.0

    def forget(self) -> None:
        """Begins to watch all leases anew: while the server was away, none could be renewed."""
        self._clock.restart()
        self._rota.forget()
        self._reclaimer.restart()

    def attend(self, wake: Callable[[], None]) -> None:
        """Takes hints from now on; wake is called to end the pause between two sweeps."""
        self._agenda.wake = wake

    async def leave(self) -> None:
        """Says that this process keeps house no more. Raises PenstockError."""
        self._agenda.wake = None
        await self._rota.leave()

    async def sweep(self) -> float:
        """Visits the slots whose turn it is. Returns how long to pause (s)."""
        now_s = time.monotonic()
        if now_s >= self._beat_at_s:
            if await self._rota.beat():
                # Flushed, without a reconnect: what is held here may be there no more.
                self._engine.forget()
                self._activity.forget()
            self._beat_at_s = now_s + BEAT_EVERY_S
        if now_s >= self._list_at_s:
            await self._list_slots()
            self._list_at_s = now_s + VISIT_EVERY_S
        for slot in self._agenda.due():
            await self._take_turn(slot)
        return max(self._agenda.pause_s(VISIT_EVERY_S), SHORTEST_PAUSE_S)

    async def visit(self, slot: Slot) -> float:
        """Does what is due in one slot. Returns when there is more to do (s, at most a visit's)."""
        now_s = time.monotonic()
        whole = now_s >= self._retention_at_s.get(slot, 0.0)
        books = now_s >= self._books_at_s.get(slot, 0.0)
        newest_tick, moved, flat = await self._engine.run(
            LOOK,
            [slot.base],
            self._reclaimer.cursor(slot),
            LEASES_PER_LOOK,
            self._max_retained if whole else -1,
            self._policies.limits_in(slot).fingerprint,
            int(books),
        )
        self._clock.answered()
        if whole:
            self._retention_at_s[slot] = now_s + RETENTION_EVERY_S
        if books:
            self._books_at_s[slot] = now_s + BOOKS_EVERY_S
        waits_s = [await self._reclaimer.take_in(slot, newest_tick, moved)]
        for name, wait_ms in zip(flat[::2], flat[1::2], strict=True):
            waits_s.append(wait_ms / 1000 or await self.chores[name.decode()].do(slot))
        known_s = [wait_s for wait_s in waits_s if wait_s is not None]
        if 0.0 in known_s:
            # More than one visit can do, maybe of what is looked at now and then only.
            self._retention_at_s.pop(slot, None)
        elif whole and not flat and not known_s and self._rota.rank(slot) < CARETAKERS:
            await self._activity.drop(slot)
        return min([VISIT_EVERY_S, *known_s])

    async def _list_slots(self) -> None:
        """Learns which slots are active, and shares them out anew."""
        slots = await self._activity.slots()
        self._clock.answered()
        for gone in self._agenda.keep_only(slots):
            self._reclaimer.forget(gone)
            self._retention_at_s.pop(gone, None)
            self._books_at_s.pop(gone, None)
        mine = sum(self._rota.rank(slot) < CARETAKERS for slot in slots)
        strangers = self._rota.others + 1 - CARETAKERS
        self._look_in_every_s = max(LOOK_IN_EVERY_S, strangers * LOOK_IN_TOGETHER_S)
        visits_per_s = mine / VISIT_EVERY_S + (len(slots) - mine) / self._look_in_every_s
        self._crowding = max(1.0, visits_per_s / VISITS_PER_S)
        for slot in slots:
            # Whoever has just become a caretaker does not wait for a stranger's turn.
            self._agenda.hasten(slot, self._longest_s(slot) if slot in self._agenda else 0.0)

    async def _take_turn(self, slot: Slot) -> None:
        # First of all: whatever comes of the visit, it must not keep the other slots waiting.
        self._agenda.plan(slot, self._pause_s(slot, VISIT_EVERY_S))
        try:
            wait_s = await self.visit(slot)
        except (Unavailable, Overloaded):
            raise
        except PenstockError:
            _log.exception("no housekeeping in %s", slot.base.decode())
        else:
            self._agenda.plan(slot, self._pause_s(slot, wait_s))

    def _pause_s(self, slot: Slot, wait_s: float) -> float:
        """How long this process leaves a slot alone, after a visit that asked for a wait."""
        rank, longest_s = self._rota.rank(slot), self._longest_s(slot)
        if rank >= CARETAKERS:
            return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - spread, no secret.
        return longest_s if wait_s >= VISIT_EVERY_S else min(wait_s + rank * LAG_S, longest_s)

    def _longest_s(self, slot: Slot) -> float:
        caretaker = self._rota.rank(slot) < CARETAKERS
        return self._crowding * (VISIT_EVERY_S if caretaker else self._look_in_every_s)
