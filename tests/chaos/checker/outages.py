"""When calls may fail: while a fault strikes by which they can, and for a stated time after it."""

from __future__ import annotations

import sys
from bisect import bisect_left
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.chaos.history.entries import Strike

__all__ = ["Outages"]

#: However late the service is seen to work again, a strike excuses nothing so long after it (ns).
_LATEST_NS: Final = 20 * 10**9
#: A call that has so long at a stretch without an outage is answered, on a busy machine, too (ns).
_TO_ANSWER_NS: Final = 4 * 10**9


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
        return any(True for _ in self._within(since, until))

    def excuse(self, since: int, until: int) -> bool:
        """Whether a call may have failed: it met one, and had no time to be answered apart from it.

        Args:
            since: when it was begun (ns).
            until: when it had failed.
        """
        met = list(self._within(since, until))
        # Before the first, between them, and after the last.
        ends = [since, *(ended for _, ended in met)]
        begins = [*(began for began, _ in met), until]
        clear = max(begun - ended for ended, begun in zip(ends, begins, strict=True))
        return bool(met) and clear < _TO_ANSWER_NS

    def _within(self, since: int, until: int) -> Iterator[tuple[int, int]]:
        first = bisect_left(self._spans, since, key=lambda span: span[1])
        return takewhile(lambda span: span[0] <= until, islice(self._spans, first, None))


def _end_of(strike: Strike) -> int:
    if strike.healed is None:
        return sys.maxsize
    recovered = max(strike.healed, strike.recovered or 0)
    return min(recovered, strike.healed + _LATEST_NS)
