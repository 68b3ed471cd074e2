"""The checker: good histories pass, and each bad one is refuted by the promise that it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.checker.checker import check
from tests.chaos.checker.judging.tales import GOOD, plain, retried
from tests.chaos.checker.judging.told import Tale, found, refuted

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("tale", GOOD.values(), ids=GOOD.keys())
def test_a_good_history_passes(tale: Callable[[], Tale]) -> None:
    assert found(tale()) == []


def test_the_order_of_processes_makes_no_difference() -> None:
    lines = sorted(retried().lines, key=lambda line: line.by)
    assert check(lines) == []


def test_a_history_in_which_nothing_happened_shows_nothing() -> None:
    assert {violation.invariant for violation in check([])} == {"work"}
    tale = plain()
    assert refuted(tale, least={"start": 2}) == {"work"}
    assert refuted(tale, least={"start": 1, "watch event": 4}) == set()


def test_what_is_wrong_with_the_data_is_a_violation() -> None:
    tale = plain().line("end", "audit", fault="a key of nobody")
    (violation,) = found(tale)
    assert (violation.invariant, violation.text) == ("I10", "a key of nobody")


def test_what_is_left_over_is_a_violation() -> None:
    tale = plain().line("end", "bound", name="connections", value=3, most=3)
    assert refuted(tale) == set()
    assert refuted(tale.line("end", "bound", name="tasks", value=4, most=3)) == {"I11"}


def test_many_violations_are_counted() -> None:
    tale = Tale()
    for number in range(25):
        tale.submitted(f"w-{number}", f"j-{number}")
    violations = found(tale)
    assert len(violations) == 11
    assert violations[-1].text == "and 15 more"
