"""Which leases have expired, told by the observer's own monotonic clock.

A lease is renewed by moving it to a newer tick. The observer counts for how long it has watched
each tick stand still, and holds the lease for expired once that is the lease's length. Redis' clock
has no part in this, so a jump of it neither expires leases nor keeps dead ones alive.

Only time during which the server was seen to answer is counted. While it was away, or this process
was suspended, nobody could have renewed, or nobody would have been seen to.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


#: Of the time between two answers of the server, no more than this is counted (s).
LONGEST_GAP_S: Final = 1.0
#: How often all leases are looked at again (s).
LOOK_AGAIN_EVERY_S: Final = 60.0


class WatchedClock:
    """The time that one process has watched the server, in seconds, by its own monotonic clock.

    Attributes:
        now_s: stands still while the server does not answer.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._answered_s: float | None = None

    def answered(self, at_s: float | None = None) -> None:
        """Says that the server answered, at a monotonic time (s); None is now.

        Call it after the reply: a lease is never taken for older than it is.
        """
        at_s = time.monotonic() if at_s is None else at_s
        if self._answered_s is not None:
            self.now_s += min(at_s - self._answered_s, LONGEST_GAP_S)
        self._answered_s = at_s

    def restart(self) -> None:
        """Counts from the next answer on."""
        self._answered_s = None


@dataclass(frozen=True, slots=True)
class _Seen:
    tick: int
    expires_s: float


class LeaseObserver:
    """The leases of one slot, as far as they have been seen.

    Args:
        clock: that leases run by.
    """

    def __init__(self, clock: WatchedClock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._newest_tick = 0
        self._look_again_s = clock.now_s + LOOK_AGAIN_EVERY_S

    def cursor(self) -> int:
        """The tick after which to look for leases that moved.

        Now and then it is the first: a server that lost ticks and gave them out again has leases
        behind the newest one that nobody observes.
        """
        if self._clock.now_s >= self._look_again_s:
            self._look_again_s = self._clock.now_s + LOOK_AGAIN_EVERY_S
            self._newest_tick = 0
        return self._newest_tick

    def restart(self) -> None:
        """Gives every lease its whole length again, from the next look on."""
        self._seen.clear()
        self._newest_tick = 0

    def look(self, newest_tick: int, moved: Iterable[tuple[str, int, int]]) -> None:
        """Takes in leases that moved since the last look: (tail, tick, lease in ms).

        Args:
            newest_tick: of the slot.
            moved: leases beyond the `cursor`.
        """
        for tail, tick, lease_ms in moved:
            known = self._seen.get(tail)
            if known is None or known.tick != tick:
                self._seen[tail] = _Seen(tick, self._clock.now_s + lease_ms / 1000)
            self._newest_tick = max(self._newest_tick, tick)
        if newest_tick < self._newest_tick:
            # The server forgot ticks that it had given (it was flushed, or a replica took over):
            # begin anew, from its first tick.
            self._seen.clear()
            self._newest_tick = 0

    def expired(self) -> list[tuple[str, int]]:
        """Tail and tick of each lease that has stood still for its length."""
        now_s = self._clock.now_s
        return [(tail, seen.tick) for tail, seen in self._seen.items() if seen.expires_s <= now_s]

    def next_expiry_s(self) -> float | None:
        """How long until the next lease may expire (s); None if none is watched."""
        soonest_s = min((seen.expires_s for seen in self._seen.values()), default=None)
        return None if soonest_s is None else max(0.0, soonest_s - self._clock.now_s)

    def forget(self, tails: Iterable[str]) -> None:
        """Drops leases that were taken back, or were gone."""
        for tail in tails:
            self._seen.pop(tail, None)
