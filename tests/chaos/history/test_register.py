"""What a register may hold, by calls that overlap, and some of which nobody answered."""

from __future__ import annotations

from tests.chaos.history.register import LATE_NS, Register, Write


def written(*writes: tuple[int, int | None]) -> Register[int]:
    """Writes of 1, 2, ..., by when each began and was acknowledged."""
    register = Register(0)
    for value, (began, done) in enumerate(writes, 1):
        register.writes.append(Write(began, "client", value, "put", value, done))
    return register


def test_before_anything_was_written_it_holds_what_it_began_with() -> None:
    assert written().values(5, 9) == [0]
    assert written((10, 20)).values(5, 9) == [0]


def test_while_a_write_is_under_way_it_holds_either() -> None:
    register = written((10, 20))
    assert register.values(5, 10) == [0, 1]
    assert register.values(15, 15) == [0, 1]
    assert register.values(20, 30) == [0, 1]
    assert register.values(21, 30) == [1]


def test_writes_that_overlap_are_done_in_any_order() -> None:
    register = written((10, 30), (20, 25), (40, 50))
    assert register.values(31, 35) == [1, 2]
    assert register.values(31, 45) == [1, 2, 3]
    assert register.values(51, 99) == [3]


def test_a_write_without_an_answer_may_be_done_for_a_while() -> None:
    register = written((10, None), (20, 25), (10 + LATE_NS, 20 + LATE_NS), (2 * LATE_NS, None))
    assert register.values(26, 30) == [1, 2]
    assert register.values(21 + LATE_NS, 30 + LATE_NS) == [1, 3]
    register = written((10, None), (11 + LATE_NS, 20 + LATE_NS))
    assert register.values(21 + LATE_NS, 30 + LATE_NS) == [2]


def test_a_write_that_was_refused_is_none() -> None:
    register = written((10, 20), (30, None))
    register.drop(register.writes[1])
    assert register.values(21, 40) == [1]
