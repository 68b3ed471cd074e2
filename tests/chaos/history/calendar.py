"""Between the server's dates and the times of a history, whichever way the date was turned."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.history.dates import Dates

__all__ = ["Calendar"]

_MS = 1_000_000


class Calendar:
    """Tells what the server's date may have been at a time, and when it may have been a date.

    Args:
        dates: how the server's date was turned.
    """

    def __init__(self, dates: Dates) -> None:
        self._dates = dates
        self._ahead: tuple[int, int] | None = None

    def compare(self, at: int, date_ns: int) -> None:
        """Takes in what the true date is at a time (ns)."""
        ahead = at - date_ns
        least, most = self._ahead or (ahead, ahead)
        self._ahead = min(least, ahead), max(most, ahead)

    @property
    def error_ns(self) -> int:
        """By how much the two clocks drifted apart, besides."""
        least, most = self._ahead or (0, 0)
        return most - least

    @property
    def _epoch(self) -> int:
        """When the date was 0 (ns)."""
        return self._ahead[0] if self._ahead else 0

    def span(self, since: int, until: int) -> tuple[int, int]:
        """The earliest and the latest date that it may have been in a span of time (ms)."""
        found = [
            (each - self._epoch) // _MS + ahead_ms
            for first, last, ahead_ms in self._parts()
            if first <= until and last >= since
            for each in (max(since, first), min(until, last))
        ]
        return min(found), max(found)

    def turned(self, since: int, until: int) -> bool:
        """Whether it may have been turned in a span of time."""
        return sum(first <= until and last >= since for first, last, _ in self._parts()) > 1

    def moments(self, date_ms: int, slack_ns: int) -> list[int]:
        """The times at which it may have been a date: none if it was jumped over."""
        found = []
        for first, last, ahead_ms in self._parts():
            at = (date_ms - ahead_ms) * _MS + self._epoch
            if first - slack_ns <= at <= last + slack_ns:
                found.append(at)
        return found

    def _parts(self) -> Iterator[tuple[int, int, int]]:
        """Spans of time in which it was not turned, and how far ahead of the true date it was."""
        first, ahead_ms = 0, 0
        for turn in self._dates.turns:
            yield first, sys.maxsize if turn.done is None else turn.done, ahead_ms
            first, ahead_ms = turn.at, turn.to_ms
        yield first, sys.maxsize, ahead_ms
