"""When calls may fail: while a fault strikes by which they can, and for a stated time after it."""

from __future__ import annotations

import sys
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.history.entries import Strike

__all__ = ["Outages"]


class Outages:
    """The spans of a run in which there was an outage, or had just been one.

    Args:
        strikes: of the run.
        recovery_s: how long a strike excuses failures after the service was seen to work again, or,
            where it was not, after all was whole.
    """

    def __init__(self, strikes: Iterable[Strike], recovery_s: float) -> None:
        self._spans: list[tuple[int, int]] = []  # Apart from each other, in order.
        for strike in sorted(strikes, key=lambda strike: strike.at):
            if strike.outage:
                self._add(strike.at, _end_of(strike) + round(recovery_s * 1e9))

    def _add(self, since: int, until: int) -> None:
        if self._spans and since <= self._spans[-1][1]:
            since, before = self._spans.pop()
            until = max(until, before)
        self._spans.append((since, until))

    def meet(self, since: int, until: int) -> bool:
        """Whether there was one at any moment of a span of time (ns)."""
        first = bisect_left(self._spans, since, key=lambda span: span[1])
        return first < len(self._spans) and self._spans[first][0] <= until


def _end_of(strike: Strike) -> int:
    if strike.healed is None:
        return sys.maxsize
    return max(strike.healed, strike.recovered or 0)
