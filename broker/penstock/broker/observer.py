"""Which leases have expired, told by the observer's own monotonic clock.

A lease is renewed by moving it to a newer tick. The observer notes when it first saw each tick, and
holds a lease for expired once its tick has not changed for the lease's length. Redis' clock has no
part in this, so a jump of it neither expires leases nor keeps dead ones alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class _Seen:
    tick: int
    expires_s: float


class LeaseObserver:
    """The leases of one slot, as far as they have been seen."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self.newest_tick = 0

    def note(self, newest_tick: int, moved: Iterable[tuple[str, int, int]], now_s: float) -> None:
        """Takes in leases that moved: (tail, tick, lease in ms), seen at a monotonic time (s)."""
        for tail, tick, lease_ms in moved:
            self._seen[tail] = _Seen(tick, now_s + lease_ms / 1000)
            self.newest_tick = max(self.newest_tick, tick)
        if newest_tick < self.newest_tick:
            # The server forgot ticks that it had given (it was flushed, or a replica took over):
            # begin anew, from its first tick.
            self._seen.clear()
            self.newest_tick = 0

    def expired(self, now_s: float) -> list[tuple[str, int]]:
        """Tail and tick of each lease that has not moved for its length."""
        return [(tail, seen.tick) for tail, seen in self._seen.items() if seen.expires_s <= now_s]

    def next_expiry_s(self) -> float | None:
        """When the next lease may expire, by the monotonic clock."""
        return min((seen.expires_s for seen in self._seen.values()), default=None)

    def forget(self, tails: Iterable[str]) -> None:
        """Drops leases that were taken back, or were gone."""
        for tail in tails:
            self._seen.pop(tail, None)
