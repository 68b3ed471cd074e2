"""When to visit which slot, in one process.

Each slot has its turn. Beside that, who schedules a job for a moment that is nearer than the next
visit of anybody may be leaves a hint here, so that the job need not wait for that visit.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from penstock.broker.keys import Slot

#: Longest pause between two visits of a slot by one who takes care of it (s); whatever comes due
#: later than that is seen in time.
VISIT_EVERY_S: Final = 0.5
#: Hints are rounded up to it (s), so that a burst of them costs few visits.
HINT_GRAIN_S: Final = 0.01


class Agenda:
    """Turns and hints, by the monotonic clock.

    Attributes:
        wake: ends the pause of whoever follows this agenda; None while nobody does.
    """

    def __init__(self) -> None:
        self.wake: Callable[[], None] | None = None
        self._turns: dict[Slot, float] = {}
        self._hints: dict[int, set[Slot]] = {}  # By time in grains; few, since all are near.
        self._pausing_until_s = 0.0

    def __contains__(self, slot: Slot) -> bool:
        return slot in self._turns

    def expect(self, slot: Slot, in_s: float) -> None:
        """Says that something comes due so soon. Cheap, and nothing for what is seen in time."""
        if self.wake is None or in_s >= VISIT_EVERY_S:
            return
        grain = math.ceil((time.monotonic() + in_s) / HINT_GRAIN_S)
        self._hints.setdefault(grain, set()).add(slot)
        if grain * HINT_GRAIN_S < self._pausing_until_s:
            self.wake()

    def plan(self, slot: Slot, in_s: float) -> None:
        """Gives a slot its next turn."""
        self._turns[slot] = time.monotonic() + in_s

    def hasten(self, slot: Slot, in_s: float) -> None:
        """Sees to it that a slot has a turn no later than that."""
        at_s = time.monotonic() + in_s
        self._turns[slot] = min(at_s, self._turns.get(slot, at_s))

    def keep_only(self, slots: Iterable[Slot]) -> set[Slot]:
        """Drops the turns of all other slots, and tells which these were."""
        gone = self._turns.keys() - set(slots)
        for slot in gone:
            del self._turns[slot]
        return gone

    def due(self) -> list[Slot]:
        """The slots whose turn it is, the longest due first; their hints are used up."""
        now_s = time.monotonic()
        hinted: set[Slot] = set()
        for grain in [grain for grain in self._hints if grain * HINT_GRAIN_S <= now_s]:
            hinted |= self._hints.pop(grain)
        turns = {slot: at_s for slot, at_s in self._turns.items() if at_s <= now_s}
        return sorted(turns, key=turns.__getitem__) + list(hinted - turns.keys())

    def pause_s(self, longest_s: float) -> float:
        """How long there is nothing to do (s); an earlier hint will wake whoever asks."""
        now_s = time.monotonic()
        times = [*self._turns.values(), *(grain * HINT_GRAIN_S for grain in self._hints)]
        self._pausing_until_s = min(times, default=math.inf)
        self._pausing_until_s = min(self._pausing_until_s, now_s + longest_s)
        return max(0.0, self._pausing_until_s - now_s)
