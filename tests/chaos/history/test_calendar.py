"""Dates and times, where the server's date was turned: each way, and the way back."""

from __future__ import annotations

import pytest

from tests.chaos.history.calendar import Calendar
from tests.chaos.history.dates import Dates, Turn

MS = 1_000_000


def turned(*turns: tuple[int, int]) -> Calendar:
    """By when (ms), and how far ahead of the true date it was then (ms); each takes 2 ms."""
    return Calendar(Dates([Turn(at * MS, "it", to_ms, (at + 2) * MS) for at, to_ms in turns]))


def test_the_date_is_the_time_unless_told_otherwise() -> None:
    assert turned().span(3 * MS, 7 * MS) == (3, 7)
    assert turned().moments(5, 0) == [5 * MS]
    assert turned().error_ns == 0


def test_the_two_clocks_are_compared() -> None:
    calendar = turned()
    calendar.compare(110 * MS, 10 * MS)
    calendar.compare(120 * MS, 20 * MS - 5)
    assert calendar.moments(50, 0) == [150 * MS]
    assert calendar.span(150 * MS, 150 * MS) == (50, 50)
    assert calendar.error_ns == 5


def test_ahead() -> None:
    calendar = turned((100, 1000))
    assert calendar.span(50 * MS, 99 * MS) == (50, 99)
    assert calendar.span(50 * MS, 101 * MS) == (50, 1101)
    assert calendar.span(103 * MS, 200 * MS) == (1103, 1200)
    assert calendar.moments(60, 0) == [60 * MS]
    assert calendar.moments(500, 0) == []
    assert calendar.moments(1200, 0) == [200 * MS]


def test_and_back() -> None:
    calendar = turned((100, 1000), (200, -50))
    assert calendar.span(150 * MS, 250 * MS) == (150, 1202)
    assert calendar.moments(1150, 0) == [150 * MS, 1200 * MS]
    assert calendar.moments(90, 0) == [90 * MS]
    assert calendar.moments(200, 0) == [250 * MS]
    assert turned((100, -50)).moments(75, 0) == [75 * MS, 125 * MS]


@pytest.mark.parametrize(
    ("since", "until", "found"), [(0, 99, False), (99, 101, True), (103, 200, False)]
)
def test_whether_it_was_turned(since: int, until: int, found: bool) -> None:  # noqa: FBT001
    assert turned((100, 1000)).turned(since * MS, until * MS) is found
